package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// nodes are as many as a small cluster has. What controllers say of one that is silent is said after a short while here.
const nodes = 3

// playOutage stops everything but what etcd holds, and starts all but the operator.
func playOutage(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b, controlplane.Options{Nodes: nodes, Flags: map[string][]string{
		controlplane.ControllerManager: {"--node-monitor-grace-period=16s", "--node-monitor-period=1s"},
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := errors.Join(s.Install(ctx, "replicas=3"), s.govern(ctx, 3)); err != nil {
		return err
	}
	alice, err := s.Person()
	if err != nil {
		return err
	}
	if _, err := s.scaler(ctx, alice, time.Second); err != nil {
		return err
	}
	if err := scale(ctx, alice, 2); err != nil {
		return err
	}
	if err := s.waitRolledOut(ctx, "shop", "web", 2); err != nil {
		return err
	}
	if err := s.blackOut(ctx); err != nil {
		return err
	}
	return s.recover(ctx, alice)
}

// blackOut stops everything for good measure: the replicas, and all components, etcd last. The API server comes back
// first, and nodes are silent until controllers say that they are lost.
func (s *stage) blackOut(ctx context.Context) error {
	for _, r := range s.Replicas {
		r.Kill()
	}
	all := []string{controlplane.Kwok, controlplane.Scheduler, controlplane.ControllerManager, controlplane.APIServer, controlplane.Etcd}
	for _, name := range all {
		if err := s.Plane.Component(name).Kill(); err != nil {
			return err
		}
	}
	for _, name := range []string{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager} {
		if err := s.Plane.Component(name).Start(ctx); err != nil {
			return err
		}
	}
	return measure.Wait(ctx, "controllers say that all nodes are lost", 2*time.Minute, func(ctx context.Context) error {
		return s.countReady(ctx, 0)
	})
}

// recover brings back nodes and scheduler, and has a person deploy and the operator's own pods made.
func (s *stage) recover(ctx context.Context, alice client.Client) error {
	began := time.Now()
	// The pods are gone with their nodes, those of the operator too.
	for _, space := range []string{testbed.Namespace, "shop"} {
		if err := s.Admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(space), client.GracePeriodSeconds(0)); err != nil {
			return fmt.Errorf("removing pods: %w", err)
		}
	}
	for _, name := range []string{controlplane.Scheduler, controlplane.Kwok} {
		if err := s.Plane.Component(name).Start(ctx); err != nil {
			return err
		}
	}
	r := s.Run.Report
	err := measure.Wait(ctx, "all nodes are ready", 2*time.Minute, func(ctx context.Context) error { return s.countReady(ctx, nodes) })
	r.Claim(err == nil, "all nodes are ready again", "after %s", measure.Duration(time.Since(began)))
	deployed := scale(ctx, alice, 5)
	err = errors.Join(deployed, s.waitRolledOut(ctx, "shop", "web", 5))
	r.Claim(err == nil, "a person deploys, and the pods run", "after %s%s", measure.Duration(time.Since(began)), because(err))
	err = s.waitRolledOut(ctx, testbed.Namespace, testbed.Release, 3)
	r.Claim(err == nil, "the pods of the operator's own Deployment are made and run", "after %s%s",
		measure.Duration(time.Since(began)), because(err))
	calls, err := s.reviews(ctx)
	if err != nil {
		return err
	}
	r.Claim(calls == 0, "nothing of that was sent to the operator", "%d reviews", calls)
	return s.stillRefused(ctx, began)
}

// stillRefused claims that the gate held all the while, and opens again for agents when the operator is back.
func (s *stage) stillRefused(ctx context.Context, began time.Time) error {
	worker, err := s.Agent(ctx, "worker")
	if err != nil {
		return err
	}
	agent, err := s.writer(ctx, worker, "shop", "agent", 1, 200*time.Millisecond)
	if err != nil {
		return err
	}
	write := func(ctx context.Context) error { return agent.Write(ctx, 0, 0) }
	r := s.Run.Report
	err = write(ctx)
	const unanswered = "failed calling webhook"
	if err != nil && strings.Contains(err.Error(), unanswered) {
		err = errors.New(unanswered)
	}
	r.Claim(err != nil && err.Error() == unanswered, "an agent is refused meanwhile", "%v", err)
	back := time.Now()
	if err := s.Join(ctx); err != nil {
		return err
	}
	if err := measure.Wait(ctx, "an agent is admitted", time.Minute, write); err != nil {
		return err
	}
	machines, err := s.audited(began, back, controllers...)
	if err != nil {
		return err
	}
	r.Settingf("three nodes, three replicas, all processes killed; %d writes of controllers, nodes and scheduler while there is no operator",
		machines.all)
	r.Claim(machines.failed == 0 && machines.all > 0, "no write of a controller, node or scheduler fails", "%d of %d%s", machines.failed,
		machines.all, machines.first)
	r.Figure("from the start of an operator until an agent is admitted", "%s", measure.Duration(time.Since(back)))
	return nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// countReady is an error unless so many nodes are ready.
func (s *stage) countReady(ctx context.Context, want int) error {
	var list corev1.NodeList
	if err := s.Admin.List(ctx, &list); err != nil {
		return err
	}
	ready := 0
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	if ready != want {
		return fmt.Errorf("%d nodes are ready, not %d", ready, want)
	}
	return nil
}

func (s *stage) waitRolledOut(ctx context.Context, namespace, name string, replicas int32) error {
	return measure.Wait(ctx, "pods of "+name+" run", 2*time.Minute, func(ctx context.Context) error {
		var d appsv1.Deployment
		if err := s.Admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
			return err
		}
		if d.Status.ReadyReplicas != replicas || d.Status.ObservedGeneration != d.Generation {
			return fmt.Errorf("%d of %d are ready", d.Status.ReadyReplicas, replicas)
		}
		return nil
	})
}

// reviews is how many requests the API server has sent to webhooks since it started, by its own count.
func (s *stage) reviews(ctx context.Context) (int, error) {
	m, err := s.APIServerMetrics(ctx)
	return int(m.Sum("apiserver_admission_webhook_request_total")), err
}
