// Package legible makes text safe that goes from one side to another: from agents to people, from people to agents, and
// from both to logs. What somebody reads is what stands there: nothing that cannot be seen, that turns the direction of
// text, or that a terminal obeys, is left as it is. It is shown, as an escape, and not dropped, so that whoever reads it
// knows that it was there.
package legible

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible says whether a character can be seen and does nothing else. Those that cannot are control characters of both
// ranges, ESC among them; what turns the direction of text; characters of no width; separators of lines and paragraphs;
// spaces that are not U+0020; variation selectors and tags, in which text can be hidden; letters that are blank; and what
// is no character. Invalid UTF-8 reads as U+FFFD, which is seen.
func Visible(r rune) bool {
	return r < utf8.RuneSelf && r >= ' ' && r != '\x7f' || r >= utf8.RuneSelf && strconv.IsPrint(r) && !blank(r)
}

// blank are characters that count as printable and show nothing, or nothing but another character in another shape.
// Unicode calls most of them Default_Ignorable_Code_Point.
func blank(r rune) bool {
	return r >= firstBlank && (r == brailleBlank || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

const (
	// firstBlank is U+034F, the first that blank may find: below it nothing need be looked up.
	firstBlank = '\u034f'
	// brailleBlank is U+2800, a sign without a dot.
	brailleBlank = '\u2800'
)

// Line is a text on one line, at most so many characters of it, the last of them then "…". What cannot be seen is escaped
// as Go does it: \u202e.
func Line(s string, most int) string {
	if len(s) > utf8.UTFMax*most {
		s = s[:utf8.UTFMax*most] // of which nobody sees the end: an escape is not shorter than what it stands for
	}
	return cut(Escape(s), most)
}

// Escape is a text of any length with escapes for what cannot be seen. Invalid UTF-8 is escaped byte by byte: \xff.
func Escape(s string) string {
	i := firstHidden(s)
	if i == len(s) {
		return s
	}
	b := make([]byte, 0, len(s)+utf8.UTFMax*2)
	b = append(b, s[:i]...)
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\x`...)
			b = append(b, hex[s[i]>>4], hex[s[i]&0xf])
		case Visible(r):
			b = append(b, s[i:i+size]...)
		case r < 0x10000:
			b = appendHex(append(b, `\u`...), r, 4)
		default:
			b = appendHex(append(b, `\U`...), r, 8)
		}
		i += size
	}
	return string(b)
}

// Quote is a text in quotes that strconv.Unquote reads, with escapes for what cannot be seen.
func Quote(s string) string { return Escape(strconv.Quote(s)) }

// Hidden finds the first character that a name must not hold when people shall see whose it is: it cannot be seen, or
// changes how the rest is shown. Spaces of other widths are none of these. It returns U+FFFD for invalid UTF-8.
func Hidden(s string) (r rune, found bool) {
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return r, true
			}
		case !Visible(r) && !unicode.Is(unicode.Zs, r):
			return r, true
		}
	}
	return 0, false
}

// JSON appends encoded JSON to a buffer, with an escape of JSON for every character that cannot be seen. It means the
// same, and is safe to show: outside of texts JSON holds no such characters but spaces and ends of lines, which stay.
func JSON(dst, encoded []byte) []byte {
	for i := 0; i < len(encoded); {
		if c := encoded[i]; c < utf8.RuneSelf {
			if c == '\x7f' {
				dst = append(dst, `\u007f`...)
			} else {
				dst = append(dst, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(encoded[i:])
		switch {
		case Visible(r):
			dst = append(dst, encoded[i:i+size]...)
		case r < 0x10000:
			dst = appendHex(append(dst, `\u`...), r, 4)
		default:
			high, low := utf16.EncodeRune(r)
			dst = appendHex(append(dst, `\u`...), high, 4)
			dst = appendHex(append(dst, `\u`...), low, 4)
		}
		i += size
	}
	return dst
}

// firstHidden is where the first character stands that must be escaped, or the length of the text.
func firstHidden(s string) int {
	for i, r := range s {
		if !Visible(r) || r == utf8.RuneError {
			return i
		}
	}
	return len(s)
}

const hex = "0123456789abcdef"

func appendHex(b []byte, r rune, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, hex[r>>shift&0xf])
	}
	return b
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := 0
	for i := range text {
		if runes++; runes == most {
			return strings.ToValidUTF8(text[:i], "") + "…"
		}
	}
	return text
}
