package action

import "slices"

// lastAppliedKey is where kubectl apply keeps what was applied.
const lastAppliedKey = "kubectl.kubernetes.io/last-applied-configuration"

var (
	lastAppliedPath   = fields("metadata", "annotations", lastAppliedKey)
	managedFieldsPath = fields("metadata", "managedFields")
)

// governed returns the changes between old and new content without what provably is noise:
//
//   - resourceVersion, generation and creationTimestamp of the metadata are the server's.
//   - The status where the kind has a status subresource and the request is on the resource itself: the server keeps
//     the old one. Other subresources, such as approval, do write it.
//   - The old alias of a pod's service account where it repeats the name.
//   - The last-applied annotation and managedFields on conditions of their own (see lastAppliedIsNoise and
//     ownershipFollows). Otherwise each is a change at its own path.
func (a *Action) governed(withStatus bool) []Change {
	changes := diff(a.Old, a.New, func(at []frame, key string) bool {
		switch len(at) {
		case 0:
			return key == "status" && !withStatus
		case 1:
			return at[0].field == "metadata" && isServerMetadata(key)
		default:
			return false
		}
	})
	ownersBefore, ownersAfter := managedFields(a.Old), managedFields(a.New)
	ownersMoved := !equalValues(ownersBefore, ownersAfter) && !equalButTimes(ownersBefore.V, ownersAfter.V) &&
		!ownershipFollows(changes, ownersBefore.V, ownersAfter.V)

	if i, found := find(changes, lastAppliedPath); found {
		rest := slices.Concat(changes[:i], changes[i+1:])
		if lastAppliedIsNoise(isSecret(a.Group, a.Resource), changes[i], a.New, rest) {
			changes = rest
		}
	}
	if alias := a.accountAlias(); alias != nil {
		if i, found := find(changes, alias); found {
			changes = slices.Delete(changes, i, i+1)
		}
	}
	if ownersMoved {
		changes = append(changes, Change{Path: managedFieldsPath, From: ownersBefore, To: ownersAfter})
		sortChanges(changes)
	}
	return changes
}

// isServerMetadata says whether the server sets a field of the metadata at every write, whatever the request holds.
// managedFields is looked at apart.
func isServerMetadata(key string) bool {
	switch key {
	case "resourceVersion", "generation", "creationTimestamp", "managedFields":
		return true
	default:
		return false
	}
}

func managedFields(object map[string]any) Value {
	metadata, _ := object["metadata"].(map[string]any)
	v, present := metadata["managedFields"]
	return Value{Present: present, V: v}
}

func equalValues(a, b Value) bool {
	return a.Present == b.Present && equal(a.V, b.V)
}

// inside says whether the path is one of the changes or lies under one. The changes are sorted, and none is under
// another one, so that what leads to the path is directly before it.
func inside(changes []Change, path Path) bool {
	i, found := find(changes, path)
	return found || i > 0 && path.hasPrefix(changes[i-1].Path)
}

// touches says whether the path is one of the changes, lies under one, or leads to one.
func touches(changes []Change, path Path) bool {
	i, found := find(changes, path)
	return found || i > 0 && path.hasPrefix(changes[i-1].Path) || i < len(changes) && changes[i].Path.hasPrefix(path)
}

func find(changes []Change, path Path) (int, bool) {
	return slices.BinarySearchFunc(changes, path, func(c Change, p Path) int { return c.Path.compare(p) })
}
