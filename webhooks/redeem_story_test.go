package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// consentToAll is a policy under which everything that the agent does needs the consent of erin.
const consentToAll = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: RequireApproval
approval:
  requirements: [{name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}]
`

// story is an agent that needs consent, a Deployment to act upon, and a person who consents and may do everything.
type story struct {
	*environment
	namespace     string
	agent, person *identity
	web           *appsv1.Deployment
	// requests is the namespace in which requests are opened.
	requests string
	// cache is kubectl's.
	cache string
}

func newStory(t *testing.T, e *environment, policy string) *story {
	t.Helper()
	s := &story{environment: e, person: e.person(t, "erin"), cache: t.TempDir()}
	s.namespace, s.agent, s.web = governed(t, e, policy)
	s.requests = s.namespace
	s.waitRevision(t, "1")
	return s
}

// waitRevision waits until the controller of Deployments has counted a revision of web, which it writes as an annotation.
func (s *story) waitRevision(t *testing.T, want string) {
	t.Helper()
	operatortest.Eventually(t, "revision "+want+" is counted", func(ctx context.Context) error {
		if err := s.there(ctx, s.web); err != nil {
			return err
		}
		if got := s.web.Annotations["deployment.kubernetes.io/revision"]; got != want || s.web.Status.ObservedGeneration != s.web.Generation {
			return fmt.Errorf("it is at revision %q with the status %+v", got, s.web.Status)
		}
		return nil
	})
}

// waitCached waits until the API server's cache shows web as it is stored now. From an older copy, which it reviews first,
// the change may still be the one that was approved: TestStaleCaches is about that.
func (s *story) waitCached(t *testing.T) {
	t.Helper()
	allowed(t, s.there(t.Context(), s.web))
	atLeast := &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: s.web.ResourceVersion}}
	operatortest.Eventually(t, "the API server's cache has caught up", func(ctx context.Context) error {
		return s.admin.Get(ctx, client.ObjectKeyFromObject(s.web), s.web.DeepCopy(), atLeast)
	})
}

// kubectl runs the real one. An error holds all that it printed.
func (s *story) kubectl(ctx context.Context, who *identity, args ...string) error {
	return s.kubectlReading(ctx, who, "", args...)
}

func (s *story) kubectlReading(ctx context.Context, who *identity, input string, args ...string) error {
	args = append([]string{"--kubeconfig", who.kubeconfig, "--cache-dir", s.cache, "--namespace", s.namespace}, args...)
	command := exec.CommandContext(ctx, s.plane.Binaries().Kubectl, args...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err == nil && strings.Contains(string(output), "denied the request") {
		err = errors.New("exit status 0") // kubectl cordon only prints what is wrong
	}
	if err != nil {
		return fmt.Errorf("running kubectl: %w\n%s", err, output)
	}
	return nil
}

// asked makes a forbidden change, and returns the request that it opened.
func (s *story) asked(t *testing.T, act func() error) *v1alpha1.ActionApproval {
	t.Helper()
	return asked(t, s.environment, s.requests, act)
}

// scaling is the agent's attempt at a number of replicas.
func (s *story) scaling(t *testing.T, replicas int) func() error {
	t.Helper()
	return func() error {
		return patch(t.Context(), s.agent, s.web, types.MergePatchType, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
	}
}

// grant has an action refused and asked for, and consented to.
func (s *story) grant(t *testing.T, act func() error) *v1alpha1.ActionApproval {
	t.Helper()
	request := s.asked(t, act)
	s.wantUses(t, request, 0)
	allowed(t, decide(t.Context(), s.person, request, "Approve"))
	waitState(t, s.environment, request, "Approved")
	return request
}

// redeem does what was approved. While controllers still write the object the agent is told to repeat it, and does.
func redeem(t *testing.T, act func() error) {
	t.Helper()
	operatortest.Eventually(t, "the object keeps still", func(context.Context) error {
		err := act()
		if err != nil && !isStale(err) {
			t.Fatalf("what was approved is answered by %v", err)
		}
		return err
	})
}

func isStale(err error) bool { return strings.Contains(err.Error(), "changed while it was reviewed") }

// wantUses checks what is left of the one use of an approval.
func (s *story) wantUses(t *testing.T, a *v1alpha1.ActionApproval, want int) {
	t.Helper()
	operatortest.Eventually(t, "approval "+a.Name+" has a status", func(ctx context.Context) error {
		if err := s.admin.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		if a.Status.Remaining == nil {
			return errors.New("it has none yet")
		}
		return nil
	})
	// Where a controller writes between review and commit, the API server asks again, and the first use comes back.
	kept := slices.DeleteFunc(slices.Clone(a.Status.Uses), func(u v1alpha1.ApprovalUse) bool { return u.Outcome == v1alpha1.UseReturned })
	if len(kept) != want || int(*a.Status.Remaining) != 1-want {
		t.Errorf("the uses of %s are %+v, and %d remain, want %d", a.Name, a.Status.Uses, *a.Status.Remaining, want)
	}
}

// wantVoid checks that an approval has ended, unused, for a reason that says what happened.
func (s *story) wantVoid(t *testing.T, a *v1alpha1.ActionApproval, reason string) {
	t.Helper()
	waitState(t, s.environment, a, v1alpha1.ReasonVoid)
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved)
	if !strings.Contains(c.Message, reason) {
		t.Errorf("approval %s is void because of %q, want %q", a.Name, c.Message, reason)
	}
	if len(a.Status.Uses) != 0 {
		t.Errorf("the void approval %s has the uses %+v", a.Name, a.Status.Uses)
	}
}

// gone is nil when an object does not exist.
func (s *story) gone(ctx context.Context, o client.Object) error {
	switch err := s.admin.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopyObject().(client.Object)); {
	case err == nil:
		return errors.New("it is there")
	case apierrors.IsNotFound(err):
		return nil
	default:
		return err
	}
}

// there is nil when an object exists, which it reads.
func (s *story) there(ctx context.Context, o client.Object) error {
	return s.admin.Get(ctx, client.ObjectKeyFromObject(o), o)
}
