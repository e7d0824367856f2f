package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStory checks what a reader of the story relies on, whoever adds to it.
func TestStory(t *testing.T) {
	longest := maxWidth - fixedWidth
	for _, a := range story(&operator{}, false) {
		if n := utf8.RuneCountInString(a.title); n > 76 {
			t.Errorf("the title of act %q has %d characters, which is too long for 80 columns", a.title, n)
		}
		for _, s := range a.steps {
			if _, known := cast[s.who]; !known {
				t.Errorf("step %q: nobody is called %q", s.title, s.who)
			}
			if n := utf8.RuneCountInString(s.title); n > longest {
				t.Errorf("step %q: the title has %d characters, %d fit into the summary", s.title, n, longest)
			}
			if s.title == "" || s.run == "" || s.want.outcome == "" {
				t.Errorf("step %q: title, command or outcome is missing", s.title)
			}
			if s.do == nil && len(s.want.says) == 0 && s.want.same == "" {
				t.Errorf("step %q: wants no text, so that any answer would do", s.title)
			}
			for line := range strings.Lines(s.run) {
				if n := utf8.RuneCountInString(s.who + " $ " + line); n > maxWidth {
					t.Errorf("step %q: a line of the command has %d characters", s.title, n)
				}
			}
		}
	}
}

// TestPatientStepsMayBeRepeated: what is done twice must be the same as done once.
func TestPatientStepsMayBeRepeated(t *testing.T) {
	for _, a := range story(&operator{}, false) {
		for _, s := range a.steps {
			repeatable := strings.Contains(s.run, "--dry-run=server") || strings.Contains(s.run, " get ") ||
				strings.HasPrefix(s.run, "tail ") || strings.HasPrefix(s.run, "grep ") || strings.Contains(s.run, " scale ")
			if s.patient && !repeatable {
				t.Errorf("step %q is patient, and %q changes something", s.title, s.run)
			}
		}
	}
}

func TestKeepingKeepsTheRelease(t *testing.T) {
	for _, a := range story(&operator{}, true) {
		for _, s := range a.steps {
			if strings.Contains(s.run, "uninstall") {
				t.Errorf("step %q uninstalls what is to be kept", s.title)
			}
		}
	}
}
