// Package activity is what an AgentActivity means: which actions of an agent it holds, what one more does to it, and what
// budgets and guards may know of it.
//
// The package is pure. It has no client, no clock and no logger; time is passed in.
//
// Spans are half-open: what was admitted at t counts within a span d before t+d, and not at t+d. Times of entries are
// rounded up to seconds, so what counts counts up to a second longer, and never shorter.
package activity
