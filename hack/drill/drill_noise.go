package main

import (
	"context"
	"errors"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

// noise is what was measured of the drill noise, by phases without and with it.
type noise struct {
	stage                     *stage
	others                    *agentLoad
	quiet, loud               []measure.Series // of the person
	quietAgent, loudAgent     []measure.Series // of the other agent
	refused                   []measure.Series
	lasted                    time.Duration
	memoryBefore, memoryAfter float64
}

// playNoise has one agent ask for consent again and again, and never get it.
func playNoise(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b, controlplane.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := errors.Join(s.Install(ctx), s.govern(ctx, 1)); err != nil {
		return err
	}
	alice, err := s.Person()
	if err != nil {
		return err
	}
	if _, err := s.scaler(ctx, alice, time.Second); err != nil { // for its Deployment
		return err
	}
	noisy, err := s.Agent(ctx, "noisy")
	if err != nil {
		return err
	}
	n := &noise{stage: s}
	if n.others, err = s.agentLoad(ctx); err != nil {
		return err
	}
	defer n.others.end()
	if n.memoryBefore, err = s.Replicas[0].Memory(); err != nil {
		return err
	}
	for range b.Rounds(3) {
		if err := n.round(ctx, noisy); err != nil {
			return err
		}
	}
	if n.memoryAfter, err = s.Replicas[0].Memory(); err != nil {
		return err
	}
	return n.report(ctx, b.Report)
}

// round is a phase without noise, and one with it.
func (n *noise) round(ctx context.Context, noisy client.Client) error {
	phase := n.stage.Run.Phase(10 * time.Second)
	began := time.Now()
	if err := measure.Pause(ctx, phase); err != nil {
		return err
	}
	// 60 workers, each at most once in 360 ms: 10,000 a minute.
	shouts := &measure.Load{Workers: 60, Every: 360 * time.Millisecond, Write: func(ctx context.Context, _, _ int) error {
		return scale(ctx, noisy, 50)
	}}
	start := time.Now()
	shouts.Begin(ctx)
	err := measure.Pause(ctx, phase)
	end := time.Now()
	shouts.End()
	n.lasted += end.Sub(start)
	person, agent := n.others.person, n.others.agent
	n.quiet, n.loud = append(n.quiet, person.Between(began, start)), append(n.loud, person.Between(start, end))
	n.quietAgent, n.loudAgent = append(n.quietAgent, agent.Between(began, start)), append(n.loudAgent, agent.Between(start, end))
	n.refused = append(n.refused, shouts.Between(start, end))
	return err
}

func (n *noise) report(ctx context.Context, r *measure.Report) error {
	refused := measure.Join(n.refused)
	r.Settingf("one replica; %d refusals, %.0f a minute; %d writes of another agent and %d of a person meanwhile", refused.N(),
		float64(refused.N())/n.lasted.Minutes(), measure.Join(n.loudAgent).N(), measure.Join(n.loud).N())
	if err := n.stage.claimLittleWritten(ctx, r, refused); err != nil {
		return err
	}
	r.None("no covered write of the other agent is refused", measure.Join(n.loudAgent))
	r.None("no write of the person fails", measure.Join(n.loud))
	r.Claim(n.memoryAfter <= n.memoryBefore+64, "the operator's memory does not grow with them: by 64 MiB at most",
		"%.0f MiB before, %.0f MiB after", n.memoryBefore, n.memoryAfter)
	r.Figure("the person's p99, with the noise to without", "%s", measure.Compare(n.loud, n.quiet, .99))
	r.Figure("the other agent's p99, with the noise to without", "%s", measure.Compare(n.loudAgent, n.quietAgent, .99))
	r.Figure("the person, without and with", "%s; %s", measure.Spread(n.quiet), measure.Spread(n.loud))
	r.Figure("the other agent, without and with", "%s; %s", measure.Spread(n.quietAgent), measure.Spread(n.loudAgent))
	return nil
}

// claimLittleWritten claims that refusals are refusals, and write next to nothing.
func (s *stage) claimLittleWritten(ctx context.Context, r *measure.Report, refused measure.Series) error {
	other := 0
	for _, f := range refused.Failures {
		if !strings.Contains(f, "countersign decision=RequireApproval") {
			other++
		}
	}
	r.Claim(len(refused.Took) == 0 && other == 0 && refused.N() > 0, "each is refused by a decision", "%d admitted, %d without a decision",
		len(refused.Took), other)
	var approvals v1alpha1.ActionApprovalList
	if err := s.Admin.List(ctx, &approvals, client.InNamespace("shop")); err != nil {
		return err
	}
	r.Claim(len(approvals.Items) == 1, "they write one object", "%d", len(approvals.Items))
	var events eventsv1.EventList
	if err := s.Admin.List(ctx, &events, client.InNamespace("shop")); err != nil {
		return err
	}
	about := 0
	for i := range events.Items {
		if events.Items[i].Regarding.Kind == "ActionApproval" {
			about++
		}
	}
	r.Claim(about <= 5, "and 5 Events at most", "%d", about)
	return nil
}
