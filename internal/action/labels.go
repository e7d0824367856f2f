package action

import "github.com/countersign-dev/countersign/api/v1alpha1"

// OldLabels are the labels of the object as it was, and whether there was one: of Old, or where the request carries no
// object of the target's kind, of Target.
func (a *Action) OldLabels() (labels map[string]string, exists bool) {
	old, _ := a.states()
	return labelsOf(old), old != nil
}

// NewLabels are the labels of the object as it will be, and whether there will be one.
func (a *Action) NewLabels() (labels map[string]string, exists bool) {
	_, current := a.states()
	return labelsOf(current), current != nil
}

// SelectedBy says whether a selector chooses the action: it must match the labels of the object as it was where there
// was one, and as it will be where there will be one. Where nothing is known about either it does not match.
func (a *Action) SelectedBy(match func(labels map[string]string) bool) bool {
	before, was := a.OldLabels()
	after, will := a.NewLabels()
	return (was || will) && (!was || match(before)) && (!will || match(after))
}

// states are the object acted upon before and after, nil where there is none or it is not known: the content of a
// CONNECT and of some subresources is no object of the kind, and then the live target is what there was.
func (a *Action) states() (before, after map[string]any) {
	if a.Target != nil && a.Operation != v1alpha1.OperationUpdate {
		return a.Target, nil
	}
	if a.Operation == v1alpha1.OperationConnect {
		return nil, nil
	}
	return a.ofKind(a.Old), a.ofKind(a.New)
}

// ofKind returns the content where it is an object of the action's kind, as far as both are known.
func (a *Action) ofKind(content map[string]any) map[string]any {
	kind := textAt(content, "kind")
	if a.Kind != "" && kind != "" && kind != a.Kind {
		return nil
	}
	return content
}

func labelsOf(object map[string]any) map[string]string {
	content, _ := at(object, "metadata", "labels").V.(map[string]any)
	labels := make(map[string]string, len(content))
	for key, v := range content {
		if text, ok := v.(string); ok {
			labels[key] = text
		}
	}
	return labels
}
