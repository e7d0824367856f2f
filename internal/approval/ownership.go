package approval

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// lastApplied is the annotation in which client-side apply keeps the manifest.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// nobodys are the fields that nobody owns, however they have written a verdict: else the next person's apply would
// conflict, or take away what their manifest does not hold.
var nobodys = [][]string{
	{"f:spec", "f:decision"},
	{"f:spec", "f:decisions"},
	{"f:metadata", "f:annotations", "f:" + lastApplied},
}

// forgetManifest makes an approval as if no manifest had been applied to it. An owner of nothing else goes as a whole.
func forgetManifest(a *v1alpha1.ActionApproval) {
	delete(a.Annotations, lastApplied)
	a.ManagedFields = slices.DeleteFunc(slices.Clone(a.ManagedFields), func(e metav1.ManagedFieldsEntry) bool {
		fields, found := disown(e.FieldsV1)
		return found && len(fields) == 0
	})
	for i := range a.ManagedFields {
		fields, found := disown(a.ManagedFields[i].FieldsV1)
		if !found {
			continue
		}
		if raw, err := json.Marshal(fields); err == nil {
			a.ManagedFields[i].FieldsV1 = metav1.NewFieldsV1(string(raw))
		}
	}
}

// disown is a set of fields without those that are nobody's, and whether it held any.
func disown(set *metav1.FieldsV1) (fields map[string]any, found bool) {
	if set == nil || json.Unmarshal(set.GetRawBytes(), &fields) != nil {
		return nil, false
	}
	for _, path := range nobodys {
		found = remove(fields, path) || found
	}
	return fields, found
}

// remove takes a field with all below it out of a set of fields, and what held nothing else. It says whether the set
// held the field.
func remove(fields map[string]any, path []string) bool {
	below, held := fields[path[0]]
	if !held {
		return false
	}
	if len(path) > 1 {
		within, _ := below.(map[string]any)
		if !remove(within, path[1:]) {
			return false
		}
		if len(within) > 0 {
			return true
		}
	}
	delete(fields, path[0])
	return true
}
