package clockskew_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/countersign-dev/countersign/internal/clockskew"
)

func TestEstimate(t *testing.T) {
	date := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		asked, answered time.Duration // after the date
		want            clockskew.Skew
		wantErr         string
	}{
		"in step":           {asked: 400 * time.Millisecond, answered: 600 * time.Millisecond, want: clockskew.Skew{Uncertainty: 600 * time.Millisecond}},
		"ahead":             {asked: 20 * time.Second, answered: 20 * time.Second, want: clockskew.Skew{Ahead: 19500 * time.Millisecond, Uncertainty: 500 * time.Millisecond}},
		"at the bound":      {asked: 31 * time.Second, answered: 31 * time.Second, want: clockskew.Skew{Ahead: 30500 * time.Millisecond, Uncertainty: 500 * time.Millisecond}},
		"beyond it":         {asked: 31*time.Second + 1, answered: 31*time.Second + 1, want: clockskew.Skew{Ahead: 30500*time.Millisecond + 1, Uncertainty: 500 * time.Millisecond}, wantErr: "31s ahead of that"},
		"two hours ahead":   {asked: 2 * time.Hour, answered: 2 * time.Hour, want: clockskew.Skew{Ahead: 2*time.Hour - time.Second/2, Uncertainty: 500 * time.Millisecond}, wantErr: "2h0m0s ahead of that"},
		"two hours behind":  {asked: -2 * time.Hour, answered: -2 * time.Hour, want: clockskew.Skew{Ahead: -2*time.Hour - time.Second/2, Uncertainty: 500 * time.Millisecond}, wantErr: "2h0m1s behind that"},
		"an answer of ages": {asked: 0, answered: 80 * time.Second, want: clockskew.Skew{Ahead: 39500 * time.Millisecond, Uncertainty: 40500 * time.Millisecond}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := clockskew.Estimate(date.Add(tc.asked), date.Add(tc.answered), date)
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			err := got.Check()
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("the check says %v, want %q", err, tc.wantErr)
			}
		})
	}
}

// TestMeter has a clock jump while it is compared with that of a server.
func TestMeter(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer server.Close()
	fake := clocktesting.NewFakeClock(time.Now())
	meter := &clockskew.Meter{Client: server.Client(), URL: server.URL, Clock: fake}
	skew, err := meter.Compare(t.Context())
	if err != nil || skew.Check() != nil {
		t.Fatalf("in step: %+v, %v", skew, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- meter.Start(t.Context()) }()
	for !fake.HasWaiters() {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	fake.Step(time.Hour)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "ahead of that of the API server") {
		t.Errorf("after the jump it ends with %v", err)
	}
	if ahead := meter.Ahead(); ahead < 3590 || ahead > 3610 {
		t.Errorf("it says it is ahead by %v s", ahead)
	}
}
