package privilege

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// place are namespaces in which classes of actions get equally far.
type place struct {
	names  []string
	labels map[string]string
	// toCome stands for namespaces that do not exist yet, of which nothing is known.
	toCome bool
}

// yetToCome is a name that no pattern but those that match every name matches. No namespace can have it.
const yetToCome = "-any-other-"

// judge finds out what becomes of the rights of one subject.
type judge struct {
	review *Review
	actor  action.Actor
	places []place
	known  map[question]verdict
	uses   []use
	// since is since when everything is known that is recorded; zero: nothing is.
	since time.Time
}

// question is about one class, one set of names and one namespace; "" is all, or none where the kind is in none.
type question struct {
	class      classOf
	names      string
	namespace  string
	namespaced bool
}

func (r *Review) newJudge(s Subject, groups []string) *judge {
	j := &judge{review: r, actor: s.actor(r.Accounts[s], groups), known: map[question]verdict{}}
	if username := s.Username(); username != "" {
		j.uses = r.uses[username]
	}
	tell := r.Set.Places(j.actor)
	byPlace := map[string]*place{}
	add := func(name string, labels map[string]string, toCome bool) {
		key := tell(name, labels)
		if byPlace[key] == nil {
			byPlace[key] = &place{labels: labels}
		}
		byPlace[key].toCome = byPlace[key].toCome || toCome
		if !toCome {
			byPlace[key].names = append(byPlace[key].names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Namespaces)) {
		add(name, r.Namespaces[name], false)
	}
	add(yetToCome, nil, true)
	for _, key := range slices.Sorted(maps.Keys(byPlace)) {
		j.places = append(j.places, *byPlace[key])
	}
	return j
}

// ask is the verdict about a class.
func (j *judge) ask(q question, names []string) verdict {
	if v, asked := j.known[q]; asked {
		return v
	}
	var parts []part
	switch {
	case !q.namespaced:
		parts = j.within(q, names, place{})
	case q.namespace != "":
		parts = j.within(q, names, place{names: []string{q.namespace}, labels: j.review.Namespaces[q.namespace]})
	default:
		for i := range j.places {
			parts = append(parts, j.within(q, names, j.places[i])...)
		}
	}
	v := summarise(parts, names)
	j.known[q] = v
	return v
}

// within says what becomes of a class in namespaces that are alike, of names each by itself, or of all.
func (j *judge) within(q question, names []string, p place) []part {
	class := policy.Class{
		Actor: j.actor, Operation: q.class.operation, Group: q.class.group, Resource: q.class.resource, Subresource: q.class.subresource,
		Namespaced: q.namespaced, NamespaceLabels: p.labels, Scale: q.class.scale,
	}
	switch {
	case len(p.names) > 0:
		class.Namespace = p.names[0]
	case p.toCome:
		class.Namespace = yetToCome
	}
	if len(names) == 0 {
		return []part{partOf(j.review.Set.Reach(class), nil, p)}
	}
	parts := make([]part, 0, len(names))
	for _, name := range names {
		class.Name = name
		parts = append(parts, partOf(j.review.Set.Reach(class), []string{name}, p))
	}
	return parts
}

// rights judges the rights of a grant, and splits those whose verbs are covered differently.
func (j *judge) rights(g *Grant) {
	var judged []Right
	for i := range g.Rights {
		whole := &g.Rights[i]
		byClass := map[classOf][]string{}
		var order []classOf
		for _, verb := range whole.Verbs {
			c := classify(whole.Group, whole.Resource, verb)
			if c == (classOf{}) && !slices.Contains(readVerbs, verb) {
				c.resource = "*" // a verb with a meaning of its own
			}
			if byClass[c] == nil {
				order = append(order, c)
			}
			byClass[c] = append(byClass[c], verb)
		}
		for _, c := range order {
			part := *whole
			part.Verbs = byClass[c]
			j.right(g, &part, c)
			judged = append(judged, part)
		}
	}
	g.Rights = joinRights(judged)
}

// right judges verbs of one class.
func (j *judge) right(g *Grant, r *Right, c classOf) {
	switch {
	case c == classOf{}:
		r.Coverage = Read
		return
	case c.operation == "":
		r.Coverage = Other
		return
	}
	q := question{class: c, names: strings.Join(r.Names, "\x00"), namespaced: r.namespaced}
	if r.namespaced {
		q.namespace = g.Namespace
	}
	v := j.ask(q, r.Names)
	r.classes, r.Coverage, r.Elsewhere, r.OnlyNames = []verbsOf{{class: c, verbs: r.Verbs}}, v.coverage, v.elsewhere, v.onlyNames
	r.Tasks = slices.Sorted(maps.Keys(v.tasks))
	for i := range r.classes {
		r.classes[i].parts = v.parts
	}
	if v.elsewhere != "" {
		r.OnlyIn = v.namespaces
	}
	j.use(g, r, v)
}

// joinRights puts the verbs of one resource together again that are covered alike.
func joinRights(rights []Right) []Right {
	joined := make([]Right, 0, len(rights))
	for i := range rights {
		r := &rights[i]
		at := len(joined) - 1
		for at >= 0 && joined[at].Group == r.Group && joined[at].Resource == r.Resource && !joined[at].alike(r) {
			at--
		}
		if at >= 0 && joined[at].alike(r) {
			joined[at].Verbs = sortVerbs(slices.Concat(joined[at].Verbs, r.Verbs))
			joined[at].classes = append(joined[at].classes, r.classes...)
			continue
		}
		joined = append(joined, *r)
	}
	return joined
}

// alike says whether two rights differ in nothing but their verbs.
func (r *Right) alike(other *Right) bool {
	return r.Group == other.Group && r.Resource == other.Resource && r.Coverage == other.Coverage && r.Elsewhere == other.Elsewhere &&
		slices.Equal(r.Names, other.Names) && slices.Equal(r.Tasks, other.Tasks) && slices.Equal(r.OnlyIn, other.OnlyIn) &&
		slices.Equal(r.OnlyNames, other.OnlyNames) && r.Use == other.Use && r.LastUsed.Equal(other.LastUsed) &&
		r.UnusedSince.Equal(other.UnusedSince)
}
