// Package clockskew compares the clock of this process with the API server's. Windows, approvals and budgets are judged by
// the clock of whichever replica is asked, so that a clock which is off opens what is closed, and ends or removes approvals
// before their time.
package clockskew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// Bound is how far the clocks may be apart. It is far more than clocks that are kept in step differ by, and less than
	// the minutes in which windows and approvals are given.
	Bound = 30 * time.Second
	// period is the time between two comparisons: for so long a clock that jumps goes unnoticed.
	period = 10 * time.Second
	// answerTime bounds one comparison. The longer an answer takes the less it says: half of that is its uncertainty.
	answerTime = 20 * time.Second
)

// Skew is how far a clock is ahead of the API server's; negative: behind. The true value lies within Uncertainty of it.
type Skew struct {
	Ahead, Uncertainty time.Duration
}

// Estimate finds the skew from an exchange: when it was asked and answered by the clock of this process, and the date in
// the answer, which is in whole seconds, rounded down.
func Estimate(asked, answered, date time.Time) Skew {
	way := answered.Sub(asked) / 2
	return Skew{
		Ahead:       asked.Add(way).Round(0).Sub(date.Add(time.Second / 2)),
		Uncertainty: way + time.Second/2,
	}
}

// Check is an error where the clocks are surely further apart than Bound.
func (s Skew) Check() error {
	if s.Ahead.Abs()-s.Uncertainty <= Bound {
		return nil
	}
	direction := "ahead of"
	if s.Ahead < 0 {
		direction = "behind"
	}
	return fmt.Errorf("the clock of this machine is %s %s that of the API server, and no more than %s is tolerated: "+
		"windows and approvals would be judged by a wrong time", s.Ahead.Abs().Round(time.Second), direction, Bound)
}

// Meter compares the clocks again and again. It implements manager.Runnable, and ends the process where they are too far
// apart: a replica that does not know the time must neither decide nor write, and the others go on.
type Meter struct {
	// Client reaches the API server, URL is any page of it that answers.
	Client *http.Client
	URL    string
	Clock  clock.WithTicker

	last atomic.Int64 // nanoseconds ahead
}

// Compare asks the API server for its date once.
func (m *Meter) Compare(ctx context.Context) (Skew, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL, nil)
	if err != nil {
		return Skew{}, fmt.Errorf("asking the API server for its time: %w", err)
	}
	asked := m.Clock.Now()
	answer, err := m.Client.Do(request)
	if err != nil {
		return Skew{}, fmt.Errorf("asking the API server for its time: %w", err)
	}
	answered := m.Clock.Now()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return Skew{}, fmt.Errorf("asking the API server for its time: %w", err)
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return Skew{}, fmt.Errorf("reading the API server's time: %w", err)
	}
	skew := Estimate(asked, answered, date)
	m.last.Store(int64(skew.Ahead))
	return skew, nil
}

// Ahead is the last skew that was found, in seconds.
func (m *Meter) Ahead() float64 { return time.Duration(m.last.Load()).Seconds() }

// NeedLeaderElection says that every replica compares.
func (m *Meter) NeedLeaderElection() bool { return false }

// Start compares until the context ends, or the clocks are too far apart. That the API server does not answer says nothing
// about the time, and is noticed elsewhere.
func (m *Meter) Start(ctx context.Context) error {
	ticker := m.Clock.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		skew, err := m.Compare(ctx)
		if err != nil {
			ctrl.Log.V(1).Info("Comparing clocks", "error", err.Error())
			continue
		}
		if err := skew.Check(); err != nil {
			return err
		}
	}
}
