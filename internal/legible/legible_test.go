package legible

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are characters that have been used to deceive whoever reads, with what each is shown as.
var hostile = map[string]string{
	"\x1b[2J":      `\u001b[2J`, // clears a terminal
	"\r":           `\u000d`,
	"\n":           `\u000a`,
	"\t":           `\u0009`,
	"\x00":         `\u0000`,
	"\x7f":         `\u007f`,
	"\u009b1m":     `\u009b1m`, // CSI of C1
	"\u0085":       `\u0085`,
	"\u202e":       `\u202e`, // right to left
	"\u2066":       `\u2066`,
	"\u2069":       `\u2069`,
	"\u200e":       `\u200e`,
	"\u200f":       `\u200f`,
	"\u061c":       `\u061c`,
	"\u200b":       `\u200b`, // of no width
	"\u200d":       `\u200d`,
	"\ufeff":       `\ufeff`,
	"\u2060":       `\u2060`,
	"\u00ad":       `\u00ad`,
	"\u2028":       `\u2028`,
	"\u2029":       `\u2029`,
	"\u00a0":       `\u00a0`,
	"\u3000":       `\u3000`,
	"\ufe0f":       `\ufe0f`, // variation selectors
	"\U000e0100":   `\U000e0100`,
	"\U000e0041":   `\U000e0041`, // tags
	"\U000e0001":   `\U000e0001`,
	"\u3164":       `\u3164`, // blank letters
	"\uffa0":       `\uffa0`,
	"\u115f":       `\u115f`,
	"\u2800":       `\u2800`,
	"\u034f":       `\u034f`,
	"\u180e":       `\u180e`,
	"\ue000":       `\ue000`, // private use
	"\uffff":       `\uffff`,
	"\xff":         `\xff`,
	"a\xe2\x80b":   `a\xe2\x80b`,
	"\U0010ffff":   `\U0010ffff`,
	"\ufffd":       "\ufffd",
	"plain text ~": "plain text ~",
	"Grüße, 東京 🚀":  "Grüße, 東京 🚀",
	"سلام":         "سلام",
}

func TestEscape(t *testing.T) {
	for text, want := range hostile {
		if got := Escape(text); got != want {
			t.Errorf("Escape(%q) = %s, want %s", text, got, want)
		}
		if got := Line("a"+text+"z", 100); got != "a"+want+"z" {
			t.Errorf("Line(%q) = %s, want a%sz", text, got, want)
		}
	}
}

func TestLineIsBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		text, want string
	}{
		"fits":              {"0123456789", "0123456789"},
		"too long":          {"0123456789a", "012345678…"},
		"many bytes":        {"ääääääääää", "ääääääääää"},
		"more bytes":        {"äääääääääää", "äääääääää…"},
		"escapes count":     {"\u202e\u202e", `\u202e\u2…`},
		"a megabyte":        {strings.Repeat("x", 1<<20), "xxxxxxxxx…"},
		"a megabyte hidden": {strings.Repeat("\u202e", 1<<20), `\u202e\u2…`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(tc.text, 10); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestHidden(t *testing.T) {
	for text, want := range map[string]rune{
		"alice@example.com": 0, "Zoë Müller": 0, "Site\u00a0Reliability": 0, "محمد": 0,
		"alice\u202e": 0x202e, "bob\x1b[1m": 0x1b, "eve\n": '\n', "x\u200by": 0x200b, "bad\xff": utf8.RuneError, "tag\U000e0041": 0xe0041,
	} {
		if got, found := Hidden(text); got != want || found != (want != 0) {
			t.Errorf("Hidden(%q) = %U, %t, want %U", text, got, found, want)
		}
	}
}

// TestEveryCharacter asks about all of Unicode, by categories and not by the list above.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		dangerous := unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Join_Control,
			unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point)
		if dangerous && Visible(r) {
			t.Errorf("%U counts as visible", r)
		}
		if !dangerous && r < 0x3000 && unicode.In(r, unicode.L, unicode.N, unicode.P) && !Visible(r) {
			t.Errorf("%U counts as hidden", r)
		}
	}
}

func TestWriterKeepsMeaning(t *testing.T) {
	var b bytes.Buffer
	line := []byte("{\"who\":\"a\u202e\u009b\x7f\U000e0041\"}\n{\"who\":\"東京\"}\n")
	n, err := (Writer{&b}).Write(line)
	if err != nil || n != len(line) {
		t.Fatalf("wrote %d of %d: %v", n, len(line), err)
	}
	if want := `{"who":"a\u202e\u009b\u007f\udb40\udc41"}` + "\n{\"who\":\"東京\"}\n"; b.String() != want {
		t.Errorf("got %s want %s", b.String(), want)
	}
}

func FuzzLegible(f *testing.F) {
	for text := range hostile {
		f.Add(text, 20)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = 1 + (most%600+600)%600
		line := Line(text, most)
		checkVisible(t, line)
		if utf8.RuneCountInString(line) > most {
			t.Errorf("%d characters, want at most %d", utf8.RuneCountInString(line), most)
		}
		if unquoted, err := strconv.Unquote(Quote(text)); err != nil || unquoted != text {
			t.Errorf("%q reads back as %q: %v", text, unquoted, err)
		}
		checkVisible(t, Quote(text))
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(nil, encoded)
		checkVisible(t, string(safe))
		var before, after string
		if err := json.Unmarshal(encoded, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(safe, &after); err != nil || before != after {
			t.Errorf("%s means %q, not %q: %v", safe, after, before, err)
		}
	})
}

func checkVisible(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("not UTF-8: %q", text)
	}
	for _, r := range text {
		if !Visible(r) {
			t.Errorf("%U is left in %q", r, text)
		}
	}
}
