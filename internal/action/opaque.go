package action

import (
	"encoding/json"
)

// DecodeReview decodes an AdmissionReview as DecodeObject does, but for the objects and options that its request carries:
// they become json.RawMessage, which is a part of raw. That is JSON, in UTF-8, but may have a key twice.
//
// All texts of the result share memory with raw, which must not be changed afterwards.
func DecodeReview(raw []byte) (map[string]any, error) {
	d := decoder{text: view(raw), left: maxDepth, raw: raw}
	return d.whole()
}

// carried are the members of a request that DecodeReview leaves undecoded, and requestDepth is how deep they are.
var carried = map[string]bool{"object": true, "oldObject": true, "options": true}

const requestDepth = 2

// member reads the value of a member.
func (d *decoder) member(key string) (any, error) {
	if d.raw == nil || maxDepth-d.left != requestDepth || !carried[key] {
		return d.part(key)
	}
	d.space()
	start := d.at
	if err := d.skip(); err != nil {
		return nil, err
	}
	return json.RawMessage(d.raw[start:d.at:d.at]), nil
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
