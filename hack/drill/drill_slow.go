package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

// etcd answers for so long and then does not for so long, again and again.
const etcdRuns, etcdStands = 600 * time.Millisecond, 400 * time.Millisecond

// patience is how long an agent waits for an answer at most: the webhook's timeout, and what the API server adds.
const patience = 5500 * time.Millisecond

// slowed is what was measured while etcd was slow.
type slowed struct {
	stage         *stage
	person, agent *measure.Load
	// without and with Countersign installed, of the person.
	without, with []measure.Series
}

func playSlow(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b, controlplane.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	alice, err := s.Person()
	if err != nil {
		return err
	}
	m := &slowed{stage: s}
	if m.person, err = s.writer(ctx, alice, "shop", "alice", 4, 80*time.Millisecond); err != nil {
		return err
	}
	m.person.Begin(ctx)
	defer m.person.End()
	if err := m.measure(ctx, &m.without); err != nil {
		return err
	}
	if err := errors.Join(s.Install(ctx, "replicas=2"), s.govern(ctx, 2)); err != nil {
		return err
	}
	worker, err := s.Agent(ctx, "worker")
	if err != nil {
		return err
	}
	if m.agent, err = s.writer(ctx, worker, "counted", "agent", 4, 200*time.Millisecond); err != nil {
		return err
	}
	m.agent.Begin(ctx)
	defer m.agent.End()
	began := time.Now()
	if err := m.measure(ctx, &m.with); err != nil {
		return err
	}
	m.report(b.Report, m.agent.Within(began, time.Now()))
	if err := s.once(ctx, alice, worker); err != nil {
		return err
	}
	return s.stands(ctx, worker)
}

// measure slows etcd down several times.
func (m *slowed) measure(ctx context.Context, into *[]measure.Series) error {
	for range m.stage.Run.Rounds(3) {
		began, stop := time.Now(), m.stage.slow(ctx)
		err := measure.Pause(ctx, m.stage.Run.Phase(8*time.Second))
		*into = append(*into, m.person.Within(began, time.Now()))
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
	}
	return nil
}

func (m *slowed) report(r *measure.Report, agent measure.Series) {
	without, with := measure.Join(m.without), measure.Join(m.with)
	r.Settingf("two replicas; etcd stands still for %s in every second; %d writes of a person, %d of an agent, each counted by "+
		"a budget", measure.Duration(etcdStands), without.N()+with.N(), agent.N())
	r.None("no write of the person fails", measure.Join([]measure.Series{without, with}))
	ratio := float64(with.P99()) / float64(without.P99())
	r.Claim(ratio <= most, "the person's p99 is what it is without Countersign installed, times 1.5 at most", "%.2f", ratio)
	r.Figure("the person, without Countersign", "%s", measure.Spread(m.without))
	r.Figure("the person, with it", "%s", measure.Spread(m.with))
	r.Figure("the agent", "%s; %d of %d refused", measure.Spread([]measure.Series{agent}), len(agent.Failures), agent.N())
}

// slow lets etcd stand still again and again, until it is stopped.
func (s *stage) slow(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	etcd, ended := s.Plane.Component(controlplane.Etcd), make(chan error, 1)
	go func() {
		var err error
		for err == nil && measure.Pause(ctx, etcdRuns) == nil {
			err = errors.Join(etcd.Pause(), measure.Pause(context.WithoutCancel(ctx), etcdStands), etcd.Resume())
		}
		ended <- err
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

// once has one consent used by many at once, while etcd is slow, and counts what came of it.
func (s *stage) once(ctx context.Context, alice, worker client.Client) error {
	rounds, created, uses := s.Run.Rounds(5), 0, 0
	stop := s.slow(ctx)
	defer func() { _ = stop() }()
	for round := range rounds {
		prefix := fmt.Sprintf("round-%d-", round)
		do := func(ctx context.Context) error { return generate(ctx, worker, "once", prefix) }
		key, err := ask(ctx, do)
		if err != nil {
			return err
		}
		if err := approve(ctx, alice, key); err != nil {
			return err
		}
		var attempts sync.WaitGroup
		for range 10 {
			attempts.Go(func() { _ = do(ctx) }) // all but one are refused, and that one may not hear that it was not
		}
		attempts.Wait()
		var approval v1alpha1.ActionApproval
		var all corev1.ConfigMapList
		err = patient(ctx, "the result is read", func(ctx context.Context) error {
			return errors.Join(s.Admin.Get(ctx, key, &approval), s.Admin.List(ctx, &all, client.InNamespace("once")))
		})
		if err != nil {
			return err
		}
		created = len(all.Items)
		uses += len(approval.Status.Uses)
	}
	s.Run.Report.Claim(created == rounds && uses == rounds, "one consent, tried 10 times at once, creates one object",
		"%d objects and %d uses of %d consents", created, uses, rounds)
	return nil
}

// stands lets etcd stand still for longer than anybody waits, while an agent creates what needs consent. The API server
// passes a refusal of a creation on at once; before it refuses an update, it looks into etcd itself whether what it had
// in its cache was current.
func (s *stage) stands(ctx context.Context, worker client.Client) error {
	creations := &measure.Load{Workers: 4, Every: 200 * time.Millisecond, Write: func(ctx context.Context, n, _ int) error {
		return generate(ctx, worker, "once", fmt.Sprintf("stands-%d-", n))
	}}
	etcd, began := s.Plane.Component(controlplane.Etcd), time.Now()
	if err := etcd.Pause(); err != nil {
		return err
	}
	creations.Begin(ctx)
	err := errors.Join(measure.Pause(ctx, 8*time.Second), etcd.Resume())
	resumed := time.Now()
	creations.End()
	if err != nil {
		return err
	}
	var longest time.Duration
	refused := creations.Refusals(began, resumed)
	for _, took := range refused {
		longest = max(longest, took)
	}
	all := creations.Answered(began, resumed)
	s.Run.Report.Claim(longest <= patience && len(refused) > 0 && len(refused) == all.N(),
		"etcd stands still for 8 s: each creation is refused within 5.5 s", "%d of %d refused, the longest after %s",
		len(refused), all.N(), measure.Duration(longest))
	return nil
}
