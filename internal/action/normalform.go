package action

import "github.com/countersign-dev/countersign/api/v1alpha1"

// NormalForm is what requests with an operation on a resource are in normal form, whatever they hold: an eviction is a
// DELETE of pods, a scale an UPDATE of the workload, a binding a CREATE of pods/binding.
func NormalForm(operation v1alpha1.Operation, group, resource, subresource string) (v1alpha1.Operation, string, string) {
	r := Request{Operation: operation, Group: group, Resource: resource, Subresource: subresource}
	switch r.form() {
	case formScale:
		return operation, resource, ""
	case formEviction:
		return v1alpha1.OperationDelete, resource, ""
	case formBinding:
		return operation, "pods", "binding"
	case formToken, formConnect, formPlain:
		return operation, resource, subresource
	default: // Normalise refuses it
		return operation, resource, subresource
	}
}
