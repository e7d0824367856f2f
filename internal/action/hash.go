package action

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// hashVersion begins every hash. It must be bumped whenever one action would get another hash than before: when a
// member of the document below is added, removed or renamed, when what counts as noise, as secret or as generated
// changes, when listKeys changes, or when the canonical form of JSON does. The golden files of the tests notice. Pending
// approvals hold hashes: a release that bumps the version must also compute the old ones until these have expired.
const hashVersion = "v1"

// usualDocument is the length within which most of what is hashed keeps, in bytes: the changes of an update.
const usualDocument = 1024

// Hasher computes the hash of actions under a key of the installation.
type Hasher struct {
	// KeyID names the key, in letters and digits. It becomes part of a hash into which secret values entered.
	KeyID string
	// Key is the key of the HMAC through which secret values enter. Whoever knows it can guess short secrets.
	Key []byte
	// Previous is the hasher with the key that this one has replaced: what is known by its hashes is known by them still. Nil:
	// there is none.
	Previous *Hasher
	// sealers served before and serve again. Nil: each serves for one hash.
	sealers *sync.Pool // of *sealer
}

// Reused returns a hasher that keeps what it computes of the key for the next hash.
func (h Hasher) Reused() Hasher {
	h.sealers = &sync.Pool{}
	return h
}

// Hash identifies an action: equal for every way of doing one thing, different for anything else. It is
// "v1:<hex>", or "v1.<key id>:<hex>" where secret values entered.
func (h Hasher) Hash(a *Action) string {
	text, secrets := h.document(a)
	version := hashVersion
	if secrets {
		version += "." + h.KeyID
	}
	sum := sha256.Sum256(text)
	return version + ":" + hex.EncodeToString(sum[:])
}

// document returns what is hashed, and whether secret values entered.
func (h Hasher) document(a *Action) (text []byte, secrets bool) {
	d := document{action: a, writer: writer{mask: true, buf: make([]byte, 0, usualDocument)}}
	var seal *sealer
	d.writer.secret = func(w *writer, v any) {
		if seal == nil {
			seal = h.sealer()
		}
		w.text(seal.text(v))
	}
	d.write()
	if seal != nil && h.sealers != nil {
		h.sealers.Put(seal)
	}
	return d.writer.buf, seal != nil
}

func (h Hasher) sealer() *sealer {
	if h.sealers != nil {
		if used, ok := h.sealers.Get().(*sealer); ok {
			return used
		}
	}
	return &sealer{mac: hmac.New(sha256.New, h.Key)}
}

// sealer makes what stands for secret values in a hash: an environment has many.
type sealer struct {
	mac   hash.Hash
	isOld bool // it has served before
	plain writer
	sum   []byte
}

// text stands for a value.
func (s *sealer) text(v any) string {
	if s.isOld {
		s.mac.Reset() // which a new one does not need, and takes longer at first
	}
	s.isOld = true
	s.plain.buf = s.plain.buf[:0]
	s.plain.value(zonePlain, v)
	s.mac.Write(s.plain.buf)
	s.sum = s.mac.Sum(s.sum[:0])
	return hex.EncodeToString(s.sum)
}

// document is what is hashed: one JSON object.
type document struct {
	action *Action
	writer writer
}

func (d *document) write() {
	a, w := d.action, &d.writer
	w.raw(`{"v":`)
	w.text(hashVersion)
	d.texts("actor", a.Actor.Username, a.Actor.UID)
	d.texts("operation", string(a.Operation))
	d.texts("resource", a.Group, a.Version, a.Resource, a.Subresource)
	d.texts("target", a.Namespace, a.Name, a.GenerateName, a.UID, a.Address)
	switch a.Operation {
	case v1alpha1.OperationUpdate:
		d.changes()
	case v1alpha1.OperationDelete:
		d.deletion()
	case v1alpha1.OperationCreate:
		d.content("object", a.asSent())
	default:
		d.content("options", a.New)
	}
	w.raw("}")
}

// texts writes a member that is a list of texts.
func (d *document) texts(name string, texts ...string) {
	d.member(name)
	d.writer.raw("[")
	for i, text := range texts {
		if i > 0 {
			d.writer.raw(",")
		}
		d.writer.text(text)
	}
	d.writer.raw("]")
}

func (d *document) member(name string) {
	d.writer.raw(",")
	d.writer.text(name)
	d.writer.raw(":")
}

func (d *document) content(name string, object map[string]any) {
	d.member(name)
	if object == nil {
		d.writer.raw("null")
		return
	}
	d.writer.value(d.action.rootZone(), object)
}

// deletion writes how and what is deleted.
func (d *document) deletion() {
	a := d.action
	options := map[string]any{}
	if a.Delete != nil {
		options["propagationPolicy"] = a.Delete.PropagationPolicy
		if a.Delete.GracePeriodSeconds != nil {
			options["gracePeriodSeconds"] = *a.Delete.GracePeriodSeconds
		}
		if a.Delete.IgnoreReadError {
			options["ignoreReadError"] = true
		}
	}
	d.member("delete")
	d.writer.value(zonePlain, options)
	d.content("oldObject", a.withoutNoise())
}

// withoutNoise returns the old object of a DELETE without what is noise. That it is being deleted already is noise too:
// one request has several reviews, before and after that is noted.
func (a *Action) withoutNoise() map[string]any {
	object := a.Old
	for _, field := range []string{"resourceVersion", "generation", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		object = without(object, "metadata", field)
	}
	if a.hasStatus {
		object = without(object, "status")
	}
	return withoutLastApplied(isSecret(a.Group, a.Resource), object)
}

// changes writes what an UPDATE changes.
func (d *document) changes() {
	d.member("changes")
	d.writer.raw("[")
	for i, c := range d.action.changesAsSent() {
		if i > 0 {
			d.writer.raw(",")
		}
		d.change(c)
	}
	d.writer.raw("]")
}

func (d *document) change(c Change) {
	w := &d.writer
	w.raw(`{"path":`)
	writePath(w, c.Path)
	if c.Rank != 0 {
		d.member("rank")
		w.value(zonePlain, int64(c.Rank))
	}
	if c.Path.compare(managedFieldsPath) == 0 {
		c.From.V, c.To.V = movedEntries(c.From.V, c.To.V)
	}
	z := d.action.rootZone().under(c.Path)
	d.side("from", z, c, c.From)
	d.side("to", z, c, c.To)
	w.raw("}")
}

func (d *document) side(name string, z zone, c Change, v Value) {
	if !v.Present {
		return
	}
	d.member(name)
	if isRestartOf(c.Path, v.V) {
		d.writer.raw("true")
		return
	}
	d.writer.value(z, v.V)
}

// isRestartOf says whether a value is the time of a restart, which is another one at every attempt.
func isRestartOf(path Path, v any) bool {
	last := len(path) - 1
	return last > 0 && path[last-1].Field == "annotations" && isRestart(path[last].Field, v)
}

// writePath writes a path typed: fields as texts, keys as objects.
func writePath(w *writer, path Path) {
	w.raw("[")
	for i, segment := range path {
		if i > 0 {
			w.raw(",")
		}
		if len(segment.Keys) == 0 {
			w.text(segment.Field)
			continue
		}
		keys := make(map[string]any, len(segment.Keys))
		for _, key := range segment.Keys {
			keys[key.Name] = key.Value
		}
		w.value(zonePlain, keys)
	}
	w.raw("]")
}
