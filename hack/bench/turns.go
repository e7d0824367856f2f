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

// variant is one of those that are compared: an account, and who is asked about what it does.
type variant struct {
	name   string
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
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
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
	// admission is how long the API server's admission of an update by webhooks and by policies took on average, match
	// conditions included.
	webhooks, policies time.Duration
}

// turns has variants update the same objects in turns, so that what else the machine does disturbs all of them alike.
type turns struct {
	bed      *testbed.Testbed
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
			for _, v := range order {
				l, err := t.lap(ctx, w, v, span)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w, v.name, err)
				}
				if round > 0 { // the first is for caches and connections
					t.laps[w.String()][v.name] = append(t.laps[w.String()][v.name], l)
				}
			}
		}
		slices.Reverse(order)
	}
	return nil
}

func (t *turns) lap(ctx context.Context, w workload, v variant, span time.Duration) (lap, error) {
	before, err := t.bed.APIServerMetrics(ctx)
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
	after, err := t.bed.APIServerMetrics(ctx)
	if err != nil {
		return lap{}, err
	}
	l := lap{took: load.Between(began, time.Now())}
	if len(l.took.Failures) > 0 {
		return lap{}, fmt.Errorf("%d of %d updates fail%s", len(l.took.Failures), l.took.N(), l.took.Failure())
	}
	l.read(after.Since(before), v)
	return l, nil
}

// read takes what the API server says of a turn.
func (l *lap) read(grown testbed.Metrics, v variant) {
	const duration, update = "apiserver_admission_webhook_admission_duration_seconds", `operation="UPDATE"`
	all := grown.Sum(duration+"_count", update)
	name := fmt.Sprintf("name=%q", v.webhook)
	l.calls = int(grown.Sum(duration+"_count", update, name))
	l.asked = mean(grown, duration, update, name)
	l.strangers = int(all) - l.calls
	const plugin = "apiserver_admission_controller_admission_duration_seconds"
	l.webhooks = mean(grown, plugin, update, `type="validate"`, `name="ValidatingAdmissionWebhook"`)
	l.policies = mean(grown, plugin, update, `type="validate"`, `name="ValidatingAdmissionPolicy"`)
}

// mean is the mean of a histogram of seconds; zero of nothing.
func mean(m testbed.Metrics, histogram string, labels ...string) time.Duration {
	n := m.Sum(histogram+"_count", labels...)
	if n == 0 {
		return 0
	}
	return time.Duration(m.Sum(histogram+"_sum", labels...) / n * float64(time.Second))
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
func p50(l *lap) time.Duration   { return l.took.P50() }
func p99(l *lap) time.Duration   { return l.took.P99() }
func asked(l *lap) time.Duration { return l.asked }
