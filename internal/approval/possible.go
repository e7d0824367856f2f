package approval

import (
	"encoding/json"
	"maps"
	"reflect"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Possible says whether a review can show an object as it was stored, by what is stored after the review was sent: the
// same object, at this version or an earlier one, and with the same content where it is the same version. A review that
// is not from the API server shows something else, unless its sender has read the object. Nil is stored where nothing is.
func Possible(a *action.Action, stored map[string]any) bool {
	reviewed := a.Old
	switch {
	case a.Operation != v1alpha1.OperationUpdate && a.Operation != v1alpha1.OperationDelete || a.Target != nil:
		return true // nothing is shown, or what is was read from the API server
	case stored == nil || text(stored, "uid") == "" || text(stored, "uid") != text(reviewed, "uid"):
		return false
	case SameVersion(reviewed, stored):
		return SameContent(reviewed, stored)
	default:
		return isLater(text(stored, "resourceVersion"), text(reviewed, "resourceVersion")) && generation(reviewed) <= generation(stored)
	}
}

// SameContent says whether two copies of an object hold the same. Who owns which field does not count, nor how numbers are
// held in memory.
func SameContent(a, b map[string]any) bool {
	a, errA := plain(a)
	b, errB := plain(b)
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

// plain is an object as it is decoded from a review, without what differs between copies.
func plain(object map[string]any) (map[string]any, error) {
	object = maps.Clone(object)
	delete(object, "apiVersion")
	delete(object, "kind")
	if m := maps.Clone(metadata(object)); m != nil {
		delete(m, "managedFields")
		object["metadata"] = m
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return action.DecodeObject(raw)
}
