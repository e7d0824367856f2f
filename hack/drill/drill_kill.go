package main

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

// most is how much longer the p99 of somebody's writes may be than in the run before: what a machine with two cores
// that does everything itself varies by from one run to the next, and a little.
const most = 1.5

// killed is what was measured of the drill kill.
type killed struct {
	stage                 *stage
	person, scaler, agent *measure.Load
	before, down          []measure.Series // of the person
	covered               []measure.Series // of the agent, before
	refused               measure.Series   // of the agent, while it was down
	admitted              int
	back, ready           []time.Duration
}

func playKill(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b, controlplane.Options{ControllerManager: true})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := errors.Join(s.Install(ctx), s.govern(ctx, 1)); err != nil {
		return err
	}
	k := &killed{stage: s}
	began := time.Now()
	if err := k.load(ctx); err != nil {
		return err
	}
	if err := measure.Pause(ctx, b.Phase(3*time.Second)); err != nil { // warm
		return err
	}
	for range b.Rounds(3) {
		if err := k.round(ctx); err != nil {
			return err
		}
	}
	for _, l := range []*measure.Load{k.person, k.scaler, k.agent} {
		l.End()
	}
	return k.report(b.Report, began)
}

func (k *killed) load(ctx context.Context) error {
	alice, err := k.stage.Person()
	if err != nil {
		return err
	}
	worker, err := k.stage.Agent(ctx, "worker")
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
	for _, l := range []*measure.Load{k.person, k.scaler, k.agent} {
		l.Begin(ctx)
	}
	return nil
}

// round measures with the operator, without it, and until it is back.
func (k *killed) round(ctx context.Context) error {
	phase := k.stage.Run.Phase(8 * time.Second)
	operator := k.stage.Replicas[len(k.stage.Replicas)-1]
	began := time.Now()
	if err := measure.Pause(ctx, phase); err != nil {
		return err
	}
	with := time.Now()
	operator.Kill()
	dead := time.Now()
	if err := measure.Pause(ctx, phase); err != nil {
		return err
	}
	restarted := time.Now()
	if err := k.stage.Join(ctx); err != nil {
		return err
	}
	k.ready = append(k.ready, time.Since(restarted))
	err := measure.Wait(ctx, "an agent is admitted again", time.Minute, func(context.Context) error {
		if k.agent.FirstAdmitted(restarted).IsZero() {
			return errors.New("none yet")
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.back = append(k.back, k.agent.FirstAdmitted(restarted).Sub(restarted))
	k.before = append(k.before, k.person.Between(began, with))
	k.down = append(k.down, k.person.Between(dead, restarted))
	k.covered = append(k.covered, k.agent.Within(began, with))
	gone := k.agent.Between(dead, restarted)
	k.admitted += len(gone.Took)
	k.refused.Failures = append(k.refused.Failures, gone.Failures...)
	return measure.Pause(ctx, time.Second)
}

func (k *killed) report(r *measure.Report, began time.Time) error {
	now := time.Now()
	people := measure.Join([]measure.Series{k.person.Between(began, now), k.scaler.Between(began, now)})
	machines, err := k.stage.audited(began, now, controllers...)
	if err != nil {
		return err
	}
	covered := measure.Join(k.covered)
	r.Settingf("one replica, killed %d times; %d writes of a person, %d of an agent, %d of controllers",
		len(k.before), people.N(), k.agent.Between(began, now).N(), machines.all)
	r.Claim(len(covered.Failures) == 0 && covered.N() > 0, "an agent's covered writes pass before",
		"%d of %d%s", len(covered.Took), covered.N(), covered.Failure())
	r.Claim(k.admitted == 0 && k.refused.N() > 0, "while it is down every one is refused", "%d of %d",
		k.refused.N(), k.refused.N()+k.admitted)
	r.None("no write of the person fails", people)
	r.Claim(machines.failed == 0 && machines.all > 0, "no write of a controller fails", "%d of %d fail%s",
		machines.failed, machines.all, machines.first)
	ratio := float64(measure.Join(k.down).P99()) / float64(measure.Join(k.before).P99())
	r.Claim(ratio <= most, "the person's p99 is what it was with the operator, times 1.5 at most", "%.2f of all; by rounds %s", ratio,
		measure.Compare(k.down, k.before, .99))
	r.Figure("the person, with the operator", "%s", measure.Spread(k.before))
	r.Figure("the person, without", "%s", measure.Spread(k.down))
	r.Figure("the p50, without to with", "%s", measure.Compare(k.down, k.before, .5))
	r.Figure("from the start of a new process until it is ready", "%s", measure.Times(k.ready))
	r.Figure("from there to the first write admitted to the agent", "%s", measure.Times(k.back))
	return nil
}
