package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
)

var leaseKind = coordinationv1.SchemeGroupVersion.WithKind("Lease")

// policiesPoint is what was measured with a number of policies.
type policiesPoint struct {
	policies int
	// first is how long it took until all were in force that had no status before, from the start of the operator.
	first time.Duration
	*footprint
	// enforced is how long it took from a change until the policy's status said that it is in force, decided until the first
	// request was decided by it. added is enforced where the change brings another subject, and so another configuration.
	enforced, decided, added []time.Duration
	// writes for the changes.
	changes int
	changed map[string]int
	// configuration is the size of the webhook configuration as JSON, in bytes.
	configuration int
}

// policyCounts are the points of the curve.
var policyCounts = []int{10, 100, 1000, 10_000}

func measurePolicies(ctx context.Context, run *measure.Run) error {
	s, err := newScale(ctx, run)
	if err != nil {
		return err
	}
	defer s.bed.Close()
	var points []*policiesPoint
	for _, n := range policyCounts {
		if n > run.Largest(policyCounts[len(policyCounts)-1]) {
			break
		}
		p, err := s.measurePolicies(ctx, n)
		if err != nil {
			return fmt.Errorf("with %d policies: %w", n, err)
		}
		points = append(points, p)
	}
	reportPolicies(run, points)
	return nil
}

func reportPolicies(run *measure.Run, points []*policiesPoint) {
	r := run.Report
	r.Settingf("one replica; each policy with windows, a freeze, a task with a budget and a guard of its own, about 1,000 accounts " +
		"in all; five changes of one policy, and three that bring a subject")
	var starts, changes [][]string
	for _, p := range points {
		starts = append(starts, []string{
			fmt.Sprint(p.policies), measure.Duration(p.ready), p.startCPU.Round(10 * time.Millisecond).String(), mib(p.memory), mib(p.peak),
			fmt.Sprintf("%.1f%%", 100*p.idle), counted(p.writes, "agentactionpolicies"), measure.Duration(p.first),
		})
		changes = append(changes, []string{
			fmt.Sprint(p.policies), measure.Times(p.enforced), measure.Times(p.decided), measure.Times(p.added),
			fmt.Sprintf("%.1f", float64(p.changed["PATCH agentactionpolicies"])/float64(p.changes)), fmt.Sprintf("%d KiB", p.configuration>>10),
		})
		worst := max(measure.Median(p.enforced), measure.Median(p.decided))
		r.Target(worst <= 2*time.Second, fmt.Sprintf("with %d policies a change is in force within 2 s", p.policies),
			"%s until the status says so, %s until a request is decided by it",
			measure.Duration(measure.Median(p.enforced)), measure.Duration(measure.Median(p.decided)))
		if p.policies == 10 {
			r.Target(p.memory <= 60, "at rest no more than 60 MiB are resident", "%s", mib(p.memory))
		}
		if p.policies == 1000 {
			r.Target(p.ready <= 2*time.Second, "1,000 policies are enforced within 2 s of the start", "%s", measure.Duration(p.ready))
		}
	}
	r.Table("A restart, and what the process needs after it", []string{
		"policies", "ready", "CPU time of the start", "resident", "peak", "CPU at rest", "statuses written",
		"all in force when none had a status",
	}, starts)
	r.Table("Changes of one policy", []string{
		"policies", "in force by its status", "deciding", "in force, with another subject", "statuses written per change",
		"webhook configuration",
	}, changes)
}

// measurePolicies measures with n policies.
func (s *scale) measurePolicies(ctx context.Context, n int) (*policiesPoint, error) {
	if err := s.reset(ctx); err != nil {
		return nil, err
	}
	if err := s.fillPolicies(ctx, n); err != nil {
		return nil, err
	}
	if err := s.reread(ctx, &v1alpha1.AgentActionPolicyList{}, "agentactionpolicies"); err != nil {
		return nil, err
	}
	p := &policiesPoint{policies: n}
	began := time.Now()
	first, _, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.waitAll(ctx, n); err != nil {
		return nil, err
	}
	p.first = time.Since(began)
	if err := first.Terminate(ctx); err != nil {
		return nil, err
	}
	if p.footprint, err = s.measureStart(ctx, fmt.Sprintf("policies-%d", n)); err != nil {
		return nil, err
	}
	return p, s.measureChanges(ctx, p)
}

// waitAll waits until all policies are in force. It watches: reading ten thousand of them again and again would keep the API
// server from what is measured.
func (s *scale) waitAll(ctx context.Context, n int) error {
	c, err := client.NewWithWatch(s.bed.Plane.AdminConfig(), client.Options{Scheme: s.bed.Admin.Scheme()})
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	return measure.Wait(ctx, "all policies are in force", 20*time.Minute, func(ctx context.Context) error {
		stream, err := c.Watch(ctx, &v1alpha1.AgentActionPolicyList{})
		if err != nil {
			return err
		}
		defer stream.Stop()
		are := map[string]bool{} // the stream begins with all that there are
		for event := range stream.ResultChan() {
			p, isPolicy := event.Object.(*v1alpha1.AgentActionPolicy)
			if !isPolicy {
				return fmt.Errorf("watching policies: %v", event.Object)
			}
			delete(are, p.Name)
			if inForce(p) {
				are[p.Name] = true
			}
			if len(are) == n {
				return nil
			}
		}
		return fmt.Errorf("the API server has ended the watch while %d of %d were", len(are), n)
	})
}

const (
	plainChanges   = 5
	subjectChanges = 3
)

// measureChanges changes one policy again and again.
func (s *scale) measureChanges(ctx context.Context, p *policiesPoint) error {
	before, err := s.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	for i := range plainChanges + subjectChanges {
		reason := fmt.Sprintf("Round %d of the measurement", i)
		enforced, decided, err := s.change(ctx, reason, func(policy *v1alpha1.AgentActionPolicy) {
			policy.Spec.Freezes = []v1alpha1.Freeze{{Window: "always", Reason: reason}}
			if i >= plainChanges {
				somebody := v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: fmt.Sprintf("somebody-%d", i)}
				policy.Spec.Subjects = append(policy.Spec.Subjects, somebody)
			}
		})
		if err != nil {
			return err
		}
		if i >= plainChanges {
			p.added = append(p.added, enforced)
		} else {
			p.enforced, p.decided = append(p.enforced, enforced), append(p.decided, decided)
		}
		if err := measure.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	if err := measure.Pause(ctx, 3*time.Second); err != nil {
		return err
	}
	after, err := s.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	p.changed, p.changes = writesOf(after.Since(before)), plainChanges+subjectChanges
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := s.bed.Admin.Get(ctx, client.ObjectKey{Name: "countersign-actions"}, stored); err != nil {
		return fmt.Errorf("reading the webhook configuration: %w", err)
	}
	stored.ManagedFields = nil
	text, err := json.Marshal(stored)
	p.configuration = len(text)
	return err
}

// change changes the first policy, and waits until its status says that it is in force, and an agent feels it.
func (s *scale) change(
	ctx context.Context, reason string, edit func(*v1alpha1.AgentActionPolicy),
) (enforced, decided time.Duration, err error) {
	p := &v1alpha1.AgentActionPolicy{}
	var began time.Time
	err = measure.Wait(ctx, "the policy is changed", time.Minute, func(ctx context.Context) error {
		if err := s.bed.Admin.Get(ctx, client.ObjectKey{Name: "policy-00000"}, p); err != nil {
			return err
		}
		edit(p)
		began = time.Now()
		return s.bed.Admin.Update(ctx, p)
	})
	if err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() {
		err := s.waitDecided(ctx, reason)
		decided = time.Since(began)
		done <- err
	}()
	err = measure.Wait(ctx, "the change is in force", 5*time.Minute, func(ctx context.Context) error {
		if err := s.bed.Admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if !inForce(p) {
			return errors.New("its status does not say so")
		}
		enforced = time.Since(began)
		return nil
	})
	err = errors.Join(err, <-done)
	return enforced, decided, err
}

// waitDecided has the agent act until a refusal names the freeze that the change has brought.
func (s *scale) waitDecided(ctx context.Context, reason string) error {
	return measure.Wait(ctx, "an action is decided by the change", 5*time.Minute, func(ctx context.Context) error {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team-000", Name: "probe"}}
		err := s.agent.Create(ctx, o, client.DryRunAll)
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), reason) {
			return nil
		}
		return fmt.Errorf("another answer: %w", errors.Join(errors.New("it passes or is refused otherwise"), err))
	})
}
