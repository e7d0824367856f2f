package main

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// Variants of the measurement.
const (
	nobody      = "nobody is asked"
	doesNothing = "a webhook that does nothing"
	usual       = "one that does nothing, made with controller-runtime"
	countersign = "Countersign"
)

// enforceName is the entry that the API server asks about writes of agents.
const enforceName = "enforce.countersign.dev"

// crowd is how many clients there are where there are many.
const crowd = 8

// setting is what an update is measured under.
type setting struct {
	// policies are all that there are, match those that say something about the update.
	policies, match int
	workloads       []workload
}

// settings grow in the number of policies, at last in that of those which match. What kind of object is updated and how
// large it is does not depend on the number of policies, so that is measured with one number of them.
func settings() []setting {
	small := []workload{{smallDeployment, 1}, {smallDeployment, crowd}}
	return []setting{
		{1, 1, small},
		{100, 10, small},
		{1000, 10, append(small[:2:2], workload{largeDeployment, 1}, workload{largeDeployment, crowd}, workload{secret, 1})},
		{10000, 10, small},
		{1000, 1000, small},
	}
}

// How long a lap takes, and how many there are of each variant.
const (
	turnTime = 500 * time.Millisecond
	rounds   = 15
)

// measureLatency compares updates that nobody is asked about, those that webhooks which do nothing are asked about, and those
// that Countersign decides.
func measureLatency(ctx context.Context, b *measure.Run) error {
	b.Report.Settingf("one replica, reached directly; %s of %s of each variant under each load, in turns",
		plural(b.Rounds(rounds), "lap"), measure.Duration(b.Phase(turnTime)))
	l := &latency{sizes: map[string]int{}}
	for _, s := range settings() {
		if err := l.measure(ctx, b, s); err != nil {
			return err
		}
	}
	l.report(b.Report)
	return nil
}

// latency is what was measured under each setting.
type latency struct {
	settings []setting
	turns    []*turns
	// sizes are those of the objects as they are stored, in bytes, by kind.
	sizes map[string]int
}

// measure measures under a setting, with a control plane of its own.
func (l *latency) measure(ctx context.Context, b *measure.Run, of setting) error {
	began := time.Now()
	s, err := startWith(ctx, b, of.policies, func(i int) (*v1alpha1.AgentActionPolicy, error) { return policyOf(i, of.match) })
	if err != nil {
		return err
	}
	defer s.Close()
	// What is measured takes minutes: say that it goes on.
	fmt.Fprintf(b.Screen, "     %s policies, %s of which match, are enforced after %s\n", thousands(of.policies), thousands(of.match),
		measure.Duration(time.Since(began)))
	floor, err := startNoop(ctx, s, map[string]string{noopName: "floor", usualName: "usual"})
	if err != nil {
		return err
	}
	defer floor.close()
	t := &turns{variants: []variant{
		{name: nobody, bed: s}, {name: doesNothing, bed: s, webhook: noopName}, {name: usual, bed: s, webhook: usualName},
		{name: countersign, bed: s, webhook: enforceName},
	}}
	for i, account := range []string{"free", "floor", "usual", governed} {
		if t.variants[i].client, err = s.Agent(ctx, account); err != nil {
			return err
		}
	}
	for _, w := range of.workloads {
		if l.sizes[w.kind.name], err = w.kind.furnish(ctx, s, w.clients); err != nil {
			return err
		}
	}
	if err := t.run(ctx, of.workloads, b.Rounds(rounds), b.Phase(turnTime)); err != nil {
		return err
	}
	l.settings, l.turns = append(l.settings, of), append(l.turns, t)
	return nil
}

// startWith starts a control plane with policies, and one replica of the operator that enforces them and has nothing to do.
func startWith(ctx context.Context, b *measure.Run, policies int, policy func(i int) (*v1alpha1.AgentActionPolicy, error),
) (*testbed.Testbed, error) {
	s, err := testbed.New(ctx, b, testbed.Options{Direct: true, Namespaces: []string{shop}})
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return s.Install(ctx, "replicas=1") },
		func() error { return createPolicies(ctx, s, policies, policy) },
		func() error { return s.Serve(ctx, 1) },
		func() error { return waitEnforced(ctx, s) },
	} {
		if err := step(); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}
