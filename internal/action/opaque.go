package action

import (
	"encoding/json"
)

// DecodeReview decodes an AdmissionReview as DecodeObject does, but for the objects and options that its request carries:
// they become Carried.
//
// All texts of the result share memory with raw, which must not be changed afterwards.
func DecodeReview(raw []byte) (map[string]any, error) {
	d := decoder{text: view(raw), left: maxDepth, raw: raw}
	defer d.objects.release()
	return d.whole()
}

// Carried is an object, or options, that the request of a review carries.
type Carried struct {
	// Raw is a part of the review: JSON, in UTF-8, but it may have a key twice.
	Raw json.RawMessage
	// Object is what DecodeObject makes of it, as long as nobody changes that: what two objects of a review have in common is
	// shared. Nil: it is none, or cannot be decoded, or it holds options.
	Object map[string]any
}

// Decoded are the objects of a request, as they were carried. Nil are those that were not decoded yet.
type Decoded struct{ Object, OldObject map[string]any }

// requestDepth is how deep the members of a request are.
const requestDepth = 2

// member reads the value of a member.
func (d *decoder) member(key string) (any, error) {
	if d.raw == nil || maxDepth-d.left != requestDepth {
		return d.part(key)
	}
	switch key {
	case "object", "oldObject":
		return d.carried((*decoder).carriedObject)
	case "options":
		return d.carried((*decoder).skipped)
	case "operation": // which comes before the objects
		operation, err := d.part(key)
		d.alike = operation == "UPDATE"
		return operation, err
	default:
		return d.part(key)
	}
}

// carried reads what the request carries.
func (d *decoder) carried(read func(*decoder) (map[string]any, error)) (any, error) {
	d.space()
	start := d.at
	object, err := read(d)
	if err != nil {
		return nil, err
	}
	return Carried{Raw: d.raw[start:d.at:d.at], Object: object}, nil
}

func (d *decoder) skipped() (map[string]any, error) { return nil, d.skip() }

// carriedObject decodes an object. What it cannot decode may still be carried.
func (d *decoder) carriedObject() (map[string]any, error) {
	if d.peek() != '{' {
		return d.skipped()
	}
	inner := decoder{text: d.text, at: d.at, left: d.left, items: d.items, buf: d.buf, empty: map[string]any{}, sharesSets: true}
	read := (*decoder).object
	if d.alike {
		read = d.objects.object
	}
	object, err := read(&inner)
	if err != nil {
		d.objects.release()
		return d.skipped()
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
