package archive

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// otherState stands for a state that this version does not know, such as one of a later version.
const otherState = "Other"

var (
	approvalsDesc = prometheus.NewDesc("countersign_approvals",
		"Number of approvals, by state (Pending, Approved, Denied, Expired, Revoked, Void, Spent, NoLongerNeeded, Other). "+
			"Each replica counts all of them: take the largest, not the sum. Absent until a replica has read them.",
		[]string{"state"}, nil)
	oldestDesc = prometheus.NewDesc("countersign_approval_oldest_pending_timestamp_seconds",
		"When the oldest request was opened that waits for people now, in seconds since 1970. Each replica tells the same. "+
			"Absent where none waits.", nil, nil)
)

// Census counts approvals by state, and knows since when the oldest request waits for people. It implements
// prometheus.Collector.
//
// There may be a hundred thousand that have ended: they are counted as they come and go, and reading the metrics passes
// over none of them. What has not ended, some thousands at most, is looked at when the metrics are read, since time alone
// changes its state.
type Census struct {
	clock clock.PassiveClock
	// told says whether all approvals that there were at the start have been counted.
	told toolscache.ResourceEventHandlerRegistration

	mu    sync.Mutex
	tally tally
}

// NewCensus counts what an archive holds, from its start on.
func NewCensus(a *Archive, c clock.PassiveClock) (*Census, error) {
	census := &Census{clock: c, tally: newTally()}
	var err error
	census.told, err = a.informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(held any) { census.change(nil, held) },
		UpdateFunc: census.change,
		DeleteFunc: func(held any) { census.change(held, nil) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching approvals to count them: %w", err)
	}
	return census, nil
}

// change is told what is held of an approval before and after something happened to it; nil for nothing.
func (c *Census) change(before, after any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.remove(before)
	c.tally.add(after)
}

// Describe implements prometheus.Collector.
func (c *Census) Describe(descs chan<- *prometheus.Desc) {
	descs <- approvalsDesc
	descs <- oldestDesc
}

// Collect implements prometheus.Collector. Every state is told, at 0 as well.
func (c *Census) Collect(out chan<- prometheus.Metric) {
	if !c.told.HasSynced() {
		return
	}
	counts, oldest := c.count()
	for state, n := range counts {
		out <- prometheus.MustNewConstMetric(approvalsDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	if !oldest.IsZero() {
		out <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, float64(oldest.Unix()))
	}
}

func (c *Census) count() (counts map[approval.State]int, oldest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally.at(c.clock.Now())
}

// tally is what a Census knows.
type tally struct {
	// open are the approvals whose status records no end.
	open map[client.ObjectKey]*v1alpha1.ActionApproval
	// ended counts the others by the state that their status records.
	ended map[approval.State]int
}

func newTally() tally {
	return tally{open: map[client.ObjectKey]*v1alpha1.ActionApproval{}, ended: map[approval.State]int{}}
}

// add counts an approval, by what the archive holds of it.
func (t *tally) add(held any) {
	switch h := held.(type) {
	case *v1alpha1.ActionApproval:
		t.open[client.ObjectKeyFromObject(h)] = h
	case *approval.Record:
		t.ended[known(h.State())]++
	default: // nothing is held
	}
}

// remove takes it out again, by what is held of it last.
func (t *tally) remove(held any) {
	switch h := held.(type) {
	case *v1alpha1.ActionApproval:
		delete(t.open, client.ObjectKeyFromObject(h))
	case *approval.Record:
		t.ended[known(h.State())]--
	case toolscache.DeletedFinalStateUnknown:
		t.remove(h.Obj)
	default: // nothing was held
	}
}

// at counts by state, and finds when the oldest request was opened that waits; zero where none does.
func (t *tally) at(now time.Time) (counts map[approval.State]int, oldest time.Time) {
	counts = map[approval.State]int{otherState: 0}
	for _, s := range approval.AllStates() {
		counts[s] = 0
	}
	maps.Copy(counts, t.ended)
	for _, a := range t.open {
		state := approval.Evaluate(a, now)
		counts[state]++
		if opened := a.CreationTimestamp.Time; state == approval.Pending && (oldest.IsZero() || opened.Before(oldest)) {
			oldest = opened
		}
	}
	return counts, oldest
}

// known keeps the label bounded whatever a status says.
func known(s approval.State) approval.State {
	if slices.Contains(approval.AllStates(), s) {
		return s
	}
	return otherState
}
