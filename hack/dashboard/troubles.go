package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// trouble is something that goes wrong, and the alerts that it is to raise. What it does ends when they have fired.
type trouble struct {
	what   string
	raises []string
	// begin makes it so, end mends it.
	begin, end func(context.Context) error
}

func (s *stage) troubles() []trouble {
	first, second := s.Replicas[0], s.Replicas[1]
	return []trouble{
		{"one of two replicas is killed", []string{"CountersignReplicaMissing"},
			func(context.Context) error { second.Kill(); return nil },
			func(ctx context.Context) error { return s.restart(ctx, second) }},
		{"no replica runs", []string{"CountersignDown", "CountersignNotAnswering", "CountersignObservationsLost"},
			func(context.Context) error { first.Kill(); second.Kill(); return nil },
			func(ctx context.Context) error { return errors.Join(s.smuggle(ctx), s.restart(ctx, first, second)) }},
		{"a policy was stored that cannot be judged by", []string{"CountersignPolicyNotReady"},
			func(context.Context) error { return nil },
			func(ctx context.Context) error {
				return s.Admin.Delete(ctx, &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "mistakes"}})
			}},
		{"nobody answers a request", []string{"CountersignApprovalWaitsLong"}, s.ignore, nil},
		{"somebody else changes a webhook configuration", []string{"CountersignConfigurationChanged"}, s.drift, nil},
		{"the certificate is good for five days", []string{"CountersignCertificateExpires"},
			func(ctx context.Context) error { return s.certify(ctx, 5*24*time.Hour) },
			func(ctx context.Context) error { return s.certify(ctx, 90*24*time.Hour) }},
		s.wrongClock(),
		{"somebody else changes a definition", []string{"CountersignDefinitionsChanged"}, s.redefine, s.install},
		{"the operator's rights are taken away, then what it keeps", []string{"CountersignProtectionLow", "CountersignNotEnforcing"},
			s.disarm, s.install},
		{"etcd stands still", []string{"CountersignSlow", "CountersignFailing"}, s.freeze, nil},
	}
}

// smuggle has a policy stored that is not valid, as a downgrade or a changed definition does, while nobody is asked.
func (s *stage) smuggle(ctx context.Context) error {
	policies, err := readPolicies(mistakesText)
	if err != nil {
		return err
	}
	asked := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}}
	if err := s.Admin.Delete(ctx, asked); err != nil {
		return fmt.Errorf("deleting the configuration of the policies' webhook: %w", err)
	}
	return s.put(ctx, policies[0])
}

// ignore has an agent ask for what nobody answers.
func (s *stage) ignore(ctx context.Context) error {
	janitor, err := s.Agent(ctx, "janitor")
	if err != nil {
		return err
	}
	return measure.Wait(ctx, "a request waits", time.Minute, func(ctx context.Context) error {
		err := janitor.Create(ctx, configMap("shop", "ignored"))
		if err == nil {
			return errors.New("it was created without consent")
		}
		if named.FindStringSubmatch(err.Error()) == nil {
			return err
		}
		return nil
	})
}

// drift takes the owner away from a webhook configuration, until a replica counts it: what was changed before one of them was
// elected, none knows to be a change.
func (s *stage) drift(ctx context.Context) error {
	changed := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-actions"}}
	return measure.Wait(ctx, "a replica counts the change", 2*time.Minute, func(ctx context.Context) error {
		err := s.Admin.Patch(ctx, changed, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`)))
		if err := errors.Join(err, measure.Pause(ctx, 2*scrape)); err != nil {
			return err
		}
		counted, err := s.server.query(ctx, "query", url.Values{"query": {"countersign_admission_drift_total"}})
		if err == nil && len(counted) == 0 {
			err = errors.New("it does not")
		}
		return err
	})
}

// wrongClock runs a third replica whose clock is ahead, built with a tag that nothing which is released is built with.
func (s *stage) wrongClock() trouble {
	var ahead *testbed.Replica
	return trouble{"the clock of a third replica is 12 seconds ahead", []string{"CountersignClockSkew"},
		func(ctx context.Context) error {
			binary, offset := filepath.Join(s.Run.Dir, "countersign-clockoffset"), filepath.Join(s.Run.Dir, "offset")
			err := errors.Join(s.Run.Build(ctx, binary, "clockoffset"), os.WriteFile(offset, []byte("12s"), 0o600))
			if err != nil {
				return err
			}
			if ahead, err = s.Launch(binary, "COUNTERSIGN_CLOCK_OFFSET_FILE="+offset); err != nil {
				return err
			}
			return errors.Join(ahead.WaitReady(ctx), s.server.follow(s.Replicas))
		},
		func(context.Context) error {
			ahead.Kill()
			s.Replicas = slices.DeleteFunc(s.Replicas, func(r *testbed.Replica) bool { return r == ahead })
			return s.server.follow(s.Replicas)
		}}
}

// redefine takes the rules away from the definition of approvals.
func (s *stage) redefine(ctx context.Context) error {
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	definition.SetName("actionapprovals.countersign.dev")
	patch := []byte(`[{"op":"remove","path":"/spec/versions/0/subresources"}]`)
	return s.Admin.Patch(ctx, definition, client.RawPatch(types.JSONPatchType, patch))
}

// disarm takes the operator's right to write its configurations and admission policy away, and then these.
func (s *stage) disarm(ctx context.Context) error {
	role := &rbacv1.ClusterRole{}
	if err := s.Admin.Get(ctx, client.ObjectKey{Name: testbed.Release}, role); err != nil {
		return fmt.Errorf("reading the operator's rights: %w", err)
	}
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].APIGroups, "admissionregistration.k8s.io") {
			role.Rules[i].Verbs = []string{"get", "list", "watch"}
		}
	}
	if err := s.Admin.Update(ctx, role); err != nil {
		return fmt.Errorf("taking rights away: %w", err)
	}
	kept := metav1.ObjectMeta{Name: testbed.Release}
	for _, o := range []client.Object{
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: kept},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: kept},
	} {
		if err := s.Admin.Delete(ctx, o); err != nil {
			return fmt.Errorf("deleting the admission policy: %w", err)
		}
	}
	if err := s.waitFiring(ctx, "CountersignProtectionLow"); err != nil {
		return err
	}
	gone := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-actions"}}
	return s.Admin.Delete(ctx, gone)
}

// freeze lets etcd stand still for longer than anybody waits, while agents create what needs consent.
func (s *stage) freeze(ctx context.Context) error {
	janitor, err := s.Agent(ctx, "janitor")
	if err != nil {
		return err
	}
	creations := &measure.Load{Workers: 24, Every: time.Second, Write: func(ctx context.Context, worker, _ int) error {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: fmt.Sprintf("f-%d-", worker)}}
		return janitor.Create(ctx, o)
	}}
	etcd := s.Plane.Component(controlplane.Etcd)
	for range 3 {
		if err := etcd.Pause(); err != nil {
			return err
		}
		creations.Begin(ctx)
		err := errors.Join(measure.Pause(ctx, 8*time.Second), etcd.Resume())
		creations.End()
		if err := errors.Join(err, measure.Pause(ctx, 4*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// waitFiring waits until Prometheus says that an alert fires.
func (s *stage) waitFiring(ctx context.Context, name string) error {
	return measure.Wait(ctx, name+" fires", 4*time.Minute, func(ctx context.Context) error {
		query := fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, name)
		found, err := s.server.query(ctx, "query", url.Values{"query": {query}})
		if err == nil && len(found) == 0 {
			err = errors.New("it does not")
		}
		return errors.Join(err, measure.Pause(ctx, time.Second))
	})
}

// trouble breaks one thing after the other, and claims that each alert fires once.
func (s *stage) trouble(ctx context.Context, alerts []alert) error {
	seen := map[string]bool{}
	for _, t := range s.troubles() {
		began := time.Now()
		if err := t.begin(ctx); err != nil {
			return fmt.Errorf("having it that %s: %w", t.what, err)
		}
		for _, name := range t.raises {
			err := s.waitFiring(ctx, name)
			s.Run.Report.Claim(err == nil, t.what+": "+strings.TrimPrefix(name, "Countersign")+" fires", "after %s",
				measure.Duration(time.Since(began)))
			seen[name] = true
		}
		if t.end == nil {
			continue
		}
		if err := t.end(ctx); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("mending it that %s: %w", t.what, err)
		}
	}
	for _, a := range alerts {
		if !seen[a.name] {
			s.Run.Report.Claim(false, "something raises "+a.name, "nothing")
		}
	}
	return nil
}
