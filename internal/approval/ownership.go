package approval

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// disown takes spec.decision, with all below it, out of managedFields. An owner of nothing else goes as a whole.
func disown(a *v1alpha1.ActionApproval) {
	a.ManagedFields = slices.DeleteFunc(slices.Clone(a.ManagedFields), func(e metav1.ManagedFieldsEntry) bool {
		fields, found := withoutDecision(e.FieldsV1)
		return found && len(fields) == 0
	})
	for i := range a.ManagedFields {
		fields, found := withoutDecision(a.ManagedFields[i].FieldsV1)
		if !found {
			continue
		}
		if raw, err := json.Marshal(fields); err == nil {
			a.ManagedFields[i].FieldsV1 = metav1.NewFieldsV1(string(raw))
		}
	}
}

// withoutDecision is a set of fields without spec.decision, and whether it held it.
func withoutDecision(set *metav1.FieldsV1) (fields map[string]json.RawMessage, found bool) {
	if set == nil {
		return nil, false
	}
	var spec map[string]json.RawMessage
	if json.Unmarshal(set.GetRawBytes(), &fields) != nil || json.Unmarshal(fields["f:spec"], &spec) != nil {
		return nil, false
	}
	if _, found = spec["f:decision"]; !found {
		return fields, false
	}
	delete(spec, "f:decision")
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, false
	}
	fields["f:spec"] = raw
	if len(spec) == 0 {
		delete(fields, "f:spec")
	}
	return fields, true
}
