package action

import (
	"fmt"
	"strconv"
)

// maxPatternLength bounds a pattern in bytes. The custom resource allows half of it.
const maxPatternLength = 1024

// PatternError says why a pattern cannot be read.
type PatternError struct {
	// Pattern is what was to be read, cut where it is long.
	Pattern string
	// Position is the byte at which reading stopped, counted from 1.
	Position int
	// Cause says what is wrong there, Instead what to write.
	Cause, Instead string
}

// Error says position, cause and what to write.
func (e *PatternError) Error() string {
	return fmt.Sprintf("reading path %s: position %d: %s: %s", strconv.Quote(e.Pattern), e.Position, e.Cause, e.Instead)
}

// ParsePattern reads a pattern. Its errors are *PatternError.
func ParsePattern(s string) (Pattern, error) {
	p := patternParser{input: s}
	if len(s) > maxPatternLength {
		return Pattern{}, p.fail("it is too long", fmt.Sprintf("write at most %d bytes", maxPatternLength))
	}
	var pattern Pattern
	for first := true; first || p.at < len(s); first = false {
		segment, err := p.segment(first)
		if err != nil {
			return Pattern{}, err
		}
		pattern.segments = append(pattern.segments, segment)
	}
	return pattern, nil
}

type patternParser struct {
	input string
	at    int
}

func (p *patternParser) fail(cause, instead string) error {
	shown := p.input
	if len(shown) > 128 {
		shown = shown[:128] + "..."
	}
	return &PatternError{Pattern: shown, Position: p.at + 1, Cause: cause, Instead: instead}
}

// peek returns the byte at hand, 0 at the end.
func (p *patternParser) peek() byte {
	if p.at < len(p.input) {
		return p.input[p.at]
	}
	return 0
}

// take reads as many bytes as are accepted.
func (p *patternParser) take(accept func(byte) bool) string {
	start := p.at
	for p.at < len(p.input) && accept(p.input[p.at]) {
		p.at++
	}
	return p.input[start:p.at]
}

func (p *patternParser) segment(first bool) (patternSegment, error) {
	switch c := p.peek(); {
	case c == '[':
		p.at++
		return p.bracket()
	case c == '.' && !first:
		p.at++
	case !first:
		return patternSegment{}, p.fail("a field begins without a dot",
			`write a dot before a field; names with other characters than letters, digits, "-", "_" and "$" stand as ["name"]`)
	}
	return p.field()
}

func (p *patternParser) field() (patternSegment, error) {
	if name := p.take(bareByte); name != "" {
		return patternSegment{field: name}, nil
	}
	switch p.peek() {
	case 0:
		return patternSegment{}, p.fail("a field name is missing", "write a path such as spec.template.spec.containers[*].image")
	case '*':
		return patternSegment{}, p.fail(`"*" stands alone`, "write [*] for every element of a list or every key of a map")
	case '/':
		return patternSegment{}, p.fail("this looks like a JSON pointer", "separate fields by dots, as in spec.replicas")
	case '.':
		return patternSegment{}, p.fail("a field name is missing before the dot", "begin with a field, as in spec.replicas")
	default:
		return patternSegment{}, p.fail("this character cannot stand in a field name",
			`write such a name as ["name"], as in metadata.annotations["a/b"]`)
	}
}

// bracket reads what follows a bracket: *, a quoted field, or keys.
func (p *patternParser) bracket() (patternSegment, error) {
	start := p.at
	segment, err := p.inBrackets()
	if err != nil {
		return patternSegment{}, err
	}
	if p.peek() != ']' {
		return patternSegment{}, p.fail("the bracket is not closed here", `write [*], [name=web], [containerPort=80,protocol=TCP] or ["a/b"]`)
	}
	p.at++
	if _, err := strconv.Atoi(p.input[start : p.at-1]); err == nil {
		p.at = start
		return patternSegment{}, p.fail("elements of a list are chosen by key, not by position",
			"write [name=...] for one of them or [*] for all")
	}
	return segment, nil
}

func (p *patternParser) inBrackets() (patternSegment, error) {
	if p.peek() == '*' {
		p.at++
		return patternSegment{any: true}, nil
	}
	name, quoted, err := p.word(bareByte)
	if err != nil {
		return patternSegment{}, err
	}
	if p.peek() != '=' || name == "" {
		if _, err := strconv.Atoi(name); err != nil && !quoted {
			return patternSegment{}, p.fail("neither a key nor a quoted name",
				`write [name=web] for an element of a list, ["a/b"] for a key of a map`)
		}
		return patternSegment{field: name}, nil
	}
	return p.keys(name)
}

// keys reads the rest of the keys of a list element, of which the first name is read.
func (p *patternParser) keys(name string) (patternSegment, error) {
	var segment patternSegment
	for {
		if p.peek() != '=' {
			return patternSegment{}, p.fail("a key without a value", "write name=value")
		}
		p.at++
		value, quoted, err := p.word(bareKeyByte)
		if err != nil {
			return patternSegment{}, err
		}
		if value == "" && !quoted {
			return patternSegment{}, p.fail("a key without a value",
				`write the whole value, as in [name=web]; patterns such as "web-*" are not read, [*] is every element`)
		}
		segment.keys = append(segment.keys, patternKey{name: name, value: value, quoted: quoted})
		if p.peek() != ',' {
			return segment, nil
		}
		p.at++
		if name, _, err = p.word(bareByte); err != nil {
			return patternSegment{}, err
		}
	}
}

// word reads a bare or a quoted text.
func (p *patternParser) word(accept func(byte) bool) (text string, quoted bool, err error) {
	if p.peek() != '"' {
		return p.take(accept), false, nil
	}
	prefix, err := strconv.QuotedPrefix(p.input[p.at:])
	if err == nil {
		text, err = strconv.Unquote(prefix)
	}
	if err != nil {
		return "", false, p.fail("a quoted text that cannot be read", `close the quotes, and write \" for a quote within them`)
	}
	p.at += len(prefix)
	return text, true, nil
}
