package main

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// agentLoad is an agent and a person who write while something happens to the replicas.
type agentLoad struct{ person, agent *load }

func (s *stage) agentLoad(ctx context.Context) (*agentLoad, error) {
	alice, err := s.person()
	if err != nil {
		return nil, err
	}
	worker, err := s.agent(ctx, "worker")
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
	l.person.begin(ctx)
	l.agent.begin(ctx)
	return l, pause(ctx, s.bench.phase(3*time.Second))
}

// underAgentLoad opens a stage with a release of these values, waits until so many replicas are ready, and has an agent and a
// person write. Close the stage unless there is an error.
func (b *bench) underAgentLoad(ctx context.Context, ready int, values string) (_ *stage, _ *agentLoad, err error) {
	s, err := b.newStage(ctx, controlplane.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := errors.Join(s.install(ctx, values), s.govern(ctx, ready)); err != nil {
		return nil, nil, err
	}
	l, err := s.agentLoad(ctx)
	return s, l, err
}

func (l *agentLoad) end() {
	l.person.end()
	l.agent.end()
}

// claimUndisturbed claims that what was valid was admitted, whatever happened in a span.
func (l *agentLoad) claimUndisturbed(r *report, from, to time.Time) {
	agent, person := l.agent.between(from, to), l.person.between(from, to)
	r.none("no covered write of the agent is refused", agent)
	r.none("no write of the person fails", person)
	r.figure("the agent, before", "%s", spread([]series{l.agent.between(time.Time{}, from)}))
	r.figure("the agent, meanwhile", "%s; max %s", spread([]series{agent}), ms(agent.max()))
}

func playRolling(ctx context.Context, b *bench) error {
	s, l, err := b.underAgentLoad(ctx, 3, "replicas=3")
	if err != nil {
		return err
	}
	defer s.close()
	began := time.Now()
	var ends []time.Duration
	// As the chart's Deployment does it: a new one is ready before an old one goes.
	for _, old := range s.replicas[:3:3] {
		if err := s.join(ctx); err != nil {
			return err
		}
		asked := time.Now()
		if err := old.terminate(ctx); err != nil {
			return err
		}
		ends = append(ends, time.Since(asked))
	}
	ended := time.Now()
	if err := pause(ctx, b.phase(2*time.Second)); err != nil {
		return err
	}
	l.end()
	r := b.report
	r.settingf("three replicas, all replaced in %s; %d writes of an agent, %d of a person meanwhile",
		ms(ended.Sub(began)), l.agent.between(began, ended).n(), l.person.between(began, ended).n())
	l.claimUndisturbed(r, began, time.Now())
	r.figure("from SIGTERM until a process has ended", "%s", times(ends))
	return nil
}
