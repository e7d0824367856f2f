package activity_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// admission is what the model remembers of one attempt: when it passed last.
type admission struct {
	key string
	at  time.Time
}

// check makes one run of admissions under a budget, retries and late ones included, and compares every state with a model
// that forgets nothing.
func check(t *testing.T, most int, lookBack time.Duration, steps []byte) {
	t.Helper()
	const task = "p/t"
	var status v1alpha1.AgentActivityStatus
	var passed []admission
	now := noon
	for i, b := range steps {
		now = now.Add(time.Duration(b>>4) * time.Duration(b>>4) * 60 * time.Millisecond)
		at := attempt(fmt.Sprint(i))
		if b&3 == 3 && len(passed) > 0 { // a review of an earlier attempt
			at = attempt(passed[int(b>>2)%len(passed)].key)
		}
		if activity.Before(&status, at, now).Count(task, lookBack, now) >= most {
			continue
		}
		next, already, err := activity.Record(&status, at, activity.Demand{LookBack: lookBack}, now)
		if errors.Is(err, activity.ErrFull) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if already && len(next.Recent) != len(status.Recent) {
			t.Fatal("what costs nothing changes the status")
		}
		status = next
		passed = append(passed, admission{at.Key, now})
		checkState(t, &status, passed, most, lookBack, now)
	}
}

// checkState checks that within a look-back no more attempts passed than may, and that each stands in the status.
func checkState(t *testing.T, status *v1alpha1.AgentActivityStatus, passed []admission, most int, lookBack time.Duration, now time.Time) {
	t.Helper()
	if len(status.Recent) > 1000 {
		t.Fatalf("%d entries", len(status.Recent))
	}
	stands := map[string]int{}
	for _, entry := range status.Recent {
		stands[entry.Key]++
	}
	distinct := map[string]bool{}
	for _, a := range passed {
		// A review up to a minute after the entry's time is still part of it.
		if now.Before(a.at.Add(lookBack - time.Minute)) {
			distinct[a.key] = true
			if stands[a.key] != 1 {
				t.Fatalf("%s passed %s ago and stands %d times", a.key, now.Sub(a.at), stands[a.key])
			}
		}
	}
	if len(distinct) > most {
		t.Fatalf("%d attempts passed within %s, of which %d may", len(distinct), lookBack, most)
	}
}

func TestBudgetHolds(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		steps := make([]byte, 400)
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		check(t, 1+random.IntN(150), time.Duration(2+random.IntN(30))*time.Minute, steps)
	}
}

func FuzzBudgetHolds(f *testing.F) {
	f.Add(3, 10, []byte{0x10, 0x13, 0xf3, 0xff, 0x00, 0x07})
	f.Fuzz(func(t *testing.T, most, minutes int, steps []byte) {
		check(t, 1+(most&0x3ff), time.Duration(2+(minutes&0xfff))*time.Minute, steps)
	})
}
