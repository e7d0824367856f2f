package action

import (
	"strings"
	"sync"
)

// fieldSets remembers the sets of fields that were read of managedFields: one object shows the same sets in review after
// review, and objects made of one template show the same. Read anew each time, they make up more than half of what
// decoding a small object takes. It is safe for concurrent use.
type fieldSets struct {
	mu   sync.RWMutex
	read map[string]owned
	size int
}

const (
	// maxFieldSet is the length of the longest set that is remembered, in bytes, and maxFieldSets that of all together; their
	// values take some fifteen times as much memory. A set is written about once a change, and reading it is bounded
	// anyhow, so where there are too many all are forgotten.
	maxFieldSet, maxFieldSets = 8 << 10, 256 << 10
)

// knownFieldSets are those that this process has read.
var knownFieldSets fieldSets

// valueOf reads what stands at a member, whose key is empty for an element.
func (d *decoder) valueOf(key string) (any, error) {
	if key == "fieldsV1" && d.sharesSets && d.peek() == '{' {
		start, left := d.at, d.left
		if set := d.fieldSet(); set != nil {
			return set, nil
		}
		d.at, d.left = start, left
	}
	return d.value()
}

// fieldSet reads a set of fields that may be known. Nil: it is none, or too long.
func (d *decoder) fieldSet() owned {
	start := d.at
	if d.skip() != nil { // it is nested too deeply here, too
		return nil
	}
	text := d.text[start:d.at]
	if len(text) > maxFieldSet {
		return nil
	}
	set, err := knownFieldSets.decode(text)
	if err != nil {
		return nil // as a part of the whole, it says where it is wrong
	}
	return set
}

// decode returns what DecodeObject does. It keeps neither the text nor what the text is a part of.
func (s *fieldSets) decode(text string) (owned, error) {
	s.mu.RLock()
	set, isKnown := s.read[text]
	s.mu.RUnlock()
	if isKnown {
		return set, nil
	}
	text = strings.Clone(text)
	d := decoder{text: text, left: maxDepth, empty: map[string]any{}}
	set, err := d.whole()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size += len(text); s.read == nil || s.size > maxFieldSets {
		s.read, s.size = map[string]owned{}, len(text)
	}
	s.read[text] = set
	return set, nil
}
