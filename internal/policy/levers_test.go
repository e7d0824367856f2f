package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// creationOf is that of an object in the namespace shop; of a token, it is the agent's own.
func creationOf(group, resource string) *action.Action {
	a := update()
	a.Operation, a.Old, a.Group = v1alpha1.OperationCreate, nil, group
	if resource == "serviceaccounts/token" {
		a.Namespace, a.Name, a.UID, a.Actor.UID = "ci", "deploy-bot", "bot", "bot"
	}
	a.Resource, a.Subresource, _ = strings.Cut(resource, "/")
	return a
}

func taskFor(group string, resources ...string) string {
	return subjects + fmt.Sprintf(`
tasks:
- name: t
  scope: {resourceRules: [{apiGroups: [%q], resources: ["%s"], operations: ["*"]}]}
`, group, strings.Join(resources, `", "`))
}

func TestLevers(t *testing.T) {
	kinds := map[groupResource]bool{
		{"apps", "deployments/status"}: true, {"example.com", "widgets/status"}: true, {"keda.sh", "scaledobjects"}: true,
		{"", "configmaps"}: false, {"", "services"}: false, {"apps", "deployments"}: false, {"example.com", "widgets"}: false,
		{"argoproj.io", "rollouts"}: false, {"", "serviceaccounts"}: false,
	}
	for kind := range levers {
		kind.resource = strings.ReplaceAll(kind.resource, "*", "any")
		kinds[kind] = true
	}
	for kind, lever := range kinds {
		t.Run(kind.group+"/"+kind.resource, func(t *testing.T) {
			want := Allow
			if lever {
				want = Deny
			}
			base := baseResource(kind.resource)
			for task, want := range map[string]Outcome{
				taskFor("*", "*/*"): want, taskFor(kind.group, "*", "*/status", "*/token"): want,
				taskFor("*", kind.resource): Allow, taskFor(kind.group, base+"/*"): Allow, taskFor("*", "*/*", base, base+"/*"): Allow,
			} {
				d := setOf(t, map[string]string{"p": task}).Decide(Input{Action: creationOf(kind.group, kind.resource), Now: berlinNoon})
				if d.Outcome != want {
					t.Errorf("outcome is %s, want %s under%s%v", d.Outcome, want, task, d.Obstacles)
				}
			}
		})
	}
}

func TestLeverNamed(t *testing.T) {
	d := setOf(t, map[string]string{"p": taskFor("*", "*")}).Decide(Input{Action: creationOf("batch", "cronjobs"), Now: berlinNoon})
	want := "cronjobs is outside task t, which covers what acts on other objects only where a rule names it, not by *"
	if len(d.Obstacles) != 1 || d.Obstacles[0].Detail != want || d.Obstacles[0].Reason != ActionOutOfScope || !d.Remedy.IsZero() {
		t.Errorf("got %+v and %+v, want %s", d.Obstacles, d.Remedy, want)
	}
}

// TestScaled names an autoscaler, which then needs its targets covered.
func TestScaled(t *testing.T) {
	rules := func(operation, more string) string {
		return subjects + `
tasks:
- name: t
  scope:
    resourceRules:
    - {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], operations: [` + operation + `]}
    - {apiGroups: [apps], resources: [deployments], operations: [UPDATE]}
` + more
	}
	const byLabel = "    objectSelector: {matchLabels: {app: web}}\n"
	web := Workload{Group: "apps", Resource: "deployments", Kind: "Deployment", Name: "web", Labels: map[string]string{"app": "web"}}
	db := Workload{Group: "apps", Resource: "statefulsets", Kind: "StatefulSet", Name: "db"}
	tests := map[string]struct {
		spec   string
		fields []action.Path
		scaled []Workload
		want   []string
	}{
		"covered":                   {spec: rules("CREATE", ""), scaled: []Workload{web}},
		"of another kind":           {spec: rules("CREATE", ""), scaled: []Workload{db}, want: []string{"ObjectOutOfScope"}},
		"of an unknown kind":        {spec: strings.Replace(rules("CREATE", ""), "[deployments]", `["*"]`, 1), scaled: []Workload{{Group: "apps", Kind: "X", Name: "web"}}, want: []string{"ObjectOutOfScope"}},
		"before or after":           {spec: rules("CREATE", ""), scaled: []Workload{web, db}, want: []string{"ObjectOutOfScope"}},
		"by labels":                 {spec: rules("CREATE", byLabel), scaled: []Workload{web}},
		"without the labels":        {spec: rules("CREATE", byLabel), scaled: []Workload{{Group: "apps", Resource: "deployments", Name: "web", Labels: map[string]string{}}}, want: []string{"ObjectOutOfScope"}},
		"that is not there":         {spec: rules("CREATE", "    objectSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}\n"), scaled: []Workload{{Group: "apps", Resource: "deployments", Name: "web"}}, want: []string{"ObjectOutOfScope"}},
		"fields without replicas":   {spec: rules("UPDATE", "    fields: [spec.maxReplicas]\n"), fields: []action.Path{pathOf("spec", "maxReplicas")}, scaled: []Workload{web}, want: []string{"FieldOutOfScope"}},
		"fields with replicas":      {spec: rules("UPDATE", "    fields: [spec.maxReplicas, spec.replicas]\n"), fields: []action.Path{pathOf("spec", "maxReplicas")}, scaled: []Workload{web}},
		"fields of the scaled only": {spec: rules("UPDATE", "    fields: [spec.replicas]\n"), fields: []action.Path{pathOf("spec", "maxReplicas")}, scaled: []Workload{web}, want: []string{"FieldOutOfScope"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := creationOf("autoscaling", "horizontalpodautoscalers")
			if tc.fields != nil {
				a = with(update(tc.fields...), func(a *action.Action) { a.Group, a.Resource = "autoscaling", "horizontalpodautoscalers" })
			}
			d := setOf(t, map[string]string{"p": tc.spec}).Decide(Input{Action: a, Now: berlinNoon, Scaled: tc.scaled})
			if diff := cmp.Diff(tc.want, d.Reasons()); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s\n%v", diff, d.Obstacles)
			}
		})
	}
}

// TestTemplates is about pods of custom resources, of which the task says where their templates stand.
func TestTemplates(t *testing.T) {
	as := func(accounts ...string) map[string]any {
		var workers []any
		for _, account := range accounts {
			workers = append(workers, map[string]any{"template": map[string]any{"spec": map[string]any{"serviceAccountName": account}}})
		}
		return map[string]any{"spec": map[string]any{"workers": workers}}
	}
	const list, field = "    serviceAccounts: [a, b]\n", "    fields: [spec.workers, \"spec.workers[*].template.spec.serviceAccountName\"]\n"
	tests := map[string]struct {
		more     string
		old, new map[string]any
		group    string
		want     []string
	}{
		"a new one as default":             {new: as("default")},
		"a new one as another":             {new: as("default", "a"), want: []string{"ServiceAccountOutOfScope"}},
		"a new one as one of the list":     {more: list, new: as("a", "b")},
		"a new one without templates":      {new: as(), want: []string{"ServiceAccountOutOfScope"}},
		"a kind of Kubernetes without any": {new: as(), group: "networking.k8s.io"},
		"unchanged":                        {old: as("a"), new: as("a")},
		"unchanged and not in the list":    {more: "    serviceAccounts: [b]\n", old: as("a"), new: as("a"), want: []string{"ServiceAccountOutOfScope"}},
		"changed":                          {old: as("a"), new: as("b"), want: []string{"ServiceAccountOutOfScope"}},
		"exchanged":                        {old: as("a", "b"), new: as("b", "a"), want: []string{"FieldOutOfScope"}},
		"changed within the list":          {more: list, old: as("a"), new: as("b"), want: []string{"FieldOutOfScope"}},
		"changed, and the field named":     {more: field, old: as("a"), new: as("b"), want: []string{"ServiceAccountOutOfScope"}},
		"changed, and both named":          {more: list + field, old: as("a"), new: as("b")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := strings.Replace(taskFor("*", "widgets"), `operations: ["*"]}]}`, "operations: [OPERATION]}]\n", 1)
			spec = strings.Replace(spec, "scope: {", "scope:\n    ", 1) + "    podTemplatePaths: [\"spec.workers[*].template\"]\n" + tc.more
			a := with(update(pathOf("spec", "workers")), func(a *action.Action) { a.Group, a.Resource, a.Old, a.New = "example.com", "widgets", tc.old, tc.new })
			if tc.old == nil {
				a.Operation, a.Changes = v1alpha1.OperationCreate, nil
			}
			if tc.group != "" {
				a.Group = tc.group
			}
			spec = strings.Replace(spec, "OPERATION", string(a.Operation), 1)
			d := setOf(t, map[string]string{"p": spec}).Decide(Input{Action: a, Now: berlinNoon})
			if diff := cmp.Diff(tc.want, d.Reasons()); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s\n%v", diff, d.Obstacles)
			}
		})
	}
}

func TestTemplatePaths(t *testing.T) {
	spec := strings.Replace(taskFor("*", "widgets"), "scope: {", `scope: {podTemplatePaths: ["spec.a", "spec.b[*]", "spec.c[name=x]", "spec.d[0]"], `, 1)
	p := Compile(policyOf(t, "p", spec), Identity{})
	var got []string
	for _, err := range p.Errors {
		got = append(got, err.Field)
	}
	if d := cmp.Diff([]string{"spec.tasks[0].scope.podTemplatePaths[2]", "spec.tasks[0].scope.podTemplatePaths[3]"}, got); d != "" {
		t.Error(d)
	}
}
