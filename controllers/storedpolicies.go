package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/definitions"
)

// storedPolicies knows which fields policies have, as they are stored, that this version does not have. The cache drops
// these while it reads. It costs something only while the definition is of a later version: then each generation of a
// policy is read once more. It is for one goroutine.
type storedPolicies struct {
	// uid and generation are those of the definition under which they were read, until when they are read again.
	uid        string
	generation int64
	until      time.Time
	read       map[types.UID]storedPolicy
}

// storedPolicy is what was read of a policy.
type storedPolicy struct {
	generation int64
	unknown    []string
	// policy is kept only where the cache has another generation.
	policy *v1alpha1.AgentActionPolicy
}

const (
	// settleTime is how long after a change of the definition policies are read a second time: an API server that has not
	// heard of the change leaves out the new fields as well.
	settleTime = time.Minute
	// mostSingle bounds how many policies are read one by one, and storedPage how many at a time otherwise.
	mostSingle, storedPage = 20, 100
)

// unknown are the fields of each policy that this version does not have, by the policy's UID. Where a policy was changed
// since the cache has heard of it, it is replaced by what was read. It is to be asked again after a pause, unless that is zero.
func (s *storedPolicies) unknown(
	ctx context.Context, live client.Reader, definition *definitions.Verified, policies []*v1alpha1.AgentActionPolicy, now time.Time,
) (unknown map[types.UID][]string, pause time.Duration, err error) {
	if !definition.Extended {
		*s = storedPolicies{}
		return nil, 0, nil
	}
	s.begin(definition, now)
	var missing []*v1alpha1.AgentActionPolicy
	for _, p := range policies {
		if known, ok := s.read[p.UID]; !ok || known.generation != p.Generation {
			missing = append(missing, p)
		}
	}
	if err := s.fetch(ctx, live, missing); err != nil {
		return nil, 0, err
	}
	unknown = map[types.UID][]string{}
	read := make(map[types.UID]storedPolicy, len(policies))
	for i, p := range policies {
		known, ok := s.read[p.UID]
		if !ok {
			continue // it is gone, and the cache is about to hear of it
		}
		read[p.UID] = known
		if known.policy != nil && known.generation != p.Generation {
			policies[i] = known.policy
		}
		if len(known.unknown) > 0 {
			unknown[p.UID] = known.unknown
		}
	}
	s.read = read
	return unknown, max(s.until.Sub(now), 0), nil
}

// begin forgets what was read under another definition, or too early under this one.
func (s *storedPolicies) begin(definition *definitions.Verified, now time.Time) {
	switch {
	case s.uid != definition.UID || s.generation != definition.Generation:
		*s = storedPolicies{uid: definition.UID, generation: definition.Generation, until: now.Add(settleTime)}
	case !s.until.IsZero() && !now.Before(s.until):
		s.until, s.read = time.Time{}, nil
	}
	if s.read == nil {
		s.read = map[types.UID]storedPolicy{}
	}
}

func (s *storedPolicies) fetch(ctx context.Context, live client.Reader, missing []*v1alpha1.AgentActionPolicy) error {
	if len(missing) > mostSingle {
		return s.fetchAll(ctx, live, missing)
	}
	for _, p := range missing {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(policyKind)
		err := live.Get(ctx, client.ObjectKey{Name: p.Name}, object)
		switch {
		case apierrors.IsNotFound(err):
			delete(s.read, p.UID)
		case err != nil:
			return fmt.Errorf("reading policy %s as it is stored: %w", p.Name, err)
		default:
			s.take(ctx, object, p)
		}
	}
	return nil
}

var policyKind = v1alpha1.GroupVersion.WithKind("AgentActionPolicy")

func (s *storedPolicies) fetchAll(ctx context.Context, live client.Reader, missing []*v1alpha1.AgentActionPolicy) error {
	wanted := make(map[string]*v1alpha1.AgentActionPolicy, len(missing))
	for _, p := range missing {
		wanted[p.Name] = p
		delete(s.read, p.UID)
	}
	next := ""
	for {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(policyKind)
		if err := live.List(ctx, list, client.Limit(storedPage), client.Continue(next)); err != nil {
			return fmt.Errorf("listing policies as they are stored: %w", err)
		}
		for i := range list.Items {
			if p := wanted[list.Items[i].GetName()]; p != nil {
				s.take(ctx, &list.Items[i], p)
			}
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// take notes what was read of a policy that the cache has as well. One of its name that came after it is another one.
func (s *storedPolicies) take(ctx context.Context, object *unstructured.Unstructured, cached *v1alpha1.AgentActionPolicy) {
	if object.GetUID() != cached.UID {
		delete(s.read, cached.UID)
		return
	}
	p := &v1alpha1.AgentActionPolicy{}
	unknown, err := definitions.Decode(object.Object, p)
	if err != nil {
		// Only this policy is the worse for it. The cache has read it, if not all of it.
		log.FromContext(ctx).WithName("policies").Error(err, "A policy cannot be read as it is stored", "policy", cached.Name)
		s.read[cached.UID] = storedPolicy{generation: cached.Generation, unknown: []string{"spec"}}
		return
	}
	known := storedPolicy{generation: p.Generation, unknown: definitions.OutsideStatus(unknown)}
	if p.Generation != cached.Generation {
		known.policy = p
	}
	s.read[cached.UID] = known
}
