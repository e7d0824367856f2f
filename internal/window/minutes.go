package window

import "math/bits"

// minutes is a set of the minutes of one day on the wall clock, a bit for each. The bits from minutesPerDay on
// are never set.
type minutes [(minutesPerDay + 63) / 64]uint64

// lastMinutes are the bits of the last word that stand for minutes.
const lastMinutes = 1<<(minutesPerDay%64) - 1

func (s *minutes) add(m int) {
	s[m>>6] |= 1 << (m & 63)
}

func (s *minutes) has(m int) bool {
	return s[m>>6]&(1<<(m&63)) != 0
}

func (s *minutes) fill() {
	for i := range s {
		s[i] = ^uint64(0)
	}
	s[len(s)-1] = lastMinutes
}

func (s *minutes) empty() bool {
	return *s == minutes{}
}

func (s *minutes) union(o *minutes) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *minutes) intersect(o *minutes) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s *minutes) subtract(o *minutes) {
	for i := range s {
		s[i] &^= o[i]
	}
}

// unionShifted adds the minutes of o, each k minutes later, or earlier where k is negative. What leaves the
// day is dropped.
func (s *minutes) unionShifted(o *minutes, k int) {
	words, rest := k>>6, k&63
	for i := range s {
		s[i] |= o.word(i-words)<<rest | o.word(i-words-1)>>(64-rest)
	}
	s[len(s)-1] &= lastMinutes
}

// word is the i-th word of the set, and empty outside of it.
func (s *minutes) word(i int) uint64 {
	if i < 0 || i >= len(s) {
		return 0
	}
	return s[i]
}

// next is the first minute from m on that is in the set, or that is not in it where want is false. It is
// minutesPerDay where there is none.
func (s *minutes) next(m int, want bool) int {
	for i := m >> 6; i < len(s); i++ {
		word := s[i]
		if !want {
			word = ^word
		}
		if i == m>>6 {
			word &= ^uint64(0) << (m & 63)
		}
		if word != 0 {
			return i<<6 + bits.TrailingZeros64(word) // at most minutesPerDay, whose bit is never set
		}
	}
	return minutesPerDay
}
