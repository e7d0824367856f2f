package terminal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain":               "plain",
		"\x1b[2Jgone":         `\u001b[2Jgone`,
		"right\u202eleft":     `right\u202eleft`,
		"a\rb\nc\td":          `a\u000db\u000ac\u0009d`,
		"zero\u200bwidth":     `zero\u200bwidth`,
		"\x9b31m":             `\x9b31m`,
		"日本 é":                "日本 é",
		"no-break\u00a0space": `no-break\u00a0space`,
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := CleanLines("a\tb\n\x07c"); got != "a    b\n\\u0007c" {
		t.Errorf("lines are shown as %q", got)
	}
}

// FuzzClean wants nothing to be left that moves the cursor or hides.
func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range Clean(text) {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u202e' {
				t.Fatalf("%q leaves %U", text, r)
			}
		}
	})
}

func TestWrap(t *testing.T) {
	got := strings.Join(Wrap("one two three four", 9), "|")
	if got != "one two|three|four" {
		t.Errorf("wrapped: %s", got)
	}
	if got := Cut("日本語", 5); got != "日本…" || Width(got) != 5 {
		t.Errorf("cut: %s", got)
	}
}

func TestTable(t *testing.T) {
	table := func() *Table {
		return &Table{
			Columns: []Column{{Title: "NAME"}, {Title: "WHO", Least: 4, Spare: 1}, {Title: "WHY", Spare: 2}},
			Rows:    [][]Cell{{{Text: "web"}, {Text: "somebody"}, {Text: "because"}}},
		}
	}
	for columns, want := range map[int]string{
		0:  "NAME   WHO        WHY\nweb    somebody   because\n",
		30: "NAME   WHO        WHY\nweb    somebody   because\n",
		20: "NAME   WHO\nweb    somebody\n",
		12: "NAME  WHO\nweb   someb…\n",
		5:  "NAME\nweb\n",
		1:  "NAME\nweb\n",
	} {
		var b strings.Builder
		if err := table().Write(&b, Screen{Width: columns}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("in %d columns (-want +got):\n%s", columns, diff)
		}
	}
}

func TestColours(t *testing.T) {
	if got := (Screen{}).Paint(Red, "x"); got != "x" {
		t.Errorf("without colours: %q", got)
	}
	if got := (Screen{Colour: true}).Paint(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("with colours: %q", got)
	}
	var table strings.Builder
	if err := (&Table{Columns: []Column{{Title: "A"}, {Title: "B"}}, Rows: [][]Cell{{{Text: "x", Style: Red}, {Text: "y"}}}}).
		Write(&table, Screen{Colour: true}); err != nil || table.String() != "A   B\n\x1b[31mx\x1b[0m   y\n" {
		t.Errorf("a coloured table is %q (%v)", table.String(), err)
	}
}
