package action

import (
	"encoding/json"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

func (d *decoder) literal() (any, error) {
	rest := d.text[d.at:]
	switch {
	case strings.HasPrefix(rest, "true"):
		d.at += len("true")
		return true, nil
	case strings.HasPrefix(rest, "false"):
		d.at += len("false")
		return false, nil
	case strings.HasPrefix(rest, "null"):
		d.at += len("null")
		return nil, nil
	default:
		return nil, d.fail("no value")
	}
}

// plain holds the bytes that stand for themselves within a string.
var plain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return plain
}()

// run reads bytes that stand for themselves.
func (d *decoder) run() string {
	start, text := d.at, d.text
	i := start
	for len(text)-i >= 8 {
		special := specials(text[i : i+8])
		if special != 0 {
			d.at = i + bits.TrailingZeros64(special)/8
			return text[start:d.at]
		}
		i += 8
	}
	for i < len(text) && plain[text[i]] {
		i++
	}
	d.at = i
	return text[start:i]
}

// specials has the high bit of each of eight bytes set that is not plain, up to the first of them: what is above that one
// means nothing, because the subtractions borrow.
func specials(s string) uint64 {
	const each = 0x0101010101010101
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, backslash := x^(each*'"'), x^(each*'\\')
	return ((x-each*' ')&^x | (quote-each)&^quote | (backslash-each)&^backslash) & (each << 7)
}

// string reads a string, which shares the text unless it holds escapes.
func (d *decoder) string() (string, error) {
	d.at++
	s := d.run()
	if d.at < len(d.text) && d.text[d.at] == '"' {
		d.at++
		return s, nil
	}
	d.buf = append(d.buf[:0], s...)
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case '"':
			d.at++
			return string(d.buf), nil
		case '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			d.buf = utf8.AppendRune(d.buf, r)
			d.buf = append(d.buf, d.run()...)
		default:
			return "", d.fail("a control character in a string")
		}
	}
	return "", d.fail("a string without end")
}

func (d *decoder) escape() (rune, error) {
	if d.at++; d.at >= len(d.text) {
		return 0, d.fail("a string without end")
	}
	c := d.text[d.at]
	if c == 'u' {
		return d.unicode()
	}
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		d.at++
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	return 0, d.fail("an invalid escape in a string")
}

// unicode reads the escape of a character. Half a surrogate pair is no character.
func (d *decoder) unicode() (rune, error) {
	r, err := d.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(d.text[d.at:], `\u`) {
		d.at++
		low, err := d.hex()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, d.fail("half a surrogate pair in a string")
}

func (d *decoder) hex() (rune, error) {
	if d.at+5 > len(d.text) {
		return 0, d.fail("a string without end")
	}
	n, err := strconv.ParseUint(d.text[d.at+1:d.at+5], 16, 16)
	if err != nil {
		return 0, d.fail("an invalid escape in a string")
	}
	d.at += 5
	return rune(n), nil
}

// isNumber says whether a number begins with the byte.
func isNumber(c byte) bool { return c == '-' || '0' <= c && c <= '9' }

func (d *decoder) number() (any, error) {
	start := d.at
	integer, err := d.literalNumber()
	if err != nil {
		return nil, err
	}
	return exact(d.text[start:d.at], integer), nil
}

// literalNumber reads the text of a number, and says whether it has neither a fraction nor an exponent.
func (d *decoder) literalNumber() (integer bool, err error) {
	if d.text[d.at] == '-' {
		d.at++
	}
	whole := d.digits()
	if whole == 0 || whole > 1 && d.text[d.at-whole] == '0' {
		return false, d.fail("an invalid number")
	}
	integer = true
	if d.at < len(d.text) && d.text[d.at] == '.' {
		if d.at++; d.digits() == 0 {
			return false, d.fail("an invalid number")
		}
		integer = false
	}
	if d.at < len(d.text) && d.text[d.at]|0x20 == 'e' {
		if d.at++; d.at < len(d.text) && (d.text[d.at] == '+' || d.text[d.at] == '-') {
			d.at++
		}
		if d.digits() == 0 {
			return false, d.fail("an invalid number")
		}
		integer = false
	}
	return integer, nil
}

func (d *decoder) digits() int {
	start := d.at
	for d.at < len(d.text) && '0' <= d.text[d.at] && d.text[d.at] <= '9' {
		d.at++
	}
	return d.at - start
}

// exact keeps -0 as it is written: as an integer it would lose its sign.
func exact(literal string, integer bool) any {
	if integer && literal != "-0" {
		if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
			return n
		}
	}
	return json.Number(literal)
}
