package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// variant is one of those that are compared: an account, where it acts, and who is asked about what it does.
type variant struct {
	name   string
	bed    *testbed.Testbed
	client client.Client
	// webhook is the entry that is asked, as the API server's metrics call it; empty: none is.
	webhook string
}

// workload is what is updated, and by how many clients at once, each as fast as it is answered.
type workload struct {
	kind    kind
	clients int
}

func (w workload) String() string {
	return fmt.Sprintf("%s, %s", w.kind.name, plural(w.clients, "client"))
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}

// thousands writes a number below a million.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// lap is one turn of one variant.
type lap struct {
	// took is what the client waited for each update.
	took measure.Series
	// calls is how often the API server asked the variant's webhook, and asked how long it waited for an answer, on average.
	calls int
	asked time.Duration
	// strangers is how often it asked any other webhook about an update.
	strangers int
	// webhooks and policies are how long the API server's validating admission of an update by webhooks and by
	// ValidatingAdmissionPolicies took on average, match conditions included.
	webhooks, policies time.Duration
}

// turns has variants update objects in turns, so that what else the machine does disturbs all of them alike: update by update where
// that can be, or for a while each.
type turns struct {
	variants []variant
	laps     map[string]map[string][]lap // by workload and variant, one for each round
}

// run makes a number of rounds through all workloads and variants, every second one backwards. A span is how long a turn takes.
func (t *turns) run(ctx context.Context, workloads []workload, rounds int, span time.Duration) error {
	t.laps = map[string]map[string][]lap{}
	for _, w := range workloads {
		t.laps[w.String()] = map[string][]lap{}
	}
	order := slices.Clone(t.variants)
	for round := range rounds + 1 {
		for _, w := range workloads {
			laps, err := lapsOf(ctx, order, w, span)
			if err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
			for i, v := range order {
				if round > 0 { // the first is for caches and connections
					t.laps[w.String()][v.name] = append(t.laps[w.String()][v.name], laps[i])
				}
			}
		}
		slices.Reverse(order)
	}
	return nil
}

// lapsOf are the laps of all variants in one round.
func lapsOf(ctx context.Context, order []variant, w workload, span time.Duration) ([]lap, error) {
	if canAlternate(order, w.clients) {
		return alternating(ctx, order, w, span)
	}
	laps := make([]lap, len(order))
	for i := range order {
		var err error
		if laps[i], err = order[i].lap(ctx, w, span); err != nil {
			return nil, fmt.Errorf("%s: %w", order[i].name, err)
		}
	}
	return laps, nil
}

// canAlternate says whether so many clients can take turns update by update: what the API server counts must tell the variants
// apart, those of one control plane by their webhooks. Many clients would be fewer of each variant there.
func canAlternate(variants []variant, clients int) bool {
	type counted struct {
		bed     *testbed.Testbed
		webhook string
	}
	seen := map[counted]bool{}
	for _, v := range variants {
		by := counted{bed: v.bed}
		if clients == 1 {
			by.webhook = v.webhook
		}
		if seen[by] {
			return false
		}
		seen[by] = true
	}
	return true
}

func (v *variant) lap(ctx context.Context, w workload, span time.Duration) (lap, error) {
	before, err := v.bed.APIServerMetrics(ctx)
	if err != nil {
		return lap{}, err
	}
	load := &measure.Load{Workers: w.clients, Write: func(ctx context.Context, worker, _ int) error {
		return w.kind.update(ctx, v.client, worker)
	}}
	began := time.Now()
	load.Begin(ctx)
	err = measure.Pause(ctx, span)
	load.End()
	if err != nil {
		return lap{}, err
	}
	after, err := v.bed.APIServerMetrics(ctx)
	if err != nil {
		return lap{}, err
	}
	l := lap{took: load.Between(began, time.Now())}
	l.read(after.Since(before), v)
	err = l.failure()
	return l, err
}

func (l *lap) failure() error {
	if len(l.took.Failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d updates fail%s", len(l.took.Failures), l.took.N(), l.took.Failure())
}

// read takes what the API server says of a turn.
func (l *lap) read(grown testbed.Metrics, v *variant) {
	const duration, update = "apiserver_admission_webhook_admission_duration_seconds", `operation="UPDATE"`
	all := grown.Sum(duration+"_count", update)
	name := fmt.Sprintf("name=%q", v.webhook)
	l.calls = int(grown.Sum(duration+"_count", update, name))
	l.asked = mean(grown, duration, update, name)
	l.strangers = int(all) - l.calls
	// Others write as well, though seldom, and nobody is asked about what they write: their share of the sum is nothing.
	const plugin = "apiserver_admission_controller_admission_duration_seconds_sum"
	each := float64(time.Second) / float64(max(1, l.took.N()))
	l.webhooks = time.Duration(each * grown.Sum(plugin, update, `type="validate"`, `name="ValidatingAdmissionWebhook"`))
	l.policies = time.Duration(each * grown.Sum(plugin, update, `type="validate"`, `name="ValidatingAdmissionPolicy"`))
}

// mean is the mean of a histogram of seconds; zero of nothing.
func mean(m testbed.Metrics, histogram string, labels ...string) time.Duration {
	n := m.Sum(histogram+"_count", labels...)
	if n == 0 {
		return 0
	}
	return time.Duration(m.Sum(histogram+"_sum", labels...) / n * float64(time.Second))
}

// median is that of a time in the turns of a variant under a workload, for a table.
func (t *turns) median(w workload, v string, pick func(*lap) time.Duration) string {
	return measure.Duration(measure.Median(t.of(w, v, pick)))
}

// of picks a time out of the turns of a variant under a workload.
func (t *turns) of(w workload, v string, pick func(*lap) time.Duration) []time.Duration {
	var all []time.Duration
	for _, l := range t.laps[w.String()][v] {
		all = append(all, pick(&l))
	}
	return all
}

// ratios compares a variant with another, round by round.
func (t *turns) ratios(w workload, v, to string, pick func(*lap) time.Duration) measure.Ratios {
	return measure.CompareTimes(t.of(w, v, pick), t.of(w, to, pick))
}

// What is picked out of a turn.
func p50(l *lap) time.Duration      { return l.took.P50() }
func p99(l *lap) time.Duration      { return l.took.P99() }
func asked(l *lap) time.Duration    { return l.asked }
func webhooks(l *lap) time.Duration { return l.webhooks }
func policies(l *lap) time.Duration { return l.policies }

// updates are all that a variant made.
func (t *turns) updates(v string) int {
	n := 0
	for _, laps := range t.laps {
		for _, l := range laps[v] {
			n += l.took.N()
		}
	}
	return n
}

// calls are those of the webhook of a variant, and those of any other.
func (t *turns) calls(v string) (own, others int) {
	for _, laps := range t.laps {
		for _, l := range laps[v] {
			own, others = own+l.calls, others+l.strangers
		}
	}
	return own, others
}
