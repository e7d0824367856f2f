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
)

// noise is what was measured of the drill noise, by phases without and with it.
type noise struct {
	stage                     *stage
	others                    *agentLoad
	quiet, loud               []series // of the person
	quietAgent, loudAgent     []series // of the other agent
	refused                   []series
	lasted                    time.Duration
	memoryBefore, memoryAfter float64
}

// playNoise has one agent ask for consent again and again, and never get it.
func playNoise(ctx context.Context, b *bench) error {
	s, err := b.newStage(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer s.close()
	if err := errors.Join(s.install(ctx), s.govern(ctx, 1)); err != nil {
		return err
	}
	alice, err := s.person()
	if err != nil {
		return err
	}
	if _, err := s.scaler(ctx, alice, time.Second); err != nil { // for its Deployment
		return err
	}
	noisy, err := s.agent(ctx, "noisy")
	if err != nil {
		return err
	}
	n := &noise{stage: s}
	if n.others, err = s.agentLoad(ctx); err != nil {
		return err
	}
	defer n.others.end()
	if n.memoryBefore, err = s.replicas[0].memory(); err != nil {
		return err
	}
	for range b.rounds(3) {
		if err := n.round(ctx, noisy); err != nil {
			return err
		}
	}
	if n.memoryAfter, err = s.replicas[0].memory(); err != nil {
		return err
	}
	return n.report(ctx, b.report)
}

// round is a phase without noise, and one with it.
func (n *noise) round(ctx context.Context, noisy client.Client) error {
	phase := n.stage.bench.phase(10 * time.Second)
	began := time.Now()
	if err := pause(ctx, phase); err != nil {
		return err
	}
	// 60 workers, each at most once in 360 ms: 10,000 a minute.
	shouts := &load{workers: 60, every: 360 * time.Millisecond, write: func(ctx context.Context, _, _ int) error {
		return scale(ctx, noisy, 50)
	}}
	start := time.Now()
	shouts.begin(ctx)
	err := pause(ctx, phase)
	end := time.Now()
	shouts.end()
	n.lasted += end.Sub(start)
	person, agent := n.others.person, n.others.agent
	n.quiet, n.loud = append(n.quiet, person.between(began, start)), append(n.loud, person.between(start, end))
	n.quietAgent, n.loudAgent = append(n.quietAgent, agent.between(began, start)), append(n.loudAgent, agent.between(start, end))
	n.refused = append(n.refused, shouts.between(start, end))
	return err
}

func (n *noise) report(ctx context.Context, r *report) error {
	refused := join(n.refused)
	r.settingf("one replica; %d refusals, %.0f a minute; %d writes of another agent and %d of a person meanwhile", refused.n(),
		float64(refused.n())/n.lasted.Minutes(), join(n.loudAgent).n(), join(n.loud).n())
	if err := n.stage.claimLittleWritten(ctx, r, refused); err != nil {
		return err
	}
	r.none("no covered write of the other agent is refused", join(n.loudAgent))
	r.none("no write of the person fails", join(n.loud))
	r.claim(n.memoryAfter <= n.memoryBefore+64, "the operator's memory does not grow with them: by 64 MiB at most",
		"%.0f MiB before, %.0f MiB after", n.memoryBefore, n.memoryAfter)
	r.figure("the person's p99, with the noise to without", "%s", compare(n.loud, n.quiet, .99))
	r.figure("the other agent's p99, with the noise to without", "%s", compare(n.loudAgent, n.quietAgent, .99))
	r.figure("the person, without and with", "%s; %s", spread(n.quiet), spread(n.loud))
	r.figure("the other agent, without and with", "%s; %s", spread(n.quietAgent), spread(n.loudAgent))
	return nil
}

// claimLittleWritten claims that refusals are refusals, and write next to nothing.
func (s *stage) claimLittleWritten(ctx context.Context, r *report, refused series) error {
	other := 0
	for _, f := range refused.failures {
		if !strings.Contains(f, "countersign decision=RequireApproval") {
			other++
		}
	}
	r.claim(len(refused.took) == 0 && other == 0 && refused.n() > 0, "each is refused by a decision", "%d admitted, %d without a decision",
		len(refused.took), other)
	var approvals v1alpha1.ActionApprovalList
	if err := s.admin.List(ctx, &approvals, client.InNamespace("shop")); err != nil {
		return err
	}
	r.claim(len(approvals.Items) == 1, "they write one object", "%d", len(approvals.Items))
	var events eventsv1.EventList
	if err := s.admin.List(ctx, &events, client.InNamespace("shop")); err != nil {
		return err
	}
	about := 0
	for i := range events.Items {
		if events.Items[i].Regarding.Kind == "ActionApproval" {
			about++
		}
	}
	r.claim(about <= 5, "and 5 Events at most", "%d", about)
	return nil
}
