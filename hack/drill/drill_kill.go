package main

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// most is how much longer the p99 of somebody's writes may be than in the run before: what a machine with two cores
// that does everything itself varies by from one run to the next, and a little.
const most = 1.5

// killed is what was measured of the drill kill.
type killed struct {
	stage                 *stage
	person, scaler, agent *load
	before, down          []series // of the person
	covered               []series // of the agent, before
	refused               series   // of the agent, while it was down
	admitted              int
	back, ready           []time.Duration
}

func playKill(ctx context.Context, b *bench) error {
	s, err := b.newStage(ctx, controlplane.Options{ControllerManager: true})
	if err != nil {
		return err
	}
	defer s.close()
	if err := errors.Join(s.install(ctx), s.govern(ctx, 1)); err != nil {
		return err
	}
	k := &killed{stage: s}
	began := time.Now()
	if err := k.load(ctx); err != nil {
		return err
	}
	if err := pause(ctx, b.phase(3*time.Second)); err != nil { // warm
		return err
	}
	for range b.rounds(3) {
		if err := k.round(ctx); err != nil {
			return err
		}
	}
	for _, l := range []*load{k.person, k.scaler, k.agent} {
		l.end()
	}
	return k.report(b.report, began)
}

func (k *killed) load(ctx context.Context) error {
	alice, err := k.stage.person()
	if err != nil {
		return err
	}
	worker, err := k.stage.agent(ctx, "worker")
	if err != nil {
		return err
	}
	if k.person, err = k.stage.writer(ctx, alice, "shop", "alice", 4, 40*time.Millisecond); err != nil {
		return err
	}
	if k.scaler, err = k.stage.scaler(ctx, alice, time.Second); err != nil {
		return err
	}
	if k.agent, err = k.stage.writer(ctx, worker, "shop", "agent", 4, 200*time.Millisecond); err != nil {
		return err
	}
	for _, l := range []*load{k.person, k.scaler, k.agent} {
		l.begin(ctx)
	}
	return nil
}

// round measures with the operator, without it, and until it is back.
func (k *killed) round(ctx context.Context) error {
	phase := k.stage.bench.phase(8 * time.Second)
	operator := k.stage.replicas[len(k.stage.replicas)-1]
	began := time.Now()
	if err := pause(ctx, phase); err != nil {
		return err
	}
	with := time.Now()
	operator.kill()
	dead := time.Now()
	if err := pause(ctx, phase); err != nil {
		return err
	}
	restarted := time.Now()
	if err := k.stage.join(ctx); err != nil {
		return err
	}
	k.ready = append(k.ready, time.Since(restarted))
	err := wait(ctx, "an agent is admitted again", time.Minute, func(context.Context) error {
		if k.agent.firstAdmitted(restarted).IsZero() {
			return errors.New("none yet")
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.back = append(k.back, k.agent.firstAdmitted(restarted).Sub(restarted))
	k.before = append(k.before, k.person.between(began, with))
	k.down = append(k.down, k.person.between(dead, restarted))
	k.covered = append(k.covered, k.agent.within(began, with))
	gone := k.agent.between(dead, restarted)
	k.admitted += len(gone.took)
	k.refused.failures = append(k.refused.failures, gone.failures...)
	return pause(ctx, time.Second)
}

func (k *killed) report(r *report, began time.Time) error {
	now := time.Now()
	people := join([]series{k.person.between(began, now), k.scaler.between(began, now)})
	machines, err := k.stage.audited(began, now, controllers...)
	if err != nil {
		return err
	}
	covered := join(k.covered)
	r.settingf("one replica, killed %d times; %d writes of a person, %d of an agent, %d of controllers",
		len(k.before), people.n(), k.agent.between(began, now).n(), machines.all)
	r.claim(len(covered.failures) == 0 && covered.n() > 0, "an agent's covered writes pass before",
		"%d of %d%s", len(covered.took), covered.n(), covered.failure())
	r.claim(k.admitted == 0 && k.refused.n() > 0, "while it is down every one is refused", "%d of %d",
		k.refused.n(), k.refused.n()+k.admitted)
	r.none("no write of the person fails", people)
	r.claim(machines.failed == 0 && machines.all > 0, "no write of a controller fails", "%d of %d fail%s",
		machines.failed, machines.all, machines.first)
	ratio := float64(join(k.down).p99()) / float64(join(k.before).p99())
	r.claim(ratio <= most, "the person's p99 is what it was with the operator, times 1.5 at most", "%.2f of all; by rounds %s", ratio,
		compare(k.down, k.before, .99))
	r.figure("the person, with the operator", "%s", spread(k.before))
	r.figure("the person, without", "%s", spread(k.down))
	r.figure("the p50, without to with", "%s", compare(k.down, k.before, .5))
	r.figure("from the start of a new process until it is ready", "%s", times(k.ready))
	r.figure("from there to the first write admitted to the agent", "%s", times(k.back))
	return nil
}
