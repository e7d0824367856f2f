package policy

import (
	"slices"
	"strings"
	"testing"
)

// TestHiddenWords has an author write what others would not see. The policy holds, with a warning.
func TestHiddenWords(t *testing.T) {
	p := policyOf(t, "words", `
enforcement: Enforce
subjects: [{kind: User, name: bot}]
timeZone: UTC
windows: [{name: w, once: {from: "2026-12-18T17:00:00Z", to: "2027-01-04T08:00:00Z"}}]
freezes: [{window: w, reason: "closed\u202e"}]
tasks: [{name: t, description: "roll\u200b images", scope: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}}]
`)
	compiled := Compile(p, Identity{Username: "operator"})
	if len(compiled.Errors) > 0 {
		t.Fatal(compiled.Errors.ToAggregate())
	}
	want := []string{
		"spec.tasks[0].description: holds characters that cannot be seen, such as U+200B",
		"spec.freezes[0].reason: holds characters that cannot be seen, such as U+202E",
	}
	if !slices.Equal(compiled.Warnings, want) {
		t.Errorf("the warnings are %q", compiled.Warnings)
	}
}

// TestFailureIsOneLine has an error carry what a terminal or a reader would take for something else.
func TestFailureIsOneLine(t *testing.T) {
	d := Failure(TargetUnknown, "reading pods shop/p\n\x1b[2Knext: GRANTED\u202e: "+strings.Repeat("x", 1000))
	got := Refusal("ci/deploy-bot may not exec into pod shop/p", &d, "")
	if lines := strings.Split(got, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[1], "  - reading pods shop/p\\u000a\\u001b[2Knext: GRANTED\\u202e: x") {
		t.Errorf("the refusal is %q", got)
	}
	if detail := d.Obstacles[0].Detail; len([]rune(detail)) != maxDetail {
		t.Errorf("the detail has %d characters, want %d", len([]rune(detail)), maxDetail)
	}
}
