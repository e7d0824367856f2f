package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
	"github.com/countersign-dev/countersign/internal/heartbeat"
)

// scale is a cluster that is filled with policies or approvals, and one replica of the operator in it.
type scale struct {
	run *measure.Run
	bed *testbed.Testbed
	population
	// agent is governed by the first policy.
	agent client.Client
}

// newScale starts one. The chart is installed, and no operator runs.
func newScale(ctx context.Context, run *measure.Run) (*scale, error) {
	options := testbed.Options{Plane: controlplane.Options{Flags: map[string][]string{
		// A list of 100,000 approvals is more than a minute's work of a busy machine.
		controlplane.APIServer: {"--request-timeout=5m"},
	}}, Namespaces: []string{"team-999"}}
	for i := range namespacesInAll {
		options.Namespaces = append(options.Namespaces, fmt.Sprintf("team-%03d", i))
	}
	bed, err := testbed.New(ctx, run, options)
	if err != nil {
		return nil, err
	}
	s := &scale{run: run, bed: bed, population: population{bed: bed}}
	if err := s.furnish(ctx); err != nil {
		bed.Close()
		return nil, err
	}
	return s, nil
}

func (s *scale) furnish(ctx context.Context) error {
	if err := s.bed.Install(ctx, "replicas=1"); err != nil {
		return err
	}
	var err error
	if s.storage, err = newStorage(s.bed.Plane); err != nil {
		return err
	}
	config := rest.CopyConfig(s.bed.Plane.AdminConfig())
	space, account := accountOf(0)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:team-" + space + ":agent-for-releases-" + account, Groups: []string{"system:masters"},
	}
	if s.agent, err = client.New(config, client.Options{}); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	return measure.Wait(ctx, "the definitions are served", time.Minute, func(ctx context.Context) error {
		for _, list := range []client.ObjectList{&v1alpha1.AgentActionPolicyList{}, &v1alpha1.ActionApprovalList{}} {
			if err := s.bed.Admin.List(ctx, list); err != nil {
				return err
			}
		}
		return nil
	})
}

// footprint is what one process of the operator needs.
type footprint struct {
	// ready is how long it took from its start until its readiness probe succeeded, complete until it had read all approvals.
	ready, complete time.Duration
	// memory is what was resident at rest, peak the most until then, both in MiB. idle is the part of one core that was used
	// at rest, startCPU the processor time up to then.
	memory, peak, idle float64
	startCPU           time.Duration
	// writes are what it had the API server store until it rested, but for Leases, events and the canary.
	writes map[string]int
}

// start runs the operator and waits until it is ready.
func (s *scale) start(ctx context.Context) (*testbed.Replica, time.Duration, error) {
	began := time.Now()
	r, err := s.bed.Launch(s.run.Binary)
	if err != nil {
		return nil, 0, err
	}
	if err := r.WaitReady(ctx); err != nil {
		return nil, 0, err
	}
	took := time.Since(began)
	s.bed.Balancer.Add(r)
	return r, took, nil
}

// rest is how long the operator is left alone before it counts as being at rest.
const (
	settling = 10 * time.Second
	resting  = 5 * time.Second
)

// measureStart starts the operator and looks at it once it rests. Its profile, if one is wanted, has the name.
func (s *scale) measureStart(ctx context.Context, name string) (*footprint, error) {
	before, err := s.bed.APIServerMetrics(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r, ready, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	f := &footprint{ready: ready}
	if err := waitComplete(ctx, r); err != nil {
		return nil, err
	}
	f.complete = time.Since(began)
	if err := measure.Pause(ctx, settling); err != nil {
		return nil, err
	}
	after, err := s.bed.APIServerMetrics(ctx)
	if err != nil {
		return nil, err
	}
	f.writes = writesOf(after.Since(before))
	if f.startCPU, err = r.ProcessorTime(); err != nil {
		return nil, err
	}
	if err := measure.Pause(ctx, resting); err != nil {
		return nil, err
	}
	end, err := r.ProcessorTime()
	if err != nil {
		return nil, err
	}
	f.idle = float64(end-f.startCPU) / float64(resting)
	if f.memory, err = r.Memory(); err != nil {
		return nil, err
	}
	if f.peak, err = r.PeakMemory(); err != nil {
		return nil, err
	}
	return f, r.Profile(ctx, name)
}

// waitComplete waits until a replica says that it has read all approvals.
func waitComplete(ctx context.Context, r *testbed.Replica) error {
	return measure.Wait(ctx, "all approvals are in memory", 10*time.Minute, func(context.Context) error {
		text, err := os.ReadFile(r.Log)
		if err == nil && !bytes.Contains(text, []byte("All approvals are in memory")) {
			err = errors.New("its log does not say so")
		}
		return err
	})
}

// writesOf counts what was stored of Countersign's kinds and of webhook configurations.
func writesOf(grown testbed.Metrics) map[string]int {
	counts := map[string]int{}
	for _, resource := range []string{"agentactionpolicies", "actionapprovals", "validatingwebhookconfigurations"} {
		for _, verb := range []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"} {
			labels := []string{fmt.Sprintf("resource=%q", resource), fmt.Sprintf("verb=%q", verb), `dry_run=""`}
			if n := int(grown.Sum("apiserver_request_total", labels...)); n > 0 {
				counts[verb+" "+resource] = n
			}
		}
	}
	return counts
}

// reset empties the cluster.
func (s *scale) reset(ctx context.Context) error {
	for _, r := range s.bed.Replicas {
		if !r.Ended() {
			if err := r.Terminate(ctx); err != nil {
				return err
			}
		}
	}
	configurations := []client.Object{
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-actions"}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-approvals"}},
	}
	for _, c := range configurations {
		if err := client.IgnoreNotFound(s.bed.Admin.Delete(ctx, c)); err != nil {
			return fmt.Errorf("removing webhook configurations: %w", err)
		}
	}
	var leases metav1.PartialObjectMetadata
	leases.SetGroupVersionKind(leaseKind)
	err := s.bed.Admin.DeleteAllOf(ctx, &leases, client.InNamespace(testbed.Namespace), client.MatchingLabels(heartbeat.Labels))
	if err != nil {
		return fmt.Errorf("removing leases: %w", err)
	}
	for _, prefix := range []string{policiesPrefix, approvalsPrefix} {
		if err := s.storage.clear(ctx, prefix); err != nil {
			return err
		}
	}
	return measure.Pause(ctx, 2*time.Second) // the API server may still call the webhooks
}

// reread has the API server begin anew with what is stored: following it object by object takes far longer. It waits until the
// API server has read all of a resource, as one that has run for a while: reading a hundred thousand objects takes it a minute.
func (s *scale) reread(ctx context.Context, list client.ObjectList, resource string) error {
	if err := s.bed.Plane.Component(controlplane.APIServer).Restart(ctx); err != nil {
		return fmt.Errorf("restarting the API server: %w", err)
	}
	return measure.Wait(ctx, "the API server has all", 10*time.Minute, func(ctx context.Context) error {
		if err := s.bed.Admin.List(ctx, list, client.Limit(1)); err != nil {
			return err
		}
		m, err := s.bed.APIServerMetrics(ctx)
		if err == nil && m.Sum("apiserver_watch_cache_initializations_total", fmt.Sprintf("resource=%q", resource)) == 0 {
			err = errors.Join(errors.New("it is still reading"), measure.Pause(ctx, time.Second))
		}
		return err
	})
}

// inForce says whether a policy's status says so, of the generation that is stored.
func inForce(p *v1alpha1.AgentActionPolicy) bool {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyEnforced)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == p.Generation
}

func mib(f float64) string { return fmt.Sprintf("%.0f MiB", f) }

func counted(counts map[string]int, what string) string {
	n := 0
	for name, c := range counts {
		if strings.HasSuffix(name, " "+what) {
			n += c
		}
	}
	return fmt.Sprint(n)
}
