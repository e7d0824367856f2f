package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
	"github.com/countersign-dev/countersign/internal/policy"
)

// TestDocument wants the document to have a place for each measurement.
func TestDocument(t *testing.T) {
	content, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var reports []*measure.Report
	for _, m := range measurements {
		r := &measure.Report{Name: m.Name}
		r.Settingf("one replica")
		r.Claim(true, "it is "+m.Name, "yes")
		reports = append(reports, r)
	}
	if err := measure.WriteDocument(path, "two cores", reports); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measurements {
		if !strings.Contains(string(written), "| it is "+m.Name+" | yes |") {
			t.Errorf("the figures of %s are not in the document", m.Name)
		}
	}
}

// TestPolicies wants what is measured to be what is said: so many policies compile, and so many of them match.
func TestPolicies(t *testing.T) {
	for _, match := range []int{1, 10, 1000} {
		matches, names, subjects := 0, sets.Set[string]{}, sets.Set[string]{}
		for i := range 1000 {
			p, err := policyOf(i, match)
			if err != nil {
				t.Fatal(err)
			}
			if compiled := policy.Compile(p, policy.Identity{}); len(compiled.Errors) > 0 {
				t.Fatalf("%s: %v", p.Name, compiled.Errors)
			}
			names.Insert(p.Name)
			s := p.Spec.Subjects[0]
			subjects.Insert(s.Namespace + "/" + s.Name)
			if s.Name == governed && p.Spec.Governs == nil {
				matches++
			}
		}
		if matches != match || len(names) != 1000 || len(subjects) > otherAccounts+1 {
			t.Errorf("%d policies match, not %d; %d names, %d accounts", matches, match, len(names), len(subjects))
		}
	}
}

// TestKinds wants objects to be of the sizes that the document says, before the API server adds to them.
func TestKinds(t *testing.T) {
	for name, tc := range map[string]struct {
		kind        kind
		least, most int
	}{
		"small":  {smallDeployment, 700, 2000},
		"large":  {largeDeployment, 15000, 40000},
		"secret": {secret, 500, 1500},
	} {
		text, err := json.Marshal(tc.kind.object(0))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) < tc.least || len(text) > tc.most {
			t.Errorf("%s: %d bytes, want %d to %d", name, len(text), tc.least, tc.most)
		}
	}
}

// TestLap reads a turn out of what the API server counts.
func TestLap(t *testing.T) {
	const webhook, plugin = "apiserver_admission_webhook_admission_duration_seconds", "apiserver_admission_controller_admission_duration_seconds"
	labels := func(name string) string {
		return `{name="` + name + `",operation="UPDATE",rejected="false",type="validate"}`
	}
	m := testbed.Metrics{
		webhook + "_sum" + labels(noopName): .02, webhook + "_count" + labels(noopName): 10,
		webhook + "_sum" + labels("other"): 7, webhook + "_count" + labels("other"): 3,
		plugin + "_sum" + labels("ValidatingAdmissionWebhook"): .03, plugin + "_count" + labels("ValidatingAdmissionWebhook"): 12,
		plugin + "_sum" + labels("ValidatingAdmissionPolicy"): .0001, plugin + "_count" + labels("ValidatingAdmissionPolicy"): 10,
	}
	took := measure.Series{Took: make([]time.Duration, 10)}
	got := lap{took: took}
	got.read(m, &variant{webhook: noopName})
	want := lap{
		took: took, calls: 10, asked: 2 * time.Millisecond, strangers: 3, webhooks: 3 * time.Millisecond, policies: 10 * time.Microsecond,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(lap{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAlternating wants variants that the API server cannot tell apart not to take turns update by update, and calls of those that
// do to be nobody else's.
func TestAlternating(t *testing.T) {
	one, other := &testbed.Testbed{}, &testbed.Testbed{}
	for name, tc := range map[string]struct {
		variants  []variant
		one, many bool
	}{
		"another webhook each":                 {[]variant{{bed: one}, {bed: one, webhook: "a"}, {bed: one, webhook: "b"}}, true, false},
		"another control plane each":           {[]variant{{bed: one}, {bed: other}}, true, true},
		"one webhook for two, or none for two": {[]variant{{bed: one}, {bed: other, webhook: "a"}, {bed: one}}, false, false},
	} {
		if one, many := canAlternate(tc.variants, 1), canAlternate(tc.variants, 8); one != tc.one || many != tc.many {
			t.Errorf("%s: %t and for many clients %t, want %t and %t", name, one, many, tc.one, tc.many)
		}
	}
	laps := []lap{{calls: 0, strangers: 7}, {calls: 5, strangers: 2}, {calls: 1, strangers: 1}}
	subtractOthers(laps, []variant{{bed: one}, {bed: one}, {bed: other}})
	if laps[0].strangers != 2 || laps[1].strangers != 2 || laps[2].strangers != 1 {
		t.Errorf("what others call becomes %+v", laps)
	}
}

// documented is a report as a document has it.
func documented(t *testing.T, r *measure.Report) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "performance.md")
	marks := fmt.Sprintf("<!-- figures of %[1]s -->\n<!-- end of %[1]s -->\n", r.Name)
	if err := os.WriteFile(path, []byte(marks), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := measure.WriteDocument(path, "two cores", []*measure.Report{r}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReportLatency wants a row for each setting and load in every table, and targets where there are some.
func TestReportLatency(t *testing.T) {
	l := &latency{settings: settings(), sizes: map[string]int{"Secret": 1500}}
	for _, s := range l.settings {
		laps := map[string]map[string][]lap{}
		for _, w := range s.workloads {
			took := measure.Series{Took: []time.Duration{3 * time.Millisecond}}
			laps[w.String()] = map[string][]lap{
				nobody: {{took: took}}, doesNothing: {{took: took, calls: 1, asked: time.Millisecond}},
				usual:       {{took: took, calls: 1, asked: 1200 * time.Microsecond}},
				countersign: {{took: took, calls: 1, asked: 1500 * time.Microsecond}},
			}
		}
		l.turns = append(l.turns, &turns{laps: laps, variants: []variant{
			{name: nobody}, {name: doesNothing, webhook: noopName}, {name: usual, webhook: usualName},
			{name: countersign, webhook: enforceName},
		}})
	}
	r := &measure.Report{Name: "latency"}
	l.report(r)
	text := documented(t, r)
	for want, times := range map[string]int{
		"| 10,000 (10), Deployment × 8 |": 4, "| 1,000 (10), large Deployment × 1 |": 4, "at most 1.15 times": 5, "at most 2.00 times": 2,
		"| 1.50; not reached |": 5, "| 1.50 | 1.25 |\n": 13, "| 1.50 |\n": 2, "| 13 by 13 updates |": 3, "| size of the Secret as stored | 1.5 KB |": 1,
	} {
		if got := strings.Count(text, want); got != times {
			t.Errorf("%q is there %d times, want %d", want, got, times)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestReportRedeem wants each way in the table, and targets that are missed to be said to be.
func TestReportRedeem(t *testing.T) {
	took := func(each time.Duration) []measure.Series {
		return []measure.Series{{Took: []time.Duration{each, each}}}
	}
	m := &redemption{
		atOnce: map[string][]measure.Series{
			aPerson: took(100 * time.Millisecond), byTask: took(200 * time.Millisecond), underOwn: took(300 * time.Millisecond),
			underOneRun: took(time.Second),
		},
		alone:    map[string][]measure.Series{byTask: took(10 * time.Millisecond), underOwn: took(20 * time.Millisecond)},
		requests: map[string]float64{"reads of approvals": 2, "reads of policies": 4, "access reviews": 2, "writes of a status": 3},
		redeemed: 2,
	}
	r := &measure.Report{Name: "redeem"}
	m.report(r)
	text := documented(t, r)
	for _, want := range []string{
		"| a person |  | 100 ms / 100 ms | 1.00 |", "| an agent, by its task | 10 ms / 10 ms | 200 ms / 200 ms | 2.00 |",
		"| an agent, under an approval of its own | 20 ms / 20 ms | 300 ms / 300 ms | 3.00 |",
		"| an agent, under one run for all of them |  | 1.0 s / 1.0 s | 10.00 |",
		"reads of approvals | 1.00 for each |", "reads of policies | 2.00 for each; not reached |", "access reviews | 1.00 for each |",
		"what became of it | 1.50 for each |", "p99 within 100 ms | 300 ms; a person's plain changes: 100 ms; not reached |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
}
