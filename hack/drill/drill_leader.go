package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// leaseTime is the 15 s after which a Lease that is not renewed may be taken, attempts every two and a half at most, as
// controller-runtime has it, and a little for a busy machine.
const leaseTime = 20 * time.Second

func playLeader(ctx context.Context, b *measure.Run) error {
	s, l, err := underAgentLoad(ctx, b, 3, "replicas=3")
	if err != nil {
		return err
	}
	defer s.Close()
	elected, err := s.elected()
	if err != nil {
		return err
	}
	held, err := s.holder(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	elected.Kill()
	// The background work that is left undone, until another does it.
	var policy v1alpha1.AgentActionPolicy
	if err := s.touchPolicy(ctx, &policy); err != nil {
		return err
	}
	var taken, done time.Duration
	err = measure.Wait(ctx, "another replica does the background work", 2*time.Minute, func(ctx context.Context) error {
		now, err := s.holder(ctx)
		if err != nil {
			return err
		}
		if taken == 0 && now != held {
			taken = time.Since(began)
		}
		var stored v1alpha1.AgentActionPolicy
		if err := s.Admin.Get(ctx, client.ObjectKeyFromObject(&policy), &stored); err != nil {
			return err
		}
		if stored.Status.ObservedGeneration != policy.Generation {
			return fmt.Errorf("its status is of generation %d, not %d", stored.Status.ObservedGeneration, policy.Generation)
		}
		done = time.Since(began)
		return nil
	})
	if err != nil {
		return err
	}
	l.end()
	reportLeader(b.Report, l, began, taken, done)
	return nil
}

func reportLeader(r *measure.Report, l *agentLoad, began time.Time, taken, done time.Duration) {
	// Until the balancer has heard of the death, one new connection in three goes to a closed port, as with a Service.
	heard := began.Add(testbed.ReadinessPeriod + 500*time.Millisecond)
	first, rest, person := l.agent.Between(began, heard), l.agent.Between(heard, time.Now()), l.person.Between(began, time.Now())
	r.Settingf("three replicas; %d writes of an agent, %d of a person after the death", first.N()+rest.N(), person.N())
	r.None("the others refuse no covered write, once no connections go to the dead one", rest)
	r.None("no write of the person fails", person)
	r.Claim(taken > 0 && taken <= leaseTime, "another is elected within 20 s: its Lease is good for 15 s", "after %s", measure.Duration(taken))
	r.Claim(done > 0 && done <= leaseTime+5*time.Second, "what waits for the elected one is done within 5 s more", "after %s",
		measure.Duration(done))
	r.Figure("refused in the first 2.5 s: sent to the dead one", "%d of %d", len(first.Failures), first.N())
	r.Figure("the agent, before", "%s", measure.Spread([]measure.Series{l.agent.Between(time.Time{}, began)}))
	r.Figure("the agent, afterwards", "%s", measure.Spread([]measure.Series{rest}))
}

// elected finds the replica that says it is.
func (s *stage) elected() (*testbed.Replica, error) {
	for _, r := range s.Replicas {
		text, err := os.ReadFile(r.Log)
		if err != nil {
			return nil, fmt.Errorf("reading the log of a replica: %w", err)
		}
		if !r.Ended() && bytes.Contains(bytes.ToLower(text), []byte("successfully acquired lease")) {
			return r, nil
		}
	}
	return nil, errors.New("no replica says that it is elected")
}

func (s *stage) holder(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	if err := s.Admin.Get(ctx, client.ObjectKey{Namespace: testbed.Namespace, Name: "countersign.countersign.dev"}, &lease); err != nil {
		return "", fmt.Errorf("reading the Lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}

// touchPolicy changes the policy such that its status has to follow. A write may meet the dead replica, and is repeated.
func (s *stage) touchPolicy(ctx context.Context, policy *v1alpha1.AgentActionPolicy) error {
	return measure.Wait(ctx, "the policy is changed", time.Minute, func(ctx context.Context) error {
		if err := s.Admin.Get(ctx, client.ObjectKey{Name: "drills"}, policy); err != nil {
			return err
		}
		policy.Spec.Tasks[0].Description = "Changed " + time.Now().Format(time.RFC3339Nano)
		return s.Admin.Update(ctx, policy)
	})
}
