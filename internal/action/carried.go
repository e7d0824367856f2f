package action

import (
	"encoding/json"
	"strings"
)

// Carried is an object, or options, that the request of a review carries.
type Carried struct {
	// Raw is a part of the review: JSON, in UTF-8, but it may have a key twice.
	Raw json.RawMessage
	// Object is what DecodeObject makes of it, as long as nobody changes that: what two objects of a review have in common is
	// shared. Nil: it is none, or cannot be decoded, or nobody asked for it.
	Object map[string]any
}

// Decoded are the objects of a request, as they were carried. Nil are those that were not decoded yet.
type Decoded struct{ Object, OldObject map[string]any }

// requestDepth is how deep the members of a request are.
const requestDepth = 2

// Carrier reads what a review carries, from one place to the next. Close it when nothing more is to be read.
type Carrier struct {
	decoder decoder
	raw     []byte
	objects twins
}

// Carry returns a carrier for a review, which is UTF-8, from a place on within its request. What it reads shares memory with the
// review, which must not be changed afterwards.
func Carry(review []byte, from int) *Carrier {
	return &Carrier{raw: review, decoder: decoder{text: view(review), at: from, left: maxDepth - requestDepth}}
}

// Close gives back what was needed only to read.
func (c *Carrier) Close() { c.objects.release() }

// Pass passes what stands at hand, and says whether that is the text.
func (c *Carrier) Pass(text string) bool {
	d := &c.decoder
	if !strings.HasPrefix(d.text[d.at:], text) {
		return false
	}
	d.at += len(text)
	return true
}

// Ended says whether there is nothing more but space.
func (c *Carrier) Ended() bool {
	c.decoder.space()
	return c.decoder.at == len(c.decoder.text)
}

// Skip reads the value at hand, and decodes nothing of it. It fails where there is none.
func (c *Carrier) Skip() (Carried, error) { return c.value(skipped) }

// Object reads the value at hand, and decodes the object that it may be. It fails where there is no value.
func (c *Carrier) Object() (Carried, error) { return c.value(c.object) }

// Twin is Object for the second of two objects that are mostly alike, and for the first.
func (c *Carrier) Twin() (Carried, error) { return c.value(c.twin) }

func (c *Carrier) value(read func(*decoder) (map[string]any, error)) (Carried, error) {
	d := &c.decoder
	d.space()
	start := d.at
	object, err := read(d)
	if err != nil {
		return Carried{}, err
	}
	return Carried{Raw: c.raw[start:d.at:d.at], Object: object}, nil
}

func skipped(d *decoder) (map[string]any, error) { return nil, d.skip() }

func (c *Carrier) object(d *decoder) (map[string]any, error) { return c.decode(d, (*decoder).object) }

func (c *Carrier) twin(d *decoder) (map[string]any, error) { return c.decode(d, c.objects.object) }

// decode decodes an object. What it cannot decode may still be carried.
func (c *Carrier) decode(d *decoder, read func(*decoder) (map[string]any, error)) (map[string]any, error) {
	if d.peek() != '{' {
		return skipped(d)
	}
	inner := decoder{text: d.text, at: d.at, left: d.left, items: d.items, buf: d.buf, empty: map[string]any{}, sharesSets: true}
	object, err := read(&inner)
	if err != nil {
		c.objects.release()
		return skipped(d)
	}
	d.at, d.items, d.buf = inner.at, inner.items, inner.buf
	return object, nil
}

// skip reads a value, and makes nothing of it.
func (d *decoder) skip() error {
	switch c := d.peek(); {
	case c == '"':
		return d.skipString()
	case c == '{':
		return d.skipParts('}')
	case c == '[':
		return d.skipParts(']')
	case isNumber(c):
		_, err := d.literalNumber()
		return err
	default:
		_, err := d.literal()
		return err
	}
}

// skipParts reads an object or a list.
func (d *decoder) skipParts(closing byte) error {
	if err := d.enter(); err != nil {
		return err
	}
	if d.peek() == closing {
		_, err := d.next(closing)
		return err
	}
	for more := true; more; {
		if closing == '}' {
			if err := d.skipKey(); err != nil {
				return err
			}
		}
		err := d.skip()
		if err != nil {
			return err
		}
		if more, err = d.next(closing); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) skipKey() error {
	if d.peek() != '"' {
		return d.fail("no key")
	}
	if err := d.skipString(); err != nil {
		return err
	}
	return d.colon()
}

func (d *decoder) skipString() error {
	d.at++
	for d.run(); d.at < len(d.text); d.run() {
		switch d.text[d.at] {
		case '"':
			d.at++
			return nil
		case '\\':
			if _, err := d.escape(); err != nil {
				return err
			}
		default:
			return d.fail("a control character in a string")
		}
	}
	return d.fail("a string without end")
}
