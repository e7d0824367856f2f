package webhooks_test

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// base is a valid policy to which a test adds one fault, or several.
const base = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: ci, name: bot}]
timeZone: Europe/Berlin
windows: [{name: nights, weekly: {days: [Mon], start: "22:00", end: "06:00"}}]
changeWindows: {allowed: [nights]}
tasks:
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop]
    fields: ["spec.template.spec.containers[*].image"]
`

// TestPolicies applies bad policies to a real API server: what the schema, its rules and the webhook say together.
func TestPolicies(t *testing.T) {
	e := newEnvironment(t)
	e.waitPoliciesValidated(t)
	tests := map[string]struct {
		replace []string // pairs for strings.NewReplacer over base
		want    []string // field paths, each with a part of its message behind a colon
	}{
		"valid":             {},
		"unknown zone":      {replace: []string{"Europe/Berlin", "Europe/Berlln"}, want: []string{"spec.timeZone: Europe/Berlln"}},
		"Local":             {replace: []string{"Europe/Berlin", "Local"}, want: []string{"spec.timeZone: Local"}},
		"no zone":           {replace: []string{"timeZone: Europe/Berlin\n", ""}, want: []string{"spec.timeZone: IANA"}},
		"impossible window": {replace: []string{`weekly: {days: [Mon], start: "22:00", end: "06:00"}`, `cron: {schedule: "0 0 31 2 *", duration: 1h}`}, want: []string{"spec.windows[0].cron.schedule: "}},
		"zone in a cron":    {replace: []string{`weekly: {days: [Mon], start: "22:00", end: "06:00"}`, `cron: {schedule: "TZ=UTC 0 9 * * 1", duration: 1h}`}, want: []string{"spec.windows[0].cron.schedule: "}},
		"too long a window": {replace: []string{`weekly: {days: [Mon], start: "22:00", end: "06:00"}`, `cron: {schedule: "0 9 * * 1", duration: 169h}`}, want: []string{"spec.windows[0].cron.duration: "}},
		"two forms":         {replace: []string{`weekly: {`, `cron: {schedule: "0 9 * * 1", duration: 1h}, weekly: {`}, want: []string{"spec.windows[0]: exactly one"}},
		"once backwards":    {replace: []string{`weekly: {days: [Mon], start: "22:00", end: "06:00"}`, `once: {from: "2027-01-02T00:00:00Z", to: "2027-01-01T00:00:00Z"}`}, want: []string{"spec.windows[0].once.to: "}},
		"bad time of day":   {replace: []string{`"06:00"`, `"24:30"`}, want: []string{"spec.windows[0].weekly.end: "}},
		"dangling window":   {replace: []string{"allowed: [nights]", "allowed: [night]"}, want: []string{"spec.changeWindows.allowed[0]: night"}},
		"dangling freeze":   {replace: []string{"changeWindows:", "freezes: [{window: never}]\nchangeWindows:"}, want: []string{"spec.freezes[0].window: never"}},
		"dangling requirement": {
			replace: []string{"{allowed: [nights]}", "{allowed: [nights], whenClosed: RequireApproval, requirements: [sre]}"},
			want:    []string{"spec.changeWindows.requirements[0]: sre"},
		},
		"requirements without an ask": {
			replace: []string{"{allowed: [nights]}", "{allowed: [nights], requirements: [sre]}"}, want: []string{"spec.changeWindows.requirements: RequireApproval"},
		},
		"duplicate task": {
			replace: []string{"tasks:\n", "tasks:\n- {name: images, scope: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}}\n"},
			want:    []string{"spec.tasks[1]: Duplicate"},
		},
		"duplicate window": {
			replace: []string{"windows: [", `windows: [{name: nights, weekly: {days: [Tue], start: "22:00", end: "06:00"}}, `}, want: []string{"spec.windows[1]: Duplicate"},
		},
		"bad field path":     {replace: []string{"containers[*].image", "containers[0].image"}, want: []string{"spec.tasks[0].scope.fields[0]: "}},
		"fields of a DELETE": {replace: []string{"[UPDATE]", "[UPDATE, DELETE]"}, want: []string{"spec.tasks[0].scope.fields: UPDATE only"}},
		"glob that cannot match": {
			replace: []string{"[shop]", "[shop-]"}, want: []string{"spec.tasks[0].scope.namespaces[0]: "},
		},
		"scale in a rule":    {replace: []string{"[deployments]", "[deployments/scale]"}, want: []string{"spec.tasks[0].scope.resourceRules[0].resources: scaling is an UPDATE"}},
		"eviction in a rule": {replace: []string{"[deployments]", "[pods/eviction]"}, want: []string{"spec.tasks[0].scope.resourceRules[0].resources: an eviction is a deletion"}},
		"binding in a rule":  {replace: []string{"[deployments]", "[bindings]"}, want: []string{"spec.tasks[0].scope.resourceRules[0].resources: pods/binding"}},
		"core controllers": {
			replace: []string{"namespace: ci, name: bot", `namespace: kube-system, name: "*"`}, want: []string{"spec.subjects[0]: the cluster's own controllers"},
		},
		"one core controller": {
			replace: []string{"namespace: ci, name: bot", "namespace: kube-system, name: deployment-controller"}, want: []string{"spec.subjects[0]: the cluster's own controllers"},
		},
		"system group":            {replace: []string{"{kind: ServiceAccount, namespace: ci, name: bot}", "{kind: Group, name: system:masters}"}, want: []string{"spec.subjects[0].name: system"}},
		"all service accounts":    {replace: []string{"{kind: ServiceAccount, namespace: ci, name: bot}", "{kind: Group, name: system:serviceaccounts}"}, want: []string{"spec.subjects[0].name: system"}},
		"system user":             {replace: []string{"{kind: ServiceAccount, namespace: ci, name: bot}", "{kind: User, name: system:kube-scheduler}"}, want: []string{"spec.subjects[0].name: system"}},
		"Countersign itself":      {replace: []string{"{kind: ServiceAccount, namespace: ci, name: bot}", "{kind: User, name: admin}"}, want: []string{"spec.subjects[0]: Countersign itself"}},
		"account without a name":  {replace: []string{"namespace: ci, name: bot", "namespace: ci"}, want: []string{"spec.subjects[0]: needs namespace and name"}},
		"namespaces and selector": {replace: []string{"namespaces: [shop]", "namespaces: [shop]\n    namespaceSelector: {}"}, want: []string{"spec.tasks[0].scope: either"}},
		"control characters": {
			replace: []string{"changeWindows:", "freezes: [{window: nights, reason: \"red \\e[31m\"}]\nchangeWindows:"}, want: []string{"spec.freezes[0].reason: "},
		},
		"guards": {
			replace: []string{"tasks:", "guards:\n- {name: a, expression: objec.spec.x == 1}\n- {name: b, expression: object.spec.x}\n" +
				"- {name: c, expression: \"true &&\\n object.spec.x <\", messageExpression: now}\n- {name: d, expression: \"true\", requirements: [nobody]}\ntasks:"},
			want: []string{
				"spec.guards[0].expression: line 1, column 1: undeclared reference to 'objec'; the variables are object,",
				"spec.guards[1].expression: must give bool, but gives dyn: compare the value",
				"spec.guards[2].expression: line 2, column 17: Syntax error",
				"spec.guards[2].messageExpression: must give string, but gives timestamp: convert it with string(...)",
				"spec.guards[3].requirements[0]: nobody",
			},
		},
		"everything at once": {
			replace: []string{"Europe/Berlin", "Mars/Olympus", "allowed: [nights]", "allowed: [night, morning]", "containers[*].image", "containers[0].image", "[shop]", "[shop-]"},
			want: []string{
				"spec.timeZone: Mars/Olympus", "spec.changeWindows.allowed[0]: night", "spec.changeWindows.allowed[1]: morning",
				"spec.tasks[0].scope.namespaces[0]: ", "spec.tasks[0].scope.fields[0]: ",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}}
			if err := yaml.Unmarshal([]byte(strings.NewReplacer(tc.replace...).Replace(base)), &p.Spec); err != nil {
				t.Fatal(err)
			}
			checkInvalid(t, e.admin.Create(t.Context(), p, client.DryRunAll), tc.want)
		})
	}
}

// checkInvalid checks that an answer names exactly these fields, each with a part of its message.
func checkInvalid(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		allowed(t, err)
		return
	}
	status, ok := err.(*apierrors.StatusError) //nolint:errorlint // client-go returns it unwrapped
	if !ok || !apierrors.IsInvalid(err) && !strings.Contains(err.Error(), "is invalid") {
		t.Fatalf("the answer is %v, want it to be invalid: %v", err, want)
	}
	causes := slices.DeleteFunc(slices.Clone(status.Status().Details.Causes), func(c metav1.StatusCause) bool {
		// What the API server adds when it could not evaluate its rules because of another error.
		return c.Field == "<nil>"
	})
	if len(causes) != len(want) {
		t.Errorf("there are %d causes, want %d: %v", len(causes), len(want), err)
	}
	for _, w := range want {
		field, text, _ := strings.Cut(w, ": ")
		if !slices.ContainsFunc(causes, func(c metav1.StatusCause) bool {
			return c.Field == field && strings.Contains(c.Message, text)
		}) {
			t.Errorf("no cause is about %s with %q: %v", field, text, err)
		}
	}
}

// TestPolicyWarnings applies policies that are valid and probably not meant.
func TestPolicyWarnings(t *testing.T) {
	e := newEnvironment(t)
	e.waitPoliciesValidated(t)
	admin := e.withWarnings(t, e.identity(t, "admin", e.plane.Kubeconfig("admin")))
	tests := map[string]struct {
		replace []string
		want    string
	}{
		"no task":       {[]string{base[strings.Index(base, "tasks:"):], ""}, "without a task everything that the policy governs is refused"},
		"unused window": {[]string{"changeWindows: {allowed: [nights]}\n", ""}, "window nights is defined but neither"},
		"past window":   {[]string{`weekly: {days: [Mon], start: "22:00", end: "06:00"}`, `once: {from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z"}`}, "lies in the past"},
		"a field that a kind does not have": {
			[]string{"tasks:", "guards: [{name: g, resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}], expression: object.spec.replica < 5}]\ntasks:"},
			"spec.guards[0].expression: of a Deployment: line 1, column 12: undefined field 'replica'",
		},
		"look-back": {[]string{"tasks:", "guards: [{name: g, expression: now == now, lookBack: 1h}]\ntasks:"}, "spec.guards[0].lookBack: has no effect"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}}
			if err := yaml.Unmarshal([]byte(strings.NewReplacer(tc.replace...).Replace(base)), &p.Spec); err != nil {
				t.Fatal(err)
			}
			admin.warnings = nil
			allowed(t, admin.Create(t.Context(), p, client.DryRunAll))
			if len(admin.warnings) != 1 || !strings.Contains(admin.warnings[0], tc.want) {
				t.Errorf("the warnings are %q, want one with %q", admin.warnings, tc.want)
			}
		})
	}
}
