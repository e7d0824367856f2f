package action

import (
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Fields of kinds that act on other objects or put off what a change does, beside those of every kind and those of pod
// specs: see Grants.
var handles = byGroup(map[[2]string][]string{
	{"", "services"}:         {"spec", "selector"},
	{"apps", "daemonsets"}:   {"spec", "updateStrategy", "type"},
	{"apps", "deployments"}:  {"spec", "paused"},
	{"apps", "statefulsets"}: {"spec", "updateStrategy", "type"},
	{"batch", "cronjobs"}:    {"spec", "suspend"},
	{"batch", "jobs"}:        {"spec", "suspend"},
})

// ScaleTarget names a workload whose number of replicas an action has a controller change. It is in the namespace of
// the action.
type ScaleTarget struct {
	APIVersion, Kind, Name string
}

// ScaleTargets are the workloads that a HorizontalPodAutoscaler which is created, or whose spec is updated, scaled before
// and will scale. Other actions have none.
func (a *Action) ScaleTargets() []ScaleTarget {
	if a.Group != "autoscaling" || a.Resource != "horizontalpodautoscalers" || a.Subresource != "" || !a.writes() {
		return nil
	}
	if a.Operation == v1alpha1.OperationUpdate && !slices.ContainsFunc(a.Changes, func(c Change) bool {
		return len(c.Path) == 0 || c.Path[0].Field == "spec"
	}) {
		return nil
	}
	var targets []ScaleTarget
	for _, object := range []map[string]any{a.Old, a.New} {
		target := ScaleTarget{
			APIVersion: textAt(object, "spec", "scaleTargetRef", "apiVersion"),
			Kind:       textAt(object, "spec", "scaleTargetRef", "kind"),
			Name:       textAt(object, "spec", "scaleTargetRef", "name"),
		}
		if object != nil && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets
}
