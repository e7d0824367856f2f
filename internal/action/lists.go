package action

import "slices"

// listKeys says by which fields the elements of a list are told apart, by the name of the list; where it is missing,
// by their name. The first entry that all elements have is taken. The names are those of the built-in kinds, and stand
// for the same in custom resources that hold pod templates. A list of which this is not true is still compared
// soundly, only with other paths. Several keys stand in alphabetical order, as they do in managedFields.
var listKeys = map[string][][]string{
	"addresses":                 {{"type"}},
	"conditions":                {{"type"}},
	"hostAliases":               {{"ip"}},
	"hostIPs":                   {{"ip"}},
	"ownerReferences":           {{"uid"}},
	"podIPs":                    {{"ip"}},
	"ports":                     {{"containerPort", "protocol"}, {"port", "protocol"}, {"name"}},
	"topologySpreadConstraints": {{"topologyKey", "whenUnsatisfiable"}},
	"volumeDevices":             {{"devicePath"}},
	"volumeMounts":              {{"mountPath"}},
}

var byName = [][]string{{"name"}}

// maxListKeys is the number of fields that a list needs at most.
const maxListKeys = 2

// identity holds the values of the fields by which an element is told apart.
type identity [maxListKeys]any

// keysOf returns the fields by which the elements of the lists are told apart, nil where they cannot be: where an
// element is no object, has no such field, or has one that is no scalar.
func keysOf(list string, from, to []any) []string {
	candidates, ok := listKeys[list]
	if !ok {
		candidates = byName
	}
	for _, names := range candidates {
		if allHave(names, from) && allHave(names, to) {
			return names
		}
	}
	return nil
}

func allHave(names []string, list []any) bool {
	for _, element := range list {
		if _, ok := identify(names, element); !ok {
			return false
		}
	}
	return true
}

func identify(names []string, element any) (id identity, ok bool) {
	object, ok := element.(map[string]any)
	if !ok {
		return id, false
	}
	for i, name := range names {
		v, present := object[name]
		if !present && name == "protocol" {
			v = "TCP" // the API's default, which what people apply leaves out
		}
		if !isScalar(v) {
			return id, false
		}
		id[i] = v
	}
	return id, true
}

// hasIdentities says whether the elements of a list can be told apart: that it has elements, and each its own keys.
func (d *differ) hasIdentities(list []any) bool {
	names := keysOf(d.at[len(d.at)-1].field, list, nil)
	if names == nil || len(list) == 0 {
		return false
	}
	mark := len(d.ids)
	defer func() { d.ids = d.ids[:mark] }()
	return unique(d.identities(names, list))
}

// identities appends to d.ids and returns what it appended. The caller cuts d.ids back.
func (d *differ) identities(names []string, list []any) []identity {
	mark := len(d.ids)
	for _, element := range list {
		id, _ := identify(names, element)
		d.ids = append(d.ids, id)
	}
	return d.ids[mark:len(d.ids):len(d.ids)]
}

// lists compares two lists by key where that proves which element is which: all have the keys, no two have the same,
// and the new list is the old one less what is removed, followed by what is added. Anything else, such as another
// order, is one change of the whole list.
func (d *differ) lists(from, to Value) {
	mark := len(d.ids)
	defer func() { d.ids = d.ids[:mark] }()

	before, after := asList(from), asList(to)
	names := keysOf(d.at[len(d.at)-1].field, before, after)
	byKey := names != nil && d.byKey(names, before, after)
	if !byKey && (from.Present != to.Present || !equal(from.V, to.V)) {
		d.emit(from, to, 0)
	}
}

// byKey compares element by element, or returns false where the keys do not prove which is which.
func (d *differ) byKey(names []string, from, to []any) bool {
	before := d.identities(names, from)
	after := d.identities(names, to)
	if !unique(before) || !unique(after) {
		return false
	}
	kept := 0
	for _, id := range before {
		if kept < len(after) && after[kept] == id {
			kept++
		}
	}
	added := after[kept:]
	if !disjoint(added, before) {
		return false
	}
	next := 0
	for i, id := range before {
		if next < kept && after[next] == id {
			d.element(names, id, Value{Present: true, V: from[i]}, Value{Present: true, V: to[next]}, 0)
			next++
		} else {
			d.element(names, id, Value{Present: true, V: from[i]}, Value{}, 0)
		}
	}
	for i, id := range added {
		rank := i + 1
		if len(added) == 1 {
			rank = 0
		}
		d.element(names, id, Value{}, Value{Present: true, V: to[kept+i]}, rank)
	}
	return true
}

// element compares one element. One that is added or removed is so as a whole.
func (d *differ) element(names []string, id identity, from, to Value, rank int) {
	d.at = append(d.at, frame{names: names, id: id})
	if from.Present && to.Present {
		d.values(from, to)
	} else {
		d.emit(from, to, rank)
	}
	d.at = d.at[:len(d.at)-1]
}

// fewIdentities is up to how many it is faster to compare each with each than to build a set.
const fewIdentities = 16

func unique(ids []identity) bool {
	if len(ids) > fewIdentities {
		return len(setOf(ids)) == len(ids)
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return false
		}
	}
	return true
}

func disjoint(a, b []identity) bool {
	if len(a)*len(b) > fewIdentities*fewIdentities {
		set := setOf(b)
		return !slices.ContainsFunc(a, func(id identity) bool { _, found := set[id]; return found })
	}
	return !slices.ContainsFunc(a, func(id identity) bool { return slices.Contains(b, id) })
}

func setOf(ids []identity) map[identity]struct{} {
	set := make(map[identity]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}
