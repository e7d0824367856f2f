package canary

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
)

func answer(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

var refusal = answer(http.StatusForbidden, metav1.StatusReasonForbidden,
	`admission webhook "enforce.countersign.dev" denied the request: a/b may not create configmap`)

func TestClassify(t *testing.T) {
	resource := schema.GroupResource{Resource: "configmaps"}
	tests := map[string]struct {
		err  error
		want Outcome
	}{
		"refused by Countersign": {refusal, Refused},
		"accepted":               {nil, Passed},
		"refused by RBAC":        {apierrors.NewForbidden(resource, "", errors.New("RBAC")), Forbidden},
		"refused by another webhook": {answer(http.StatusForbidden, metav1.StatusReasonForbidden,
			`admission webhook "enforce.example.com" denied the request: no`), Forbidden},
		"a name that repeats ours": {answer(http.StatusForbidden, metav1.StatusReasonForbidden,
			`admission webhook "x" denied the request: admission webhook "enforce.countersign.dev" denied the request`), Forbidden},
		"another entry of ours": {answer(http.StatusForbidden, metav1.StatusReasonForbidden,
			`admission webhook "policies.countersign.dev" denied the request: no`), Forbidden},
		"another code": {answer(http.StatusBadRequest, metav1.StatusReasonBadRequest,
			`admission webhook "enforce.countersign.dev" denied the request: no`), Unreachable},
		"no answer of Countersign": {answer(http.StatusInternalServerError, metav1.StatusReasonInternalError,
			`Internal error occurred: failed calling webhook "enforce.countersign.dev": connection refused`), Unanswered},
		"no answer of another webhook": {answer(http.StatusInternalServerError, metav1.StatusReasonInternalError,
			`Internal error occurred: failed calling webhook "enforce.example.com": connection refused`), Unreachable},
		"no API server": {errors.New("connection refused"), Unreachable},
		"too late":      {context.DeadlineExceeded, Unreachable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Classify(tc.err); got.Outcome != tc.want || got.Detail == "" {
				t.Errorf("it is %+v, want %s", got, tc.want)
			}
		})
	}
	if got := Classify(errors.New(strings.Repeat("ä", maxDetail))).Detail; len(got) > maxDetail+3 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a long answer becomes %q", got)
	}
}

// TestStatus steps a clock through attempts: what they are answered, and what is to be known after each.
func TestStatus(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	clk := clocktesting.NewFakeClock(now)
	var next error
	c := New(func(context.Context) error { return next }, clk)
	wantUp := func(what string, up, down bool, proven string) {
		t.Helper()
		if s := c.Status(); s.Up != up || s.Down != down || s.Proven != proven {
			t.Errorf("%s: up %v, down %v and proven %q, want %v, %v and %q", what, s.Up, s.Down, s.Proven, up, down, proven)
		}
	}
	attempt := func(err error) { next = err; c.attempt(t.Context()) }
	wantUp("before the first attempt", false, false, "")
	attempt(nil)
	wantUp("what passes", false, false, "")
	attempt(refusal)
	wantUp("what is refused", true, false, "")
	clk.Step(time.Second)
	c.Wake("2")
	wantUp("something changed", true, false, "")
	attempt(refusal)
	wantUp("refused since", true, false, "2")
	clk.Step(time.Minute)
	attempt(nil)
	wantUp("the first failure", true, false, "2")
	clk.Step(tolerance)
	attempt(nil)
	wantUp("a failure that lasts as long as is tolerated", true, false, "2")
	clk.Step(time.Nanosecond)
	wantUp("a failure that lasts longer", false, true, "2")
	attempt(refusal)
	wantUp("refused again", true, false, "2")
	clk.Step(memory)
	wantUp("the last refusal is as old as counts", true, false, "2")
	clk.Step(1)
	wantUp("attempts hang", false, true, "2")

	if diff := cmp.Diff(map[Outcome]int{Passed: 3, Refused: 3}, c.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	want := map[string]float64{
		"countersign_enforcement_up": 0, "countersign_canary_last_success_timestamp_seconds": 1795608063,
		"countersign_canary_attempts_total Forbidden": 0, "countersign_canary_attempts_total Passed": 3,
		"countersign_canary_attempts_total Refused": 3, "countersign_canary_attempts_total Unanswered": 0,
		"countersign_canary_attempts_total Unreachable": 0,
	}
	if diff := cmp.Diff(want, gathered(t, c)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// gathered are the metrics by name and labels.
func gathered(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// TestRhythm runs the canary under a clock that only steps when it waits.
func TestRhythm(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))
	answers := make(chan error)
	c := New(func(context.Context) error { return <-answers }, clk)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Start(ctx) }()
	step := func(by time.Duration) {
		t.Helper()
		for !clk.HasWaiters() {
			if t.Context().Err() != nil {
				t.Fatal("it does not wait")
			}
		}
		clk.Step(by - 1)
		select {
		case answers <- nil:
			t.Fatalf("it asks again before %s are over", by)
		default:
		}
		clk.Step(1)
	}
	answers <- nil
	for pause := minPause; pause < maxPause; pause *= 2 {
		step(pause)
		answers <- nil
	}
	step(maxPause)
	answers <- refusal
	step(Interval)
	answers <- refusal
	c.Wake("3")
	answers <- nil // at once
	step(minPause)
	answers <- refusal
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}
