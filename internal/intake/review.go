package intake

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/internal/action"
)

// ReadReview reads the request of an AdmissionReview of v1 in the form in which API servers send it: the members in the order of
// their Go types, without space between them. It takes one pass, where a codec takes several through objects of which it keeps
// the text only; what it returns is what a codec would.
//
// Of any other form it returns false, and says nothing about it: a member that it does not know, or one at another place, or of
// another type, no JSON at all. Then a codec must read the review, or say what is wrong with it. The objects of the request
// share memory with the body. They come decoded as well, where they can be.
func ReadReview(body []byte) (*admissionv1.AdmissionRequest, action.Decoded, bool) {
	end := bytes.Index(body, []byte(objectFollows))
	if end < 0 || !utf8.Valid(body) {
		return nil, action.Decoded{}, false
	}
	r := &admissionv1.AdmissionRequest{}
	// What others keep of the request must not keep all of the body in memory, so the beginning is copied.
	head := head{rest: string(body[:end]), known: true}
	head.request(r)
	tail := tail{carrier: action.Carry(body, end), known: head.known && head.rest == ""}
	defer tail.carrier.Close()
	decoded := tail.request(r)
	return r, decoded, tail.known
}

// objectFollows is where the objects of a request begin. It cannot be within a text, where quotes have escapes.
const objectFollows = `,"object":`

// head reads a review up to its objects. What it returns counts only while known is true.
type head struct {
	// rest is what has not been read yet.
	rest  string
	known bool
}

// pass reads what must follow.
func (h *head) pass(text string) { h.known = h.has(text) && h.known }

// has reads what may follow, and says whether it did.
func (h *head) has(text string) (has bool) {
	h.rest, has = strings.CutPrefix(h.rest, text)
	return has
}

func (h *head) request(r *admissionv1.AdmissionRequest) {
	h.pass(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":`)
	r.UID = types.UID(h.text())
	h.pass(`,"kind":`)
	r.Kind = h.kind()
	h.pass(`,"resource":`)
	r.Resource = h.resource()
	if h.has(`,"subResource":`) {
		r.SubResource = h.text()
	}
	if h.has(`,"requestKind":`) {
		r.RequestKind = new(h.kind())
	}
	if h.has(`,"requestResource":`) {
		r.RequestResource = new(h.resource())
	}
	if h.has(`,"requestSubResource":`) {
		r.RequestSubResource = h.text()
	}
	if h.has(`,"name":`) {
		r.Name = h.text()
	}
	if h.has(`,"namespace":`) {
		r.Namespace = h.text()
	}
	h.pass(`,"operation":`)
	r.Operation = admissionv1.Operation(h.text())
	h.pass(`,"userInfo":{`)
	r.UserInfo = h.user()
}

func (h *head) kind() metav1.GroupVersionKind {
	group, version, kind := h.coordinates(`,"kind":`)
	return metav1.GroupVersionKind{Group: group, Version: version, Kind: kind}
}

func (h *head) resource() metav1.GroupVersionResource {
	group, version, resource := h.coordinates(`,"resource":`)
	return metav1.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

// coordinates reads a group, a version, and what of them follows.
func (h *head) coordinates(last string) (group, version, what string) {
	h.pass(`{"group":`)
	group = h.text()
	h.pass(`,"version":`)
	version = h.text()
	h.pass(last)
	what = h.text()
	h.pass(`}`)
	return group, version, what
}

// user reads the members of a userInfo, each of which may be missing.
func (h *head) user() (user authenticationv1.UserInfo) {
	first := true
	next := func(member string) bool {
		if first {
			first = !h.has(member)
			return !first
		}
		return h.has("," + member)
	}
	if next(`"username":`) {
		user.Username = h.text()
	}
	if next(`"uid":`) {
		user.UID = h.text()
	}
	if next(`"groups":[`) {
		user.Groups = h.texts()
	}
	if next(`"extra":{`) {
		user.Extra = h.extra()
	}
	h.pass("}")
	return user
}

// extra reads the rest of an object of lists.
func (h *head) extra() map[string]authenticationv1.ExtraValue {
	extra := map[string]authenticationv1.ExtraValue{}
	for more := !h.has("}"); more && h.known; more = !h.has("}") {
		if len(extra) > 0 {
			h.pass(",")
		}
		size, name := len(extra), h.text()
		h.pass(":[")
		extra[name] = h.texts()
		h.known = h.known && len(extra) > size // no name comes twice
	}
	return extra
}

// texts reads the rest of a list.
func (h *head) texts() []string {
	texts := []string{}
	for more := !h.has("]"); more && h.known; more = !h.has("]") {
		if len(texts) > 0 {
			h.pass(",")
		}
		texts = append(texts, h.text())
	}
	return texts
}

// text reads a text.
func (h *head) text() string {
	rest, begins := strings.CutPrefix(h.rest, `"`)
	for i := 0; begins && i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			h.rest = rest[i+1:]
			return rest[:i]
		case c == '\\':
			return h.escaped(i + 1)
		case c < ' ':
			begins = false
		}
	}
	h.known = false
	return ""
}

// escaped reads a text that has an escape at a place.
func (h *head) escaped(at int) (text string) {
	for ; at < len(h.rest); at++ {
		switch h.rest[at] {
		case '\\':
			at++
		case '"':
			h.known = json.Unmarshal([]byte(h.rest[:at+1]), &text) == nil && h.known
			h.rest = h.rest[at+1:]
			return text
		}
	}
	h.known = false
	return ""
}

// tail reads the objects of a request, and what follows them. What it returns counts only while known is true.
type tail struct {
	carrier *action.Carrier
	known   bool
}

func (t *tail) request(r *admissionv1.AdmissionRequest) (decoded action.Decoded) {
	read := t.carrier.Object
	if r.Operation == admissionv1.Update {
		read = t.carrier.Twin
	}
	r.Object, decoded.Object = t.carried(`,"object":`, read)
	r.OldObject, decoded.OldObject = t.carried(`,"oldObject":`, read)
	if is := t.has(`,"dryRun":true`); is || t.has(`,"dryRun":false`) {
		r.DryRun = &is
	}
	r.Options, _ = t.carried(`,"options":`, t.carrier.Skip)
	t.known = t.known && t.has(`}}`) && t.carrier.Ended()
	return decoded
}

func (t *tail) has(text string) bool { return t.known && t.carrier.Pass(text) }

// carried reads a member that may follow.
func (t *tail) carried(member string, read func() (action.Carried, error)) (runtime.RawExtension, map[string]any) {
	if !t.has(member) {
		return runtime.RawExtension{}, nil
	}
	carried, err := read()
	if t.known = err == nil; !t.known || string(carried.Raw) == "null" {
		return runtime.RawExtension{}, nil
	}
	return runtime.RawExtension{Raw: carried.Raw}, carried.Object
}
