package policy

import (
	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// levers are namespaced kinds that act on objects other than themselves, at other times or with other rights: whoever
// grants "everything" seldom means them. A resource "*" stands for every resource of the group, and one with a
// subresource for that alone.
var levers = map[groupResource]bool{
	// How many pods there are, and when.
	{"autoscaling", "horizontalpodautoscalers"}: true,
	{"policy", "poddisruptionbudgets"}:          true,
	{"batch", "cronjobs"}:                       true,
	{"", "resourcequotas"}:                      true,
	{"", "limitranges"}:                         true,
	// Where traffic goes.
	{"", "endpoints"}:                        true,
	{"discovery.k8s.io", "endpointslices"}:   true,
	{"networking.k8s.io", "ingresses"}:       true,
	{"networking.k8s.io", "networkpolicies"}: true,
	{"gateway.networking.k8s.io", "*"}:       true,
	// Who may do what.
	{"rbac.authorization.k8s.io", "*"}: true,
	{"", "serviceaccounts/token"}:      true,
	// Controllers of others that scale or deploy.
	{"autoscaling.k8s.io", "*"}:          true,
	{"keda.sh", "*"}:                     true,
	{"argoproj.io", "applications"}:      true,
	{"argoproj.io", "applicationsets"}:   true,
	{"argoproj.io", "cronworkflows"}:     true,
	{"helm.toolkit.fluxcd.io", "*"}:      true,
	{"kustomize.toolkit.fluxcd.io", "*"}: true,
	{"source.toolkit.fluxcd.io", "*"}:    true,
}

// leversOf are the levers of each group: most groups have none.
var leversOf = func() map[string]map[string]bool {
	groups := map[string]map[string]bool{}
	for kind := range levers {
		if groups[kind.group] == nil {
			groups[kind.group] = map[string]bool{}
		}
		groups[kind.group][kind.resource] = true
	}
	return groups
}()

// isLever says whether a namespaced action is covered only by rules that name its resource. A status is what controllers
// go by, of whichever kind.
func isLever(a *action.Action) bool {
	named := leversOf[a.Group]
	return a.Subresource == "status" || named[a.Resource] || named["*"] || a.Subresource != "" && named[resourceOf(a)]
}

// resourceOf is the resource as rules name it.
func resourceOf(a *action.Action) string {
	if a.Subresource == "" {
		return a.Resource
	}
	return a.Resource + "/" + a.Subresource
}

// Workload is one whose number of replicas an action has a controller change.
type Workload struct {
	Group, Resource, Kind, Name string // Resource is empty where the kind is not known
	// Labels of the live object; nil where there is none, or where they are not known.
	Labels map[string]string
}

var replicas = action.Path{{Field: "spec"}, {Field: "replicas"}}

// coversScaled tests what the targets of an autoscaler are: to write one is to scale them, for which the same task must
// be good.
func (s *scope) coversScaled(q *question) *miss {
	for i := range q.Scaled {
		w := &q.Scaled[i]
		scaling := &action.Action{
			Operation: v1alpha1.OperationUpdate, Group: w.Group, Resource: w.Resource, Kind: w.Kind,
			Namespaced: true, Namespace: q.Action.Namespace, Name: w.Name,
		}
		m := &miss{rank: rankObject, reason: ObjectOutOfScope, subject: "to scale " + thing(scaling) + " is"}
		switch {
		case w.Resource == "":
			m.allowed = "only kinds that the API server lists"
		case !anyRuleMatches(s.rules, scaling):
			m.allowed = "an autoscaler only with UPDATE of its target"
		case s.objects != nil && (w.Labels == nil || !matchesLabels(s.objects, w.Labels)):
			m.allowed = s.objects.String()
		case len(s.fields) > 0 && !s.fieldCovers(replicas):
			m.rank, m.reason, m.fields, m.allowed = rankField, FieldOutOfScope, []string{replicas.String()}, s.describeFields()
		default:
			continue
		}
		return m
	}
	return nil
}
