package action

import (
	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Normalise turns a request into an action. The facts must be those that Need asks for.
//
// It fails with a *VersionError where the review is not in the preferred version of its kind, a *DecodeError where
// content is missing or cannot be read, a *TargetError where the live target is missing or another one, and an
// *OperationError where the operation is unknown. A governed subject is refused on every one of them.
func Normalise(r Request, f Facts) (*Action, error) {
	if err := r.checkVersion(f.Kind); err != nil {
		return nil, err
	}
	n := newNormaliser(r, f)
	if err := n.normalise(); err != nil {
		return nil, err
	}
	return n.action, nil
}

func newNormaliser(r Request, f Facts) *normaliser {
	n := &normaliser{Request: r, facts: f, action: &Action{
		Actor:       r.Actor,
		Operation:   r.Operation,
		Group:       r.Group,
		Version:     r.Version,
		Resource:    r.Resource,
		Subresource: r.Subresource,
		Kind:        f.Kind.Kind,
		Namespaced:  f.Kind.Namespaced,
		Name:        r.Name,
		DryRun:      r.DryRun,
	}}
	if f.Kind.Namespaced {
		n.action.Namespace = r.Namespace
	}
	return n
}

// checkVersion refuses a version in which paths mean something else than policies say.
func (r Request) checkVersion(k KindFacts) error {
	if r.Version == k.PreferredVersion && r.Version != "" {
		return nil
	}
	resource, prefix := r.Resource, ""
	if r.Group != "" {
		resource, prefix = r.Resource+"."+r.Group, r.Group+"/"
	}
	e := &VersionError{Resource: resource, Got: prefix + r.Version}
	if k.PreferredVersion != "" {
		e.Use = prefix + k.PreferredVersion
	}
	return e
}

type normaliser struct {
	Request
	facts  Facts
	action *Action
}

func (n *normaliser) normalise() error {
	switch n.form() {
	case formScale:
		return n.scale()
	case formEviction:
		return n.eviction()
	case formBinding:
		return n.binding()
	case formToken:
		return n.token()
	case formConnect:
		return n.connect()
	case formPlain:
		return n.plain()
	default:
		return n.unknown()
	}
}

func (n *normaliser) plain() error {
	switch n.Operation {
	case v1alpha1.OperationCreate:
		return n.create()
	case v1alpha1.OperationUpdate:
		return n.update()
	case v1alpha1.OperationDelete:
		return n.delete()
	default:
		return n.unknown()
	}
}

func (n *normaliser) unknown() error {
	resource := n.Resource
	if n.Subresource != "" {
		resource += "/" + n.Subresource
	}
	return &OperationError{Operation: string(n.Operation), Resource: resource}
}

func (n *normaliser) create() (err error) {
	a := n.action
	if a.New, err = n.decodeObject(); err != nil {
		return err
	}
	if n.Subresource == "" {
		if prefix := textAt(a.New, "metadata", "generateName"); isGenerated(textAt(a.New, "metadata", "name"), prefix) {
			a.GenerateName = prefix
		}
	}
	if err := n.identify("object", a.New); err != nil {
		return err
	}
	if a.GenerateName != "" {
		a.Name = ""
	}
	return nil
}

func (n *normaliser) update() (err error) {
	a := n.action
	a.Old, a.New = n.Decoded.OldObject, n.Decoded.Object
	if a.Old != nil && a.New != nil {
		return n.compare()
	}
	t := &twins{}
	defer t.release()
	if a.Old, err = decodeBy(t.decode, "oldObject", n.OldObject); err != nil {
		return err
	}
	if a.New, err = decodeBy(t.decode, "object", n.Object); err != nil {
		return err
	}
	return n.compare()
}

// compare finds out what an update changes.
func (n *normaliser) compare() error {
	a := n.action
	if err := n.identify("oldObject", a.Old); err != nil {
		return err
	}
	a.UID = textAt(a.Old, "metadata", "uid")
	a.Changes = a.governed(n.Subresource != "" || !n.facts.Kind.HasStatus)
	return nil
}

// Between is the UPDATE that made the second of two stored states of an object out of the first, as if the request had
// been reviewed: where it was, its hash is that of the review. The content of the request is not looked at.
//
// It fails as Normalise does.
func Between(r Request, k KindFacts, old, updated map[string]any) (*Action, error) {
	if err := r.checkVersion(k); err != nil {
		return nil, err
	}
	r.Operation = v1alpha1.OperationUpdate
	n := newNormaliser(r, Facts{Kind: k})
	n.action.Old, n.action.New = old, updated
	if err := n.compare(); err != nil {
		return nil, err
	}
	return n.action, nil
}

func (n *normaliser) delete() (err error) {
	a := n.action
	if a.Old, err = n.decodeOldObject(); err != nil {
		return err
	}
	if err := n.identify("oldObject", a.Old); err != nil {
		return err
	}
	a.UID = textAt(a.Old, "metadata", "uid")
	options := map[string]any{}
	if len(n.Options) > 0 {
		if options, err = decode("options", n.Options); err != nil {
			return err
		}
	}
	if a.Delete, err = deleteOptions("options", options); err != nil {
		return err
	}
	if a.Group == "" && a.Resource == "pods" && a.Subresource == "" {
		a.Delete.forPod(a.Old)
	}
	a.hasStatus = n.facts.Kind.HasStatus
	return nil
}

func (n *normaliser) decodeObject() (map[string]any, error) {
	return decodeUnlessDone(n.Decoded.Object, "object", n.Object)
}

func (n *normaliser) decodeOldObject() (map[string]any, error) {
	return decodeUnlessDone(n.Decoded.OldObject, "oldObject", n.OldObject)
}

func decodeUnlessDone(done map[string]any, part string, raw []byte) (map[string]any, error) {
	if done != nil {
		return done, nil
	}
	return decode(part, raw)
}

// decode reads content that nobody will change: parts of it are shared.
func decode(part string, raw []byte) (map[string]any, error) {
	return decodeBy((*decoder).whole, part, raw)
}

func decodeBy(read func(*decoder) (map[string]any, error), part string, raw []byte) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, &DecodeError{Part: part, Err: errMissing}
	}
	object, err := read(&decoder{text: view(raw), left: maxDepth, empty: map[string]any{}, sharesSets: true})
	if err != nil {
		return nil, &DecodeError{Part: part, Err: err}
	}
	return object, nil
}

// identify takes the name from the object where the review gives none, as within a deletecollection, and refuses an
// object that is not the one the review names.
func (n *normaliser) identify(part string, object map[string]any) error {
	a := n.action
	name, namespace := textAt(object, "metadata", "name"), textAt(object, "metadata", "namespace")
	if a.Name == "" {
		a.Name = name
	}
	if name != "" && name != a.Name || namespace != "" && namespace != a.Namespace {
		return &DecodeError{Part: part, Err: errOther}
	}
	return nil
}
