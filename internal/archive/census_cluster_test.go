package archive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// census counts what a shelf holds. Nothing else is stored.
type census struct {
	*shelf
	clock    *clocktesting.FakePassiveClock
	gatherer *prometheus.Registry
}

func newCensus(t *testing.T) *census {
	t.Helper()
	c := &census{shelf: newShelf(t), clock: clocktesting.NewFakePassiveClock(time.Now()), gatherer: prometheus.NewPedanticRegistry()}
	var left v1alpha1.ActionApprovalList
	if err := c.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	for i := range left.Items { // what other tests have left
		if err := c.Delete(t.Context(), &left.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	counted, err := archive.NewCensus(c.archive, c.clock)
	if err != nil {
		t.Fatal(err)
	}
	c.gatherer.MustRegister(counted)
	return c
}

// told are the metrics that are not 0, as text.
func told(g prometheus.Gatherer) (string, error) {
	families, err := g.Gather()
	if err != nil {
		return "", err
	}
	lines := []string{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			value := m.GetGauge().GetValue()
			switch {
			case len(m.GetLabel()) == 0:
				lines = append(lines, fmt.Sprintf("oldest %.0f", value))
			case value != 0:
				lines = append(lines, fmt.Sprintf("%s %.0f", m.GetLabel()[0].GetValue(), value))
			}
		}
	}
	return strings.Join(lines, ", "), nil
}

// want waits until the metrics say so. The oldest is of the request that is given, if any.
func (c *census) want(t *testing.T, when, counts string, oldest *v1alpha1.ActionApproval) {
	t.Helper()
	if oldest != nil {
		counts = fmt.Sprintf("oldest %d, %s", oldest.CreationTimestamp.Unix(), counts)
	}
	operatortest.Eventually(t, when, func(context.Context) error {
		got, err := told(c.gatherer)
		if diff := cmp.Diff(counts, got); diff != "" {
			return errors.Join(err, fmt.Errorf("the metrics are (-want +got):\n%s", diff))
		}
		return err
	})
}

// second waits until the API server's clock shows another second than when an approval was created.
func (c *census) second(t *testing.T, a *v1alpha1.ActionApproval) {
	t.Helper()
	operatortest.Eventually(t, "another second begins", func(ctx context.Context) error {
		probe := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: "probe"}, Spec: a.Spec}
		if err := c.Create(ctx, probe, client.DryRunAll); err != nil {
			return err
		}
		if !a.CreationTimestamp.Before(&probe.CreationTimestamp) {
			return errors.New("it does not")
		}
		return nil
	})
}

// TestCensus reads the metrics while approvals are stored, decided, end and go.
func TestCensus(t *testing.T) {
	c := newCensus(t)
	c.want(t, "nothing is stored", "", nil)
	first := c.open(t, "first")
	c.second(t, first)
	next := c.open(t, "next")
	c.want(t, "two wait", "Pending 2", first)

	next.Spec.Decisions = []v1alpha1.RecordedDecision{{
		Verdict: v1alpha1.VerdictApprove, Time: metav1.NewTime(next.CreationTimestamp.Time),
		Approver: v1alpha1.ApproverIdentity{Username: "erin", Groups: []string{"sre"}},
	}}
	if err := c.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	c.want(t, "one is consented to, which its status does not say yet", "Approved 1, Pending 1", first)

	c.clock.SetTime(c.clock.Now().Add(90 * time.Minute))
	c.want(t, "that was not used in time, and nothing was written", "Expired 1, Pending 1", first)
	next.Status = approval.StatusOf(next, c.clock.Now())
	if err := c.Status().Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	c.held(t, next)
	c.want(t, "it is written", "Expired 1, Pending 1", first)

	c.end(t, first)
	c.want(t, "nobody waits any more", "Expired 1, Void 1", nil)
	if err := c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	c.want(t, "it is gone", "Expired 1", nil)
	c.clock.SetTime(time.Now())
	last := c.open(t, "last")
	c.want(t, "somebody asks again", "Expired 1, Pending 1", last)
	c.clock.SetTime(last.Spec.RequestExpiresAt.Time)
	c.want(t, "nobody has answered in time", "Expired 2", nil)

	// One that counts what is held already, and one that has read nothing yet.
	late := prometheus.NewPedanticRegistry()
	counted, err := archive.NewCensus(c.archive, c.clock)
	if err != nil {
		t.Fatal(err)
	}
	late.MustRegister(counted)
	(&census{c.shelf, c.clock, late}).want(t, "one that comes later tells the same", "Expired 2", nil)
	empty, err := archive.NewCensus(newArchive(t, c, controlplane.Shared(t).AdminConfig()), c.clock)
	if err != nil {
		t.Fatal(err)
	}
	unread := prometheus.NewPedanticRegistry()
	unread.MustRegister(empty)
	if families, err := unread.Gather(); err != nil || len(families) > 0 {
		t.Errorf("before approvals are read, %d metrics are served: %v", len(families), err)
	}
}
