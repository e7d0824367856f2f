package action

import (
	"slices"
	"strings"
)

// Names that the API server generates end in so many letters of an alphabet, after a prefix that it cuts.
const (
	generatedLetters   = 5
	generatedAlphabet  = "bcdfghjklmnpqrstvwxz2456789"
	maxGeneratedPrefix = 63 - generatedLetters
)

// isGenerated says whether the name is one that the API server generates from the prefix. Somebody may also choose such
// a name; that is as if chance had chosen it.
func isGenerated(name, prefix string) bool {
	if prefix == "" {
		return false
	}
	suffix, ok := strings.CutPrefix(name, prefix[:min(len(prefix), maxGeneratedPrefix)])
	return ok && len(suffix) == generatedLetters && strings.Trim(suffix, generatedAlphabet) == ""
}

// creation is an object that is being created, as it loses what the server generated: what differs at every attempt
// must not be part of its hash.
//
// A value counts as generated only where that is proved. Some the server always sets, whatever was sent. For the others
// managedFields are the proof: the server notes in them all that was sent before it fills in the rest, and a requester
// can add to that note, but not take from it. Without managedFields nothing of the second kind is proved.
type creation struct {
	object map[string]any
	sent   func(path Path) bool
}

// generatedV1 is the table of server-generated values for hashVersion v1. Changing it changes hashes: see hashVersion.
var generatedV1 = byGroup(map[[2]string]func(*creation){
	{"", "pods"}:      (*creation).pod,
	{"", "services"}:  (*creation).service,
	{"batch", "jobs"}: (*creation).job,
	{"certificates.k8s.io", "certificatesigningrequests"}: (*creation).signingRequest,
})

// asSent returns the object of a CREATE without what the server generated.
func (a *Action) asSent() map[string]any {
	c := creation{object: a.New, sent: sentFields(a.New)}
	c.drop("metadata", "managedFields")
	c.object = withoutLastApplied(isSecret(a.Group, a.Resource), c.object)
	if a.Subresource != "" {
		if a.Resource == "serviceaccounts" && a.Subresource == "token" {
			c.drop("metadata", "creationTimestamp") // the registry sets it for a token
		}
		return c.object
	}
	if table := generatedV1[a.Group][a.Resource]; table != nil {
		table(&c)
	}
	// The registry sets these for every object, before all else.
	c.drop("metadata", "uid")
	c.drop("metadata", "creationTimestamp")
	c.drop("metadata", "resourceVersion")
	if a.GenerateName != "" {
		c.drop("metadata", "name")
	}
	return c.object
}

func (c *creation) drop(names ...string) {
	c.object = without(c.object, names...)
}

// dropUnsent drops a value that was not sent.
func (c *creation) dropUnsent(names ...string) {
	if !c.sent(fields(names...)) {
		c.drop(names...)
	}
}

// service drops the addresses and ports that the registry allocates.
func (c *creation) service() {
	c.dropUnsent("spec", "clusterIP")
	c.dropUnsent("spec", "clusterIPs")
	c.dropUnsent("spec", "healthCheckNodePort")
	ports, isList := at(c.object, "spec", "ports").V.([]any)
	if !isList {
		return
	}
	ports = slices.Clone(ports)
	for i := range ports {
		port, _ := ports[i].(map[string]any)
		if id, ok := identify(servicePortKeys, port); ok && !c.sent(nodePortPath(id)) {
			ports[i] = without(port, "nodePort")
		}
	}
	c.object = with(c.object, ports, "spec", "ports")
}

// changesAsSent returns the changes of an UPDATE without what the server allocated: a Service that becomes one of another
// type gets other addresses and ports at every attempt.
func (a *Action) changesAsSent() []Change {
	if a.Group != "" || a.Resource != "services" {
		return a.Changes
	}
	changes, sent := slices.Clone(a.Changes), sentFields(a.New)
	for i, c := range changes {
		port, isMap := c.To.V.(map[string]any)
		switch {
		case c.From.Present || len(c.Path) < 2 || c.Path[0].Field != "spec":
		case isAllocated(c.Path) && !sent(c.Path):
			changes[i].To.V = true
		case isServicePort(c.Path) && isMap && !sent(append(c.Path[:3:3], Segment{Field: "nodePort"})):
			changes[i].To.V = without(port, "nodePort")
		}
	}
	return changes
}

func isServicePort(path Path) bool {
	return len(path) == 3 && path[1].Field == "ports"
}

// isAllocated says whether the registry allocates a field of the spec of a Service.
func isAllocated(path Path) bool {
	switch path[1].Field {
	case "clusterIP", "clusterIPs", "healthCheckNodePort":
		return len(path) == 2
	case "ports":
		return len(path) == 4 && path[3].Field == "nodePort"
	default:
		return false
	}
}

var servicePortKeys = []string{"port", "protocol"}

func nodePortPath(id identity) Path {
	port := frame{names: servicePortKeys, id: id}.segment()
	return append(fields("spec", "ports"), port, Segment{Field: "nodePort"})
}

// job drops the selector and labels that the registry makes of the job's UID, and of its name where that is generated.
func (c *creation) job() {
	labels := []string{"spec", "template", "metadata", "labels"}
	uid := at(c.object, "metadata", "uid")
	name := at(c.object, "metadata", "name")
	c.dropCopy(uid, "spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid")
	for _, key := range []string{"controller-uid", "batch.kubernetes.io/controller-uid"} {
		c.dropCopy(uid, slices.Concat(labels, []string{key})...)
	}
	if isGenerated(textAt(c.object, "metadata", "name"), textAt(c.object, "metadata", "generateName")) {
		for _, key := range []string{"job-name", "batch.kubernetes.io/job-name"} {
			c.dropCopy(name, slices.Concat(labels, []string{key})...)
		}
	}
}

// dropCopy drops an unsent copy of another value.
func (c *creation) dropCopy(of Value, names ...string) {
	if of.Present && equalValues(of, at(c.object, names...)) {
		c.dropUnsent(names...)
	}
}

// signingRequest drops what the registry takes from the requester's credentials, which are renewed all the time. It
// ignores what was sent there.
func (c *creation) signingRequest() {
	for _, field := range []string{"username", "uid", "groups", "extra"} {
		c.drop("spec", field)
	}
}

// tokenVolumePrefix begins the names of the volumes that hold the token of a pod's service account.
const tokenVolumePrefix = "kube-api-access-"

// pod takes the letters from the name of the volume that the service account admission adds, and from its mounts.
func (c *creation) pod() {
	spec, _ := at(c.object, "spec").V.(map[string]any)
	i := slices.IndexFunc(asList(at(spec, "volumes")), func(v any) bool {
		volume, _ := v.(map[string]any)
		name := textAt(volume, "name")
		return isGenerated(name, tokenVolumePrefix) && !c.sent(append(fields("spec", "volumes"), keyed("name", name)))
	})
	if i < 0 {
		return
	}
	volumes := slices.Clone(asList(at(spec, "volumes")))
	volume, _ := volumes[i].(map[string]any)
	volumes[i] = with(volume, tokenVolumePrefix, "name")
	spec = with(spec, volumes, "volumes")
	for _, list := range []string{"containers", "initContainers"} {
		containers := slices.Clone(asList(at(spec, list)))
		for j := range containers {
			containers[j] = c.unname(list, containers[j], textAt(volume, "name"))
		}
		if containers != nil {
			spec = with(spec, containers, list)
		}
	}
	c.object = with(c.object, spec, "spec")
}

// unname returns the container with the letters taken from the name in its unsent mounts of the volume.
func (c *creation) unname(list string, v any, volume string) any {
	container, _ := v.(map[string]any)
	mounts := slices.Clone(asList(at(container, "volumeMounts")))
	changed := false
	for i := range mounts {
		mount, _ := mounts[i].(map[string]any)
		path := append(fields("spec", list), keyed("name", textAt(container, "name")), Segment{Field: "volumeMounts"},
			keyed("mountPath", textAt(mount, "mountPath")))
		if textAt(mount, "name") == volume && !c.sent(path) {
			mounts[i], changed = with(mount, tokenVolumePrefix, "name"), true
		}
	}
	if !changed {
		return v
	}
	return with(container, mounts, "volumeMounts")
}

func keyed(name, value string) Segment {
	return Segment{Keys: []Key{{Name: name, Value: value}}}
}

// sentFields returns what says whether a value, or something under it, was sent: whether managedFields hold it. Where
// they do not tell, everything was.
func sentFields(object map[string]any) func(Path) bool {
	owners, err := ownersOf(managedFields(object).V)
	if err != nil || len(owners) == 0 {
		return func(Path) bool { return true }
	}
	var trees []*sentTree
	for _, set := range owners {
		trees = append(trees, &sentTree{set: set})
	}
	return func(path Path) bool {
		return slices.ContainsFunc(trees, func(t *sentTree) bool { return t.holds(path) })
	}
}

// sentTree is a set of managedFields, by the text of its path elements. What nobody asks for is not read.
type sentTree struct {
	set owned
	// below is nil until it is read.
	below map[string]*sentTree
	// unknown says that it holds what cannot be read, or an element of a list by its value or position, which could
	// be any.
	unknown bool
}

// read reads the elements of the set, but not what is below them.
func (t *sentTree) read() {
	if t.below != nil {
		return
	}
	t.below = make(map[string]*sentTree, len(t.set))
	for element, v := range t.set {
		if element == "." {
			continue
		}
		segment, err := segmentOf(element)
		below, isSet := v.(map[string]any)
		if err != nil || !isSet || len(segment.Keys) == 1 && segment.Keys[0].Name == "" {
			t.unknown = true
			continue
		}
		t.below[Path{segment}.String()] = &sentTree{set: below}
	}
}

// holds says whether the tree holds the path, something under it, or something above it as a whole.
func (t *sentTree) holds(path Path) bool {
	for _, segment := range path {
		if t.read(); t.unknown {
			return true
		}
		next, found := t.below[Path{segment}.String()]
		if !found {
			return false
		}
		if next.read(); len(next.below) == 0 {
			return true
		}
		t = next
	}
	return true
}
