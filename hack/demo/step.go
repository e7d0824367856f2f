package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// act is a chapter of the story.
type act struct {
	title string
	steps []step
}

// step is one command of the story and what it must answer.
type step struct {
	// who types the command; one of cast.
	who string
	// title is the line of narration before the command, and names the step in the summary.
	title string
	// run is the command, for a shell.
	run string
	// do is done instead of the command, which is then only shown.
	do func(context.Context) error
	// want is what the command must answer.
	want want
	// patient steps are repeated until they answer as expected, see patience. Only for what may be repeated.
	patient bool
	// vital steps end the story where they fail: nothing after them would make sense.
	vital bool
}

// patience is how long a patient step may take to answer as expected. The API server learns of a changed webhook
// configuration by a watch, some milliseconds after it is stored; garbage is collected when the collector comes to it;
// an audit line is written after the answer. No condition tells when, so the first question after such a change, a
// dry run or something else that may be repeated, is asked again. That it was, is shown.
const patience = 10 * time.Second

// want is what a command must answer.
type want struct {
	outcome outcome
	// says are texts that the answer must hold, hushes texts that it must not.
	says, hushes []string
	// remember keeps the answer under a name; same wants the answer kept under that name.
	remember, same string
}

// outcome is a word for an exit status.
type outcome string

const (
	passes  outcome = "passes"
	refused outcome = "refused"
	differs outcome = "differs"
)

// status is the exit status that an outcome stands for: kubectl and diff exit with 1.
func (o outcome) status() int {
	if o == passes {
		return 0
	}
	return 1
}

// passing, and refusal and difference, are what most steps want.
func passing(says ...string) want { return want{outcome: passes, says: says} }

func refusal(says ...string) want {
	return want{outcome: refused, says: append(says, "admission webhook \"enforce.countersign.dev\" denied the request")}
}

// answer is what a command printed, on both outputs, and its exit status.
type answer struct {
	text   string
	status int
}

// got says in a word what the answer was.
func (w *want) got(a answer) outcome {
	switch a.status {
	case w.outcome.status():
		return w.outcome
	case 0:
		return passes
	}
	return outcome(fmt.Sprintf("exit %d", a.status))
}

// problems says where an answer is not what was wanted.
func (w *want) problems(a answer, memory map[string]string) []string {
	var found []string
	if a.status != w.outcome.status() {
		found = append(found, fmt.Sprintf("exit status %d, not %d (%s)", a.status, w.outcome.status(), w.outcome))
	}
	for _, text := range w.says {
		if !strings.Contains(a.text, text) {
			found = append(found, fmt.Sprintf("no %q in the answer", text))
		}
	}
	for _, text := range w.hushes {
		if strings.Contains(a.text, text) {
			found = append(found, fmt.Sprintf("%q in the answer", text))
		}
	}
	return append(found, w.changes(a, memory)...)
}

// changes says whether the answer is another one than before.
func (w *want) changes(a answer, memory map[string]string) []string {
	if w.same == "" {
		return nil
	}
	before, kept := memory[w.same]
	switch {
	case !kept:
		return []string{fmt.Sprintf("no answer is kept as %q", w.same)}
	case before != a.text:
		return []string{fmt.Sprintf("not the answer as before: %q", before)}
	}
	return nil
}
