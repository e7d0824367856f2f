package main_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestHelp pins what people read first. It needs no cluster.
func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"root": {"--help"}, "options": {"options"}, "test": {"test", "--help"}, "windows": {"windows", "--help"},
		"can-i": {"can-i", "--help"}, "explain": {"explain", "--help"},
		"review": {"review", "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, "", args...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("it ends with %d: %s", got.code, got.err)
			}
			golden(t, "help/"+name, got.out)
		})
	}
}

// TestMisuse calls commands in ways that they do not have.
func TestMisuse(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"no such command":   {[]string{"frobnicate"}, "error: unknown command \"frobnicate\": see kubectl countersign --help\n"},
		"nearly a command":  {[]string{"versio"}, "error: unknown command \"versio\": did you mean version?\n"},
		"no such flag":      {[]string{"version", "--x"}, "error: unknown flag: --x: see kubectl countersign version --help\n"},
		"too many argument": {[]string{"version", "x"}, "error: unknown command \"x\" for \"kubectl countersign version\": see kubectl countersign version --help\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want := result{err: tc.want, code: 2}
			if diff := cmp.Diff(want, run(t, "", tc.args...), cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestBinaryKeepsWhatItUses looks at the plugin: see output.
func TestBinaryKeepsWhatItUses(t *testing.T) { operatortest.WantLean(t, plugin(t)) }
