package main

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

// agentLoad is an agent and a person who write while something happens to the replicas.
type agentLoad struct{ person, agent *measure.Load }

func (s *stage) agentLoad(ctx context.Context) (*agentLoad, error) {
	alice, err := s.Person()
	if err != nil {
		return nil, err
	}
	worker, err := s.Agent(ctx, "worker")
	if err != nil {
		return nil, err
	}
	l := &agentLoad{}
	if l.person, err = s.writer(ctx, alice, "shop", "alice", 2, 100*time.Millisecond); err != nil {
		return nil, err
	}
	if l.agent, err = s.writer(ctx, worker, "shop", "agent", 8, 100*time.Millisecond); err != nil {
		return nil, err
	}
	l.person.Begin(ctx)
	l.agent.Begin(ctx)
	return l, measure.Pause(ctx, s.Run.Phase(3*time.Second))
}

// underAgentLoad opens a stage with a release of these values, waits until so many replicas are ready, and has an agent and a
// person write. Close the stage unless there is an error.
func underAgentLoad(ctx context.Context, b *measure.Run, ready int, values string) (_ *stage, _ *agentLoad, err error) {
	s, err := newStage(ctx, b, controlplane.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := errors.Join(s.Install(ctx, values), s.govern(ctx, ready)); err != nil {
		return nil, nil, err
	}
	l, err := s.agentLoad(ctx)
	return s, l, err
}

func (l *agentLoad) end() {
	l.person.End()
	l.agent.End()
}

// claimUndisturbed claims that what was valid was admitted, whatever happened in a span.
func (l *agentLoad) claimUndisturbed(r *measure.Report, from, to time.Time) {
	agent, person := l.agent.Between(from, to), l.person.Between(from, to)
	r.None("no covered write of the agent is refused", agent)
	r.None("no write of the person fails", person)
	r.Figure("the agent, before", "%s", measure.Spread([]measure.Series{l.agent.Between(time.Time{}, from)}))
	r.Figure("the agent, meanwhile", "%s; max %s", measure.Spread([]measure.Series{agent}), measure.Duration(agent.Max()))
}

func playRolling(ctx context.Context, b *measure.Run) error {
	s, l, err := underAgentLoad(ctx, b, 3, "replicas=3")
	if err != nil {
		return err
	}
	defer s.Close()
	began := time.Now()
	var ends []time.Duration
	// As the chart's Deployment does it: a new one is ready before an old one goes.
	for _, old := range s.Replicas[:3:3] {
		if err := s.Join(ctx); err != nil {
			return err
		}
		asked := time.Now()
		if err := old.Terminate(ctx); err != nil {
			return err
		}
		ends = append(ends, time.Since(asked))
	}
	ended := time.Now()
	if err := measure.Pause(ctx, b.Phase(2*time.Second)); err != nil {
		return err
	}
	l.end()
	r := b.Report
	r.Settingf("three replicas, all replaced in %s; %d writes of an agent, %d of a person meanwhile",
		measure.Duration(ended.Sub(began)), l.agent.Between(began, ended).N(), l.person.Between(began, ended).N())
	l.claimUndisturbed(r, began, time.Now())
	r.Figure("from SIGTERM until a process has ended", "%s", measure.Times(ends))
	return nil
}
