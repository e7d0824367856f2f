package window

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// naive is the set as a map, to compare with.
type naive map[int]bool

func (n naive) set() *minutes {
	s := &minutes{}
	for m := range n {
		s.add(m)
	}
	return s
}

func randomNaive(r *rand.Rand) naive {
	n := naive{}
	for range pick(r, 0, 3, 700) {
		n[r.IntN(minutesPerDay)] = true
	}
	for from := r.IntN(minutesPerDay); r.IntN(3) > 0 && from < minutesPerDay; from++ {
		n[from] = true
	}
	return n
}

func TestMinutes(t *testing.T) {
	r := newRand(t)
	for range rounds(300, 20000) {
		a, b, k := randomNaive(r), randomNaive(r), r.IntN(2*minutesPerDay)-minutesPerDay
		union, intersection, difference, shifted := naive{}, naive{}, naive{}, naive{}
		for m := range minutesPerDay {
			union[m], intersection[m], difference[m] = a[m] || b[m], a[m] && b[m], a[m] && !b[m]
			shifted[m] = a[m] || b[m-k]
		}
		got := a.set()
		got.union(b.set())
		checkMinutes(t, "union", union, got)
		got = a.set()
		got.intersect(b.set())
		checkMinutes(t, "intersection", intersection, got)
		got = a.set()
		got.subtract(b.set())
		checkMinutes(t, "difference", difference, got)
		got = a.set()
		got.unionShifted(b.set(), k)
		checkMinutes(t, "shifted", shifted, got)
	}
	full := &minutes{}
	full.fill()
	if full.empty() || full.next(0, false) != minutesPerDay || !(&minutes{}).empty() {
		t.Error("a full set is empty, or lacks a minute, or an empty one is not")
	}
}

// checkMinutes compares a set with the naive one, minute by minute, and that nothing is beyond the day.
func checkMinutes(t *testing.T, what string, want naive, got *minutes) {
	t.Helper()
	wantMinutes := &minutes{}
	for m := range minutesPerDay {
		if want[m] {
			wantMinutes.add(m)
		}
		if got.has(m) != want[m] {
			t.Fatalf("%s: minute %d: %v, want %v", what, m, got.has(m), want[m])
		}
	}
	if diff := cmp.Diff(wantMinutes, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
	for _, in := range []bool{true, false} {
		next := minutesPerDay
		for m := minutesPerDay - 1; m >= 0; m-- {
			if want[m] == in {
				next = m
			}
			if got.next(m, in) != next {
				t.Fatalf("%s: next(%d, %v) = %d, want %d", what, m, in, got.next(m, in), next)
			}
		}
		if got.next(minutesPerDay, in) != minutesPerDay {
			t.Fatalf("%s: a minute after the last", what)
		}
	}
}
