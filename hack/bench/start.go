package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

const (
	// startRounds is how often the operator is started in each way.
	startRounds = 5
	// mostStart is within what time it is to enforce.
	mostStart = 2 * time.Second
	// mostBinary is how large the operator's binary is to be, in MiB.
	mostBinary = 80
	// askedEvery is how often an agent tries: what is measured is right up to that.
	askedEvery = 10 * time.Millisecond
)

// starts is what was seen of several.
type starts struct {
	// ready and enforcing are how long they took from the start of the process until its readiness probe succeeded, and
	// until an agent was first refused what no task covers, by a decision.
	ready, enforcing []time.Duration
	// asked are writes that began when the process was ready, undecided those of them that were not decided.
	asked     int
	undecided []string
	// admitted are those that were admitted though no task covers them, whenever they began.
	admitted int
}

// measureStart starts the operator again and again while an agent writes what no task covers and what one does.
func measureStart(ctx context.Context, b *measure.Run) error {
	s, err := startWith(ctx, b, 1000, func(i int) (*v1alpha1.AgentActionPolicy, error) { return policyOf(i, 10) })
	if err != nil {
		return err
	}
	defer s.Close()
	agent, err := s.Agent(ctx, governed)
	if err != nil {
		return err
	}
	if _, err := smallDeployment.furnish(ctx, s, 2); err != nil {
		return err
	}
	n := b.Rounds(startRounds)
	b.Report.Settingf("1,000 policies, of which 10 match; %s in each way; the agent tries every %s", plural(n, "start"),
		measure.Duration(askedEvery))
	var again, first starts
	for range n {
		if err := again.add(ctx, s, agent, nil); err != nil {
			return err
		}
		if err := first.add(ctx, s, agent, forget); err != nil {
			return err
		}
	}
	reportStart(b.Report, &again, &first)
	return reportBinary(b)
}

// reportBinary says how large what is started is, without symbols, as in an image.
func reportBinary(b *measure.Run) error {
	info, err := os.Stat(b.Binary)
	if err != nil {
		return fmt.Errorf("looking at the operator's binary: %w", err)
	}
	size := float64(info.Size()) / (1 << 20)
	b.Report.Target(size <= mostBinary, fmt.Sprintf("the operator's binary has at most %d MiB", mostBinary), "%s", mib(size))
	return nil
}

func reportStart(r *measure.Report, again, first *starts) {
	r.Claim(again.asked > 0 && len(again.undecided) == 0, "started again: writes that begin once it is ready, and are not decided",
		"%d of %d%s", len(again.undecided), again.asked, firstOf(again.undecided))
	r.Claim(again.admitted == 0, "started again: writes that no task covers, admitted at any time", "%d", again.admitted)
	for _, each := range []struct {
		way string
		*starts
	}{{"started again", again}, {"started for the first time", first}} {
		r.Target(measure.Median(each.enforcing) <= mostStart, fmt.Sprintf("%s: enforces within %s", each.way, measure.Duration(mostStart)),
			"%s", measure.Times(each.enforcing))
		r.Figure(each.way+": is ready", "%s", measure.Times(each.ready))
	}
	// Until a replica has told the API server to ask, nobody is asked: a first start is part of an installation.
	r.Figure("started for the first time: writes that begin once it is ready, and are not decided", "%d of %d",
		len(first.undecided), first.asked)
}

func firstOf(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return ": " + texts[0]
}

// forget removes the webhooks, as if Countersign had never run.
func forget(ctx context.Context, s *testbed.Testbed) error {
	return errors.Join(
		s.Admin.DeleteAllOf(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{}),
		s.Admin.DeleteAllOf(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{}),
	)
}

// add ends the replica, prepares and starts it again.
func (a *starts) add(ctx context.Context, s *testbed.Testbed, agent client.Client,
	prepare func(context.Context, *testbed.Testbed) error,
) error {
	r := s.Replicas[0]
	if err := r.Terminate(ctx); err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(ctx, s); err != nil {
			return fmt.Errorf("preparing a start: %w", err)
		}
	}
	covered := (&measure.Load{Workers: 1, Every: askedEvery, Write: func(ctx context.Context, _, _ int) error {
		return smallDeployment.update(ctx, agent, 0)
	}}).Begin(ctx)
	defer covered.End()
	others := (&measure.Load{Workers: 1, Every: askedEvery, Write: func(ctx context.Context, _, _ int) error {
		return refusal(ctx, agent)
	}}).Begin(ctx)
	defer others.End()

	began := time.Now()
	if err := r.Restart(); err != nil {
		return err
	}
	if err := r.WaitReady(ctx); err != nil {
		return err
	}
	ready := time.Now()
	err := measure.Wait(ctx, "an agent is refused", time.Minute, func(context.Context) error {
		if others.FirstAdmitted(began).IsZero() {
			return errors.New("it is not")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := measure.Pause(ctx, 30*askedEvery); err != nil {
		return err
	}
	now := time.Now()
	a.ready, a.enforcing = append(a.ready, ready.Sub(began)), append(a.enforcing, others.FirstAdmitted(began).Sub(began))
	for _, l := range []*measure.Load{covered, others} {
		since := l.Between(ready, now)
		a.asked, a.undecided = a.asked+since.N(), append(a.undecided, since.Failures...)
	}
	for _, f := range others.Between(began, now).Failures {
		if f == errAdmitted.Error() {
			a.admitted++
		}
	}
	return nil
}

var errAdmitted = errors.New("what no task covers was admitted")

// refusal fails unless the agent is refused by a decision: what cannot be decided has another status.
func refusal(ctx context.Context, agent client.Client) error {
	patch := fmt.Appendf(nil, `{"spec":{"revisionHistoryLimit":%d}}`, written.Add(1))
	err := agent.Patch(ctx, smallDeployment.object(1), client.RawPatch(types.MergePatchType, patch))
	switch {
	case err == nil:
		return errAdmitted
	case apierrors.IsForbidden(err):
		return nil
	}
	return err
}
