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
	alice, err := s.person("alice")
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
	l, err := s.agentLoad(ctx)
	if err != nil {
		return err
	}
	memoryBefore, err := s.replicas[0].memory()
	if err != nil {
		return err
	}
	// 60 workers, each at most once in 360 ms: 10,000 a minute.
	shout := func() *load {
		return &load{workers: 60, every: 360 * time.Millisecond, write: func(ctx context.Context, _, _ int) error {
			return scale(ctx, noisy, 50)
		}}
	}
	phase := b.phase(10 * time.Second)
	var quiet, loud, quietAgent, loudAgent, refusals []series
	for range b.rounds(3) {
		began := time.Now()
		if err := pause(ctx, phase); err != nil {
			return err
		}
		noise, start := shout().begin(ctx), time.Now()
		if err := pause(ctx, phase); err != nil {
			return err
		}
		end := time.Now()
		noise.end()
		quiet, loud = append(quiet, l.person.between(began, start)), append(loud, l.person.between(start, end))
		quietAgent, loudAgent = append(quietAgent, l.agent.between(began, start)), append(loudAgent, l.agent.between(start, end))
		refusals = append(refusals, noise.between(start, end))
	}
	l.end()
	memoryAfter, err := s.replicas[0].memory()
	if err != nil {
		return err
	}
	r := b.report
	refused := join(refusals)
	r.settingf("one replica; %d refusals, %.0f a minute; %d writes of another agent and %d of a person meanwhile", refused.n(),
		float64(refused.n())/(time.Duration(len(loud))*phase).Minutes(), join(loudAgent).n(), join(loud).n())
	if err := s.claimLittleWritten(ctx, r, refused); err != nil {
		return err
	}
	others, people := join(loudAgent), join(loud)
	r.claim(len(others.failures) == 0 && others.n() > 0, "no covered write of the other agent is refused", "%d of %d%s",
		len(others.failures), others.n(), others.failure())
	r.claim(len(people.failures) == 0 && people.n() > 0, "no write of the person fails", "%d of %d%s",
		len(people.failures), people.n(), people.failure())
	r.claim(memoryAfter <= memoryBefore+64, "the operator's memory does not grow with them: by 64 MiB at most", "%.0f MiB before, %.0f MiB after",
		memoryBefore, memoryAfter)
	r.figure("the person's p99, with the noise to without", "%s", compare(loud, quiet, .99))
	r.figure("the other agent's p99, with the noise to without", "%s", compare(loudAgent, quietAgent, .99))
	r.figure("the person, without and with", "%s; %s", spread(quiet), spread(loud))
	r.figure("the other agent, without and with", "%s; %s", spread(quietAgent), spread(loudAgent))
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
	r.claim(len(refused.took) == 0 && other == 0 && refused.n() > 0, "each is refused by a decision", "%d admitted, %d without a decision%s",
		len(refused.took), other, refused.failure()[:min(len(refused.failure()), 80)])
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
