package approval

import (
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Evidence is how it can be found out what became of the attempt of a use.
type Evidence int

const (
	// NoEvidence is left by what is not stored as itself: sessions, tokens, bindings.
	NoEvidence Evidence = iota
	// ByVersions is left by an update. It lands from one version of the object, or never: those that follow tell.
	ByVersions
	// ByAppearance is left by a creation.
	ByAppearance
	// ByDisappearance is left by a deletion, whoever may have deleted the object.
	ByDisappearance
)

// EvidenceOf says how it can be found out what became of a use whose outcome is not known yet.
func EvidenceOf(use *v1alpha1.ApprovalUse) Evidence {
	if use.Object == nil || use.Object.UID == "" || use.Outcome == v1alpha1.UseStored || use.Outcome == v1alpha1.UseReturned {
		return NoEvidence
	}
	switch {
	case isKind(use.Key, kindUpdate):
		return ByVersions
	case isKind(use.Key, kindCreate):
		return ByAppearance
	case isKind(use.Key, kindDelete):
		return ByDisappearance
	default:
		return NoEvidence
	}
}

// Fate is what history proves about an attempt. The zero value is nothing: the use stays as it is.
type Fate int

const (
	// Unproven means that the attempt may still land, or that it is not known.
	Unproven Fate = iota
	// Landed means that what was approved is stored.
	Landed
	// Failed means that it was not stored, and cannot be any more.
	Failed
)

// Passed says whether an update can no longer land on an object that is stored like this: it is gone, another one, or
// at a later state than that from which the update starts. Nil is an object that is not there.
func Passed(o *v1alpha1.UsedObject, object map[string]any) bool {
	switch {
	case object == nil || text(object, "uid") != o.UID:
		return true
	case o.Generation > 0:
		return generation(object) > o.Generation
	default:
		return isLater(text(object, "resourceVersion"), o.ResourceVersion)
	}
}

// isLater says whether one resourceVersion comes after another. What cannot be compared proves nothing.
func isLater(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order > 0
}

// Later is the later of two resourceVersions, the first where they cannot be compared.
func Later(a, b string) string {
	if a == "" || isLater(b, a) {
		return b
	}
	return a
}

// FateOf says what the step from one stored version of an object to the next proves about the attempt of an update that
// had not landed before. Between takes the step apart, as if the requester had made it. A nil step is the removal of
// the object.
//
// What was approved counts as landed, too, where somebody else did it in the same step with more: then nothing comes
// back.
func FateOf(a *v1alpha1.ActionApproval, use *v1alpha1.ApprovalUse, step *action.Action, h action.Hasher) Fate {
	if step == nil {
		return Failed
	}
	for hasher := &h; hasher != nil; hasher = hasher.Previous {
		if isUseOf(use, step, hasher.Hash(step)) {
			return Landed
		}
	}
	switch {
	case a.Spec.Action != nil && includes(changes(step), a.Spec.Action.Changes):
		return Landed
	case Passed(use.Object, step.New):
		return Failed
	default:
		return Unproven
	}
}

// isUseOf says whether a use is of an update that is known by a hash.
func isUseOf(use *v1alpha1.ApprovalUse, step *action.Action, hash string) bool {
	for _, from := range [][]string{byGeneration(generation(step.Old)), byVersion(step)} {
		if use.Key == keyOf(kindUpdate, append(from, step.UID, hash)) {
			return true
		}
	}
	return false
}

// includes says whether all changes are among others. What is cut, and secret values, count as equal.
func includes(all, some []v1alpha1.FieldChange) bool {
	have := map[string]string{}
	for _, c := range all {
		have[c.Path] = c.To
	}
	for _, c := range some {
		if to, found := have[c.Path]; !found || to != c.To {
			return false
		}
	}
	return len(some) > 0
}

// Step is the request of which Between makes the step of a use from its requester.
func Step(a *v1alpha1.ActionApproval, o *v1alpha1.UsedObject) action.Request {
	namespace := a.Namespace
	if a.Spec.Action != nil {
		namespace = a.Spec.Action.Namespace
	}
	return action.Request{
		Group: o.Group, Version: o.Version, Resource: o.Resource, Subresource: o.Subresource,
		Namespace: namespace, Name: o.Name,
		Actor: action.Actor{Username: a.Spec.Requester.Username, UID: a.Spec.Requester.UID},
	}
}

// SameVersion says whether two states of an object are one and the same.
func SameVersion(a, b map[string]any) bool {
	version := text(a, "resourceVersion")
	return version != "" && version == text(b, "resourceVersion") && text(a, "uid") == text(b, "uid")
}

// Replaced says whether another object is in the place of the one that was used.
func Replaced(o *v1alpha1.UsedObject, object map[string]any) bool {
	return text(object, "uid") != o.UID
}

// Ending says whether an object is being deleted.
func Ending(object map[string]any) bool { return text(object, "deletionTimestamp") != "" }
