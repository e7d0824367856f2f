package policy

import (
	"strings"
	"testing"
)

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
