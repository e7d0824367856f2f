package decisionlog

import (
	"encoding/json"
	"strconv"

	"github.com/countersign-dev/countersign/internal/legible"
)

// ends close the data and the envelope.
const ends = "}}"

// AppendLine appends the event as a line of the decision log, which holds no character that cannot be seen. It is what
// encoding/json makes of the event, but for the order of its members: the policies, of which there may be many, are written
// last, and without that package, which takes several times as long for each of them as deciding does.
func (e *Event) AppendLine(line []byte) ([]byte, error) {
	rest := *e
	rest.Data.Policies = nil
	encoded, err := json.Marshal(&rest)
	if err != nil {
		return nil, err
	}
	line = legible.JSON(line, encoded[:len(encoded)-len(ends)])
	for i := range e.Data.Policies {
		if i == 0 {
			line = append(line, `,"policies":[`...)
		} else {
			line = append(line, ',')
		}
		if line, err = e.Data.Policies[i].append(line); err != nil {
			return nil, err
		}
	}
	if len(e.Data.Policies) > 0 {
		line = append(line, ']')
	}
	return append(append(line, ends...), '\n'), nil
}

func (p *Policy) append(line []byte) ([]byte, error) {
	for _, member := range [...]struct{ key, text string }{
		{`{"name":`, p.Name}, {`,"uid":`, p.UID}, {`,"hash":`, p.Hash}, {`,"window":`, p.Window},
	} {
		var err error
		if line, err = appendText(append(line, member.key...), member.text); err != nil {
			return nil, err
		}
	}
	return append(strconv.AppendInt(append(line, `,"generation":`...), p.Generation, 10), '}'), nil
}

// appendText appends a text as JSON. The names that API servers accept need no escapes.
func appendText(line []byte, text string) ([]byte, error) {
	if isPlain(text) {
		return append(append(append(line, '"'), text...), '"'), nil
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	return legible.JSON(line, encoded), nil
}

// isPlain says whether a text stands in JSON as it is.
func isPlain(text string) bool {
	for i := range len(text) {
		if !plain[text[i]] {
			return false
		}
	}
	return true
}

// plain are the bytes of names, UIDs and hashes.
var plain = func() (table [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:_") {
		table[c] = true
	}
	return table
}()
