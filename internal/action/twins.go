package action

import (
	"reflect"
	"strings"
	"sync"
)

// twins has the second of two texts, an object as it was and as it will be, share what is the same in both. What stands at
// the same place in the same bytes is the same value, so it need not be read again; and where two values are one, nothing
// has changed. Whatever the texts are, the values are those that DecodeObject gives: where places are not found again, only
// more is read.
type twins struct {
	// text is the first one, and marks are its values from minShared bytes, each before those within it.
	text  string
	marks []mark
	// isRead says that the first text has been read.
	isRead bool
	// next and end are the marks within that value of the first text which is the twin of what is being read.
	next, end int
}

// mark is where a value stands in the first text.
type mark struct {
	// key is that of the member, empty for an element of a list.
	key        string
	start, end int
	// after is the first mark that is not within this one.
	after int
	value any
}

const (
	// minShared is the length from which a mark costs less than reading a value again.
	minShared = 16
	// bytesPerMark is how much text of the usual objects has one mark, and firstMarks is for how many there is room at first.
	bytesPerMark, firstMarks = 40, 1024
	// minMarks is the least room that is made, so that it serves for the next object as well.
	minMarks = 256
	// maxSharedDepth bounds how often the same bytes are compared: once at each depth, up to the first that differ.
	maxSharedDepth = 32
	// maxMissed is how many members are passed over to find one. Members come in the same order.
	maxMissed = 8
)

// decode decodes the first text at the first call, and the second at the second.
func (t *twins) decode(d *decoder) (map[string]any, error) { return t.read(d, (*decoder).whole) }

// object decodes the object at hand: the first in a text at the first call, and the second in the same text at the second.
func (t *twins) object(d *decoder) (map[string]any, error) { return t.read(d, (*decoder).object) }

func (t *twins) read(d *decoder, read func(*decoder) (map[string]any, error)) (map[string]any, error) {
	d.twins = t
	if !t.isRead {
		t.text, t.marks = d.text, newMarks((len(d.text)-d.at)/bytesPerMark)
	}
	t.next, t.end = 0, len(t.marks)
	object, err := read(d)
	t.isRead = true
	return object, err
}

// marksOfObject are slices of marks that served before, for usual objects: what is used again and again stays in the
// processor's caches.
var marksOfObject sync.Pool // of *[]mark

// newMarks has room for so many marks, up to firstMarks.
func newMarks(count int) []mark {
	if used, ok := marksOfObject.Get().(*[]mark); ok {
		return *used
	}
	return make([]mark, 0, max(minMarks, min(count, firstMarks)))
}

// release is called when both texts are read, or the first cannot be: what is read then is a first text again. The marks must
// hold nothing: what is read is kept by others, or by nobody.
func (t *twins) release() {
	clear(t.marks)
	if marks := t.marks[:0]; cap(marks) > 0 && cap(marks) <= firstMarks {
		marksOfObject.Put(&marks)
	}
	*t = twins{}
}

// part reads the value of a member, or with an empty key of an element.
func (d *decoder) part(key string) (any, error) {
	switch t := d.twins; {
	case t == nil || !isLong(d.peek()):
		return d.valueOf(key)
	case !t.isRead:
		return t.mark(d, key)
	default:
		return t.share(d, key)
	}
}

// isLong says whether a value that begins with the byte may be longer than a number.
func isLong(c byte) bool { return c == '{' || c == '[' || c == '"' }

func (t *twins) mark(d *decoder, key string) (any, error) {
	i, start := len(t.marks), d.at
	t.marks = append(t.marks, mark{key: key, start: start})
	value, err := d.valueOf(key)
	if d.at-start < minShared {
		t.marks[i] = mark{}
		t.marks = t.marks[:i] // what is within it is shorter still
		return value, err
	}
	m := &t.marks[i]
	m.end, m.after, m.value = d.at, len(t.marks), value
	return value, err
}

func (t *twins) share(d *decoder, key string) (any, error) {
	inside := mark{}
	if i := t.find(key); i >= 0 {
		m := &t.marks[i]
		t.next = m.after
		// Twins are equally deep, so what is not too deep there is not so here.
		if twin := t.text[m.start:m.end]; maxDepth-d.left <= maxSharedDepth && strings.HasPrefix(d.text[d.at:], twin) {
			d.at += len(twin)
			return m.value, nil
		}
		inside.start, inside.end = i+1, m.after
	}
	next, end := t.next, t.end
	t.next, t.end = inside.start, inside.end
	value, err := d.valueOf(key)
	t.next, t.end = next, end
	return value, err
}

// find returns the mark of the twin that has the key, -1 where it is not among the next.
func (t *twins) find(key string) int {
	i := t.next
	for missed := 0; i < t.end && missed < maxMissed; missed++ {
		if t.marks[i].key == key {
			return i
		}
		i = t.marks[i].after
	}
	return -1
}

// same says whether two values are one: the same map or list, not one that is equal.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
	case []any:
		b, ok := b.([]any)
		return ok && len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	default:
		return false
	}
}
