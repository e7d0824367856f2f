package command

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrapWords(t *testing.T) {
	tests := map[string]struct {
		line  string
		width int
		want  []string
	}{
		"it fits":          {"a short line", 40, []string{"a short line"}},
		"no width":         {"a line that is longer than nothing at all", 0, []string{"a line that is longer than nothing at all"}},
		"words":            {"one two three four five six seven", 24, []string{"one two three four five", "six seven"}},
		"an item":          {"  - one two three four five six seven", 24, []string{"  - one two three four", "    five six seven"}},
		"a long word":      {"see https://example.com/a/very/long/address now", 24, []string{"see", "https://example.com/a/very/long/address", "now"}},
		"spaces in itself": {"one  two three four five six", 24, []string{"one  two three four five", "six"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, wrapWords(tc.line, tc.width)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
