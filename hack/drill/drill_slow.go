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
)

// etcd answers for so long and then does not for so long, again and again.
const etcdRuns, etcdStands = 600 * time.Millisecond, 400 * time.Millisecond

// patience is how long an agent waits for an answer at most: the webhook's timeout, and what the API server adds.
const patience = 5500 * time.Millisecond

func playSlow(ctx context.Context, b *bench) error {
	s, err := b.newStage(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer s.close()
	alice, err := s.person("alice")
	if err != nil {
		return err
	}
	person, err := s.writer(ctx, alice, "shop", "alice", 4, 80*time.Millisecond)
	if err != nil {
		return err
	}
	person.begin(ctx)
	defer person.end()
	phase := b.phase(8 * time.Second)
	var without, with []series
	measure := func(into *[]series) error {
		began, stop := time.Now(), s.slow(ctx)
		err := pause(ctx, phase)
		*into = append(*into, person.within(began, time.Now()))
		return errors.Join(err, stop())
	}
	for range b.rounds(3) {
		if err := measure(&without); err != nil {
			return err
		}
	}
	if err := errors.Join(s.install(ctx, "replicas=2"), s.govern(ctx, 2)); err != nil {
		return err
	}
	worker, err := s.agent(ctx, "worker")
	if err != nil {
		return err
	}
	agent, err := s.writer(ctx, worker, "counted", "agent", 4, 200*time.Millisecond)
	if err != nil {
		return err
	}
	agent.begin(ctx)
	defer agent.end()
	began := time.Now()
	for range b.rounds(3) {
		if err := measure(&with); err != nil {
			return err
		}
	}
	slow := agent.within(began, time.Now())
	b.report.settingf("two replicas; etcd stands still for %s in every second; %d writes of a person, %d of an agent, each counted by a budget",
		ms(etcdStands), join(without).n()+join(with).n(), slow.n())
	people := join(append(without, with...))
	b.report.claim(len(people.failures) == 0 && people.n() > 0, "no write of the person fails", "%d of %d%s", len(people.failures), people.n(), people.failure())
	ratio := ratios{float64(join(with).p99()) / float64(join(without).p99())}
	b.report.claim(ratio.median() <= most, "the person's p99 is what it is without Countersign installed, times 1.5 at most", "%s", ratio)
	if err := s.once(ctx, alice, worker); err != nil {
		return err
	}
	if err := s.stands(ctx, worker); err != nil {
		return err
	}
	b.report.figure("the person, without Countersign", "%s", spread(without))
	b.report.figure("the person, with it", "%s", spread(with))
	b.report.figure("the agent", "%s; %d of %d refused", spread([]series{slow}), len(slow.failures), slow.n())
	return nil
}

// slow lets etcd stand still again and again, until it is stopped.
func (s *stage) slow(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	etcd, ended := s.plane.Component(controlplane.Etcd), make(chan error, 1)
	go func() {
		var err error
		for err == nil && pause(ctx, etcdRuns) == nil {
			err = errors.Join(etcd.Pause(), pause(context.WithoutCancel(ctx), etcdStands), etcd.Resume())
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
	rounds, created, uses := s.bench.rounds(5), 0, 0
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
			return errors.Join(s.admin.Get(ctx, key, &approval), s.admin.List(ctx, &all, client.InNamespace("once")))
		})
		if err != nil {
			return err
		}
		created = len(all.Items)
		uses += len(approval.Status.Uses)
	}
	s.bench.report.claim(created == rounds && uses == rounds, "one consent, tried 10 times at once, creates one object",
		"%d objects and %d uses of %d consents", created, uses, rounds)
	return nil
}

// stands lets etcd stand still for longer than anybody waits, while an agent creates what needs consent. The API server
// passes a refusal of a creation on at once; before it refuses an update, it looks into etcd itself whether what it had
// in its cache was current.
func (s *stage) stands(ctx context.Context, worker client.Client) error {
	creations := &load{workers: 4, every: 200 * time.Millisecond, write: func(ctx context.Context, n, _ int) error {
		return generate(ctx, worker, "once", fmt.Sprintf("stands-%d-", n))
	}}
	etcd, began := s.plane.Component(controlplane.Etcd), time.Now()
	if err := etcd.Pause(); err != nil {
		return err
	}
	creations.begin(ctx)
	err := errors.Join(pause(ctx, 8*time.Second), etcd.Resume())
	resumed := time.Now()
	creations.end()
	if err != nil {
		return err
	}
	var longest time.Duration
	refused := creations.refusals(began, resumed)
	for _, took := range refused {
		longest = max(longest, took)
	}
	all := creations.answered(began, resumed)
	s.bench.report.claim(longest <= patience && len(refused) > 0 && len(refused) == all.n(),
		"etcd stands still for 8 s: each creation is refused within 5.5 s", "%d of %d refused, the longest after %s", len(refused), all.n(), ms(longest))
	return nil
}
