// Package reviewtest gives tests the AdmissionReviews that a real API server has sent, and changes of them that none
// would send. Fuzz targets have these as seeds, so that every run of the tests tries some, of them new ones each time.
package reviewtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Review is one captured review, with what the cluster said at that moment.
type Review struct {
	// Name is that of its file.
	Name string
	// Body is what the API server posts: an AdmissionReview.
	Body []byte
	// Object and OldObject are those of the request, nil where it has none.
	Object, OldObject []byte
	// Facts and Target are what else the operator has read, as the package action has it.
	Facts, Target json.RawMessage
}

// All are the captured reviews, by name.
func All(tb testing.TB) []Review {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(here), "..", "action", "testdata", "reviews", "*.json"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no reviews: %v", err)
	}
	all := make([]Review, len(paths))
	for i, path := range paths {
		all[i] = read(tb, path)
	}
	return all
}

func read(tb testing.TB, path string) Review {
	tb.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var file struct{ Request, Facts, Target json.RawMessage }
	var request struct{ Object, OldObject json.RawMessage }
	for _, err := range []error{json.Unmarshal(raw, &file), json.Unmarshal(file.Request, &request)} {
		if err != nil {
			tb.Fatalf("reading %s: %v", path, err)
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, file.Request); err != nil {
		tb.Fatalf("reading %s: %v", path, err)
	}
	return Review{
		Name: filepath.Base(path), Body: Post(compact.Bytes()), Facts: file.Facts, Target: file.Target,
		Object: unlessNull(request.Object), OldObject: unlessNull(request.OldObject),
	}
}

// Post is what an API server posts of a request.
func Post(request []byte) []byte {
	return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":%s}`+"\n", request)
}

func unlessNull(raw json.RawMessage) []byte {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// Mutants are so many changes of texts, most of them JSON: half of them the same at every run, and half of a seed that is
// printed, and taken from MUTATION_SEED to repeat a run. There are none while the go command fuzzes: it makes its own, and
// would spend its time on these first.
func Mutants(tb testing.TB, texts [][]byte, count int) [][]byte {
	tb.Helper()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		return nil
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("MUTATION_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("MUTATION_SEED=%d", seed)
	var all [][]byte
	for _, from := range []uint64{1, seed} {
		m := mutator{Rand: rand.New(rand.NewPCG(from, 2)), texts: texts} //nolint:gosec // no secret
		for range count / 2 {
			all = append(all, m.mutant())
		}
	}
	return all
}

type mutator struct {
	*rand.Rand
	texts [][]byte
}

// mutant changes one of the texts, once or a few times.
func (m mutator) mutant() []byte {
	text := slices.Clone(m.texts[m.IntN(len(m.texts))])
	for range 1 + m.IntN(3) {
		var content any
		if m.IntN(3) > 0 && json.Unmarshal(text, &content) == nil {
			if changed, err := json.Marshal(m.change(content, 0)); err == nil {
				text = changed
				continue
			}
		}
		text = m.garble(text)
	}
	return text
}

// awkward are values that have been trouble somewhere.
var awkward = []any{
	nil, "", " ", "*", "a/b", "a.b[c=d]", "\x00", "\x1b[2J", "\u202e", "\u2028next: GRANTED", "\xff", "\ufeff", "\U000e0041",
	"-", "system:masters",
	true, 0, -1, 1.5, 1e300, json.Number("9223372036854775808"), map[string]any{}, []any{}, []any{nil}, []any{map[string]any{}},
	map[string]any{"": nil}, []any{map[string]any{"name": "x"}, map[string]any{"name": "x"}},
}

// change changes something in content.
func (m mutator) change(v any, depth int) any {
	if depth > 0 && m.IntN(6) == 0 {
		return awkward[m.IntN(len(awkward))]
	}
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(func(yield func(string) bool) {
			for key := range v {
				if !yield(key) {
					return
				}
			}
		})
		if len(keys) == 0 {
			v["name"] = awkward[m.IntN(len(awkward))]
			return v
		}
		switch key := keys[m.IntN(len(keys))]; m.IntN(12) {
		case 0:
			delete(v, key)
		case 1:
			v[keys[m.IntN(len(keys))]] = v[key]
		default:
			v[key] = m.change(v[key], depth+1)
		}
		return v
	case []any:
		if len(v) == 0 {
			return append(v, awkward[m.IntN(len(awkward))])
		}
		switch i := m.IntN(len(v)); m.IntN(8) {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return append(v, v[i])
		default:
			v[i] = m.change(v[i], depth+1)
		}
		return v
	default:
		return awkward[m.IntN(len(awkward))]
	}
}

// garble changes bytes, whatever they mean.
func (m mutator) garble(text []byte) []byte {
	if len(text) == 0 {
		return []byte{byte(m.IntN(256))} //nolint:gosec // it fits
	}
	i := m.IntN(len(text))
	j := min(len(text), i+1+m.IntN(20))
	switch m.IntN(4) {
	case 0:
		return slices.Delete(text, i, j)
	case 1:
		return slices.Insert(text, i, text[i:j]...)
	case 2:
		text[i] = byte(m.IntN(256)) //nolint:gosec // it fits
		return text
	default:
		return text[:i]
	}
}
