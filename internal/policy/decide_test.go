package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// berlinNoon is Monday 2026-11-23 at noon in Berlin: outside of the windows called nights, inside of those called days.
var berlinNoon = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

func policyOf(t testing.TB, name, spec string) *v1alpha1.AgentActionPolicy {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{}
	p.Name, p.UID, p.Generation = name, "uid", 1
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("reading policy %s: %v", name, err)
	}
	return p
}

func setOf(t testing.TB, specs map[string]string) *Set {
	t.Helper()
	var policies []*Policy
	for name, spec := range specs {
		policies = append(policies, Compile(policyOf(t, name, spec), Identity{Username: "operator"}))
	}
	return NewSet(policies, Operator{Namespace: "countersign-system", OwnerClusterRole: "anchor"})
}

const deployBot = "system:serviceaccount:ci:deploy-bot"

func pathOf(names ...string) action.Path {
	var path action.Path
	for _, n := range names {
		if list, name, ok := strings.Cut(n, "="); ok {
			path = append(path, action.Segment{Field: list}, action.Segment{Keys: []action.Key{{Name: "name", Value: name}}})
			continue
		}
		path = append(path, action.Segment{Field: n})
	}
	return path
}

var (
	imagePath    = pathOf("spec", "template", "spec", "containers=web", "image")
	replicasPath = pathOf("spec", "replicas")
)

// update is an update of Deployment shop/web by the deploy bot that changes the given fields.
func update(paths ...action.Path) *action.Action {
	a := &action.Action{
		Actor:     action.Actor{Username: deployBot, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ci"}},
		Operation: v1alpha1.OperationUpdate, Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment",
		Namespaced: true, Namespace: "shop", Name: "web",
		Old: object("app", "web"), New: object("app", "web"),
	}
	for _, p := range paths {
		a.Changes = append(a.Changes, action.Change{Path: p})
	}
	return a
}

func object(label, value string) map[string]any {
	return map[string]any{"metadata": map[string]any{"labels": map[string]any{label: value}}}
}

// requestOfRun makes an action the creation of an approval.
func requestOfRun(a *action.Action) {
	a.Operation, a.Group, a.Resource, a.Kind = v1alpha1.OperationCreate, "countersign.dev", "actionapprovals", "ActionApproval"
	a.Old, a.New = nil, map[string]any{"spec": map[string]any{"task": map[string]any{"policy": "p", "name": "roll-images"}}}
}

func with(a *action.Action, change func(*action.Action)) *action.Action {
	change(a)
	return a
}

const (
	subjects = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: ci, name: deploy-bot}]
`
	windows = `
timeZone: Europe/Berlin
windows:
- {name: nights, weekly: {days: [Mon, Tue, Wed, Thu], start: "22:00", end: "06:00"}}
- {name: days, weekly: {days: [Mon, Tue, Wed, Thu, Fri], start: "09:00", end: "17:00"}}
- {name: year-end, once: {from: "2026-11-20T00:00:00Z", to: "2026-12-01T00:00:00Z"}}
`
	rollImages = `
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop]
    fields: ["spec.template.spec.containers[*].image"]
`
)

func TestDecide(t *testing.T) {
	tests := map[string]struct {
		policies map[string]string
		action   *action.Action
		labels   map[string]string

		wantOutcome Outcome
		wantReasons []string
		wantTask    string
		wantNarrow  bool
		wantWait    string
	}{
		"nobody governs the actor": {
			policies:    map[string]string{"p": subjects + rollImages},
			action:      with(update(replicasPath), func(a *action.Action) { a.Actor = action.Actor{Username: "alice"} }),
			wantOutcome: Allow,
		},
		"a task covers the whole change": {
			policies: map[string]string{"p": subjects + rollImages}, action: update(imagePath),
			wantOutcome: Allow, wantTask: "roll-images",
		},
		"a field outside the task": {
			policies: map[string]string{"p": subjects + rollImages}, action: update(imagePath, replicasPath),
			wantOutcome: Deny, wantReasons: []string{"FieldOutOfScope"}, wantNarrow: true,
		},
		"only fields outside the task cannot be narrowed": {
			policies: map[string]string{"p": subjects + rollImages}, action: update(replicasPath),
			wantOutcome: Deny, wantReasons: []string{"FieldOutOfScope"},
		},
		"fields of several tasks do not add up": {
			policies: map[string]string{"p": subjects + rollImages, "q": subjects + strings.NewReplacer(
				"roll-images", "scale", "spec.template.spec.containers[*].image", "spec.replicas").Replace(rollImages)},
			action:      update(imagePath, replicasPath),
			wantOutcome: Deny, wantReasons: []string{"FieldOutOfScope"}, wantNarrow: true,
		},
		"grants of several policies add up": {
			policies: map[string]string{"p": subjects + rollImages, "q": subjects + strings.NewReplacer(
				"roll-images", "scale", "spec.template.spec.containers[*].image", "spec.replicas").Replace(rollImages)},
			action:      update(replicasPath),
			wantOutcome: Allow, wantTask: "scale",
		},
		"another namespace": {
			policies:    map[string]string{"p": subjects + rollImages},
			action:      with(update(imagePath), func(a *action.Action) { a.Namespace = "other" }),
			wantOutcome: Deny, wantReasons: []string{"NamespaceOutOfScope"},
		},
		"another operation": {
			policies:    map[string]string{"p": subjects + rollImages},
			action:      with(update(), func(a *action.Action) { a.Operation = v1alpha1.OperationDelete; a.New = nil }),
			wantOutcome: Deny, wantReasons: []string{"ActionOutOfScope"},
		},
		"an update that changes nothing": {
			policies: map[string]string{"p": subjects + windows + "changeWindows: {allowed: [nights]}\n"}, action: update(),
			wantOutcome: Allow,
		},
		"the window is closed": {
			policies:    map[string]string{"p": subjects + windows + "changeWindows: {allowed: [nights]}" + rollImages},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"ChangeWindowClosed"}, wantTask: "roll-images", wantWait: "2026-11-23T22:00:00+01:00",
		},
		"the window is open": {
			policies: map[string]string{"p": subjects + windows + "changeWindows: {allowed: [nights, days]}" + rollImages},
			action:   update(imagePath), wantOutcome: Allow, wantTask: "roll-images",
		},
		"a freeze wins over an open window": {
			policies:    map[string]string{"p": subjects + windows + "changeWindows: {allowed: [days]}\nfreezes: [{window: year-end, reason: Year-end}]" + rollImages},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"FreezeActive"}, wantTask: "roll-images", wantWait: "2026-12-01T09:00:00+01:00",
		},
		"all restrictions hold and all obstacles are listed": {
			policies: map[string]string{
				"p": subjects + windows + "changeWindows: {allowed: [nights]}" + rollImages,
				"q": subjects + windows + "outOfScope: Allow\nfreezes: [{window: year-end}]\n",
			},
			action:      update(imagePath, replicasPath),
			wantOutcome: Deny, wantReasons: []string{"ChangeWindowClosed", "FieldOutOfScope", "FreezeActive"},
			wantNarrow: true, wantWait: "2026-12-01T01:00:00+01:00",
		},
		"restrictions only": {
			policies: map[string]string{"p": subjects + windows + "outOfScope: Allow\nchangeWindows: {allowed: [days]}\n"},
			action:   update(replicasPath), wantOutcome: Allow,
		},
		"the strictest outOfScope holds": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n", "q": subjects + "outOfScope: RequireApproval\n"},
			action:   update(replicasPath), wantOutcome: Ask, wantReasons: []string{"ActionOutOfScope"},
		},
		"a window that asks": {
			policies:    map[string]string{"p": subjects + windows + "changeWindows: {allowed: [nights], whenClosed: RequireApproval}" + rollImages},
			action:      update(imagePath),
			wantOutcome: Ask, wantReasons: []string{"ChangeWindowClosed"}, wantTask: "roll-images", wantWait: "2026-11-23T22:00:00+01:00",
		},
		"a refusal is not softened by an ask": {
			policies: map[string]string{
				"p": subjects + windows + "changeWindows: {allowed: [nights], whenClosed: RequireApproval}" + rollImages,
				"q": subjects + windows + "outOfScope: Allow\nfreezes: [{window: year-end}]\n",
			},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"ChangeWindowClosed", "FreezeActive"}, wantTask: "roll-images",
			wantWait: "2026-12-01T01:00:00+01:00", // the freeze ends within Monday's night
		},
		"a task that always asks": {
			policies:    map[string]string{"p": subjects + rollImages + "  approval: {when: Always}\n"},
			action:      update(imagePath),
			wantOutcome: Ask, wantReasons: []string{"ApprovalRequired"}, wantTask: "roll-images",
		},
		"the covering task with the fewest obstacles is chosen": {
			policies: map[string]string{
				"p": subjects + windows + rollImages + "  changeWindows: {allowed: [nights]}\n",
				"q": subjects + strings.Replace(rollImages, "roll-images", "roll-any-time", 1),
			},
			action: update(imagePath), wantOutcome: Allow, wantTask: "roll-any-time",
		},
		"outOfScope never softens a task's own window": {
			policies:    map[string]string{"p": subjects + windows + "outOfScope: Allow" + rollImages + "  changeWindows: {allowed: [nights]}\n"},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"ChangeWindowClosed"}, wantTask: "roll-images", wantWait: "2026-11-23T22:00:00+01:00",
		},
		"narrowing counts the task's own window": {
			policies:    map[string]string{"p": subjects + windows + rollImages + "  changeWindows: {allowed: [nights]}\n"},
			action:      update(imagePath, replicasPath),
			wantOutcome: Deny, wantReasons: []string{"FieldOutOfScope"}, wantNarrow: true, wantWait: "2026-11-23T22:00:00+01:00",
		},
		"an action the policy is not about": {
			policies: map[string]string{"p": subjects + `
governs: {resourceRules: [{apiGroups: [apps], resources: [statefulsets], operations: ["*"]}]}
`},
			action: update(replicasPath), wantOutcome: Allow,
		},
		"an excluded action": {
			policies: map[string]string{"p": subjects + `
governs: {excludeResourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]}
`},
			action: update(replicasPath), wantOutcome: Allow,
		},
		"a namespace that is not selected": {
			policies: map[string]string{"p": subjects + "governs: {namespaceSelector: {matchLabels: {tier: prod}}}\n"},
			action:   update(replicasPath), labels: map[string]string{"tier": "dev"}, wantOutcome: Allow,
		},
		"a namespace whose labels are not known is selected": {
			policies: map[string]string{"p": subjects + "governs: {namespaceSelector: {matchLabels: {tier: prod}}}\n"},
			action:   update(replicasPath), wantOutcome: Deny, wantReasons: []string{"ActionOutOfScope"},
		},
		"a policy that cannot judge refuses": {
			policies:    map[string]string{"p": subjects + "timeZone: Mars/Olympus\nwindows: [{name: w, weekly: {days: [Mon], start: \"00:00\", end: \"01:00\"}}]" + rollImages},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"PolicyInvalid"}, wantTask: "roll-images",
		},
		"a broken policy breaks only its own subjects": {
			policies: map[string]string{
				"p": subjects + rollImages,
				"q": "enforcement: Enforce\nsubjects: [{kind: User, name: other}]\ntimeZone: Mars\nwindows: [{name: w, weekly: {days: [Mon], start: \"00:00\", end: \"01:00\"}}]\n",
			},
			action: update(imagePath), wantOutcome: Allow, wantTask: "roll-images",
		},
		"everybody who is governed": {
			policies: map[string]string{
				"p": subjects + rollImages,
				"q": "enforcement: Enforce\noutOfScope: Allow\nsubjects: [{kind: Governed}]" + windows + "freezes: [{window: year-end}]\n",
			},
			action:      update(imagePath),
			wantOutcome: Deny, wantReasons: []string{"FreezeActive"}, wantTask: "roll-images", wantWait: "2026-12-01T01:00:00+01:00",
		},
		"Governed alone governs nobody": {
			policies: map[string]string{"q": "enforcement: Enforce\nsubjects: [{kind: Governed}]\n"},
			action:   update(imagePath), wantOutcome: Allow,
		},
		"every account of a namespace": {
			policies: map[string]string{"p": "enforcement: Enforce\nsubjects: [{kind: ServiceAccount, namespace: ci, name: \"*\"}]\n"},
			action:   update(imagePath), wantOutcome: Deny, wantReasons: []string{"ActionOutOfScope"},
		},
		"an impersonated account without its groups": {
			policies:    map[string]string{"p": "enforcement: Enforce\nsubjects: [{kind: Group, name: \"system:serviceaccounts:ci\"}]\n"},
			action:      with(update(imagePath), func(a *action.Action) { a.Actor.Groups = nil }),
			wantOutcome: Deny, wantReasons: []string{"ActionOutOfScope"},
		},
		"Countersign's own objects are reserved": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n"},
			action: with(update(replicasPath), func(a *action.Action) {
				a.Group, a.Resource, a.Namespaced = "countersign.dev", "agentactionpolicies", false
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"the owner of the webhook configurations is reserved": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n"},
			action: with(update(), func(a *action.Action) {
				a.Operation, a.Group, a.Resource, a.Kind = v1alpha1.OperationDelete, "rbac.authorization.k8s.io", "clusterroles", "ClusterRole"
				a.Namespaced, a.Namespace, a.Name, a.New = false, "", "anchor", nil
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"the rights of the release are reserved by their old labels": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n"},
			action: with(update(pathOf("metadata", "labels")), func(a *action.Action) {
				a.Group, a.Resource, a.Kind, a.Namespaced, a.Namespace = "rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", false, ""
				a.Old, a.New = object("app.kubernetes.io/name", "countersign"), object("a", "b")
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"asking for a run of a task is never governed": {
			policies:    map[string]string{"p": subjects},
			action:      with(update(), requestOfRun),
			wantOutcome: Allow,
		},
		"asking for it with a verdict is reserved": {
			policies: map[string]string{"p": subjects},
			action: with(update(), func(a *action.Action) {
				requestOfRun(a)
				a.New["spec"].(map[string]any)["decisions"] = []any{map[string]any{"verdict": "Approve"}}
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"creating a request for an action is reserved": {
			policies: map[string]string{"p": subjects},
			action: with(update(), func(a *action.Action) {
				requestOfRun(a)
				a.New["spec"].(map[string]any)["action"] = map[string]any{}
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"asking for one in Countersign's own namespace is reserved": {
			policies: map[string]string{"p": subjects},
			action: with(update(), func(a *action.Action) {
				requestOfRun(a)
				a.Namespace = "countersign-system"
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"writing the status of a request is reserved": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n"},
			action: with(update(), func(a *action.Action) {
				requestOfRun(a)
				a.Subresource = "status"
			}),
			wantOutcome: Deny, wantReasons: []string{"ReservedAction"},
		},
		"recording events is never governed": {
			policies: map[string]string{"p": subjects},
			action: with(update(), func(a *action.Action) {
				a.Operation, a.Group, a.Resource = v1alpha1.OperationCreate, "events.k8s.io", "events"
			}),
			wantOutcome: Allow,
		},
		"a cluster-scoped object is not covered by a wildcard": {
			policies: map[string]string{"p": subjects + `
tasks:
- name: all
  scope: {resourceRules: [{apiGroups: ["*"], resources: ["*/*"], operations: ["*"]}]}
`},
			action:      with(update(replicasPath), func(a *action.Action) { a.Namespaced, a.Namespace, a.Resource, a.Group = false, "", "nodes", "" }),
			wantOutcome: Deny, wantReasons: []string{"ActionOutOfScope"},
		},
		"a cluster-scoped object is covered by its name": {
			policies: map[string]string{"p": subjects + `
tasks:
- name: nodes
  scope: {resourceRules: [{apiGroups: [""], resources: [nodes], operations: ["*"]}]}
`},
			action:      with(update(replicasPath), func(a *action.Action) { a.Namespaced, a.Namespace, a.Resource, a.Group = false, "", "nodes", "" }),
			wantOutcome: Allow, wantTask: "nodes",
		},
		"labels of the old object count": {
			policies:    map[string]string{"p": subjects + rollImages + "    objectSelector: {matchLabels: {app: web}}\n"},
			action:      with(update(imagePath), func(a *action.Action) { a.Old = object("app", "db") }),
			wantOutcome: Deny, wantReasons: []string{"ObjectOutOfScope"},
		},
		"labels match before and after": {
			policies: map[string]string{"p": subjects + rollImages + "    objectSelector: {matchLabels: {app: web}}\n"},
			action:   update(imagePath), wantOutcome: Allow, wantTask: "roll-images",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			set, in := setOf(t, tc.policies), Input{Action: tc.action, Now: berlinNoon, NamespaceLabels: tc.labels}
			d := set.Decide(in)
			reachesAll(t, set, in)
			if d.Outcome != tc.wantOutcome {
				t.Errorf("outcome is %s, want %s\n%s", d.Outcome, tc.wantOutcome, Refusal(Headline(tc.action), &d, ""))
			}
			if diff := cmp.Diff(tc.wantReasons, d.Reasons()); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s", diff)
			}
			if d.Task != tc.wantTask {
				t.Errorf("task is %q, want %q", d.Task, tc.wantTask)
			}
			if got := len(d.Remedy.Narrow) > 0; got != tc.wantNarrow {
				t.Errorf("remedy narrows: %v, want %v", got, tc.wantNarrow)
			}
			wait := ""
			if !d.Remedy.Wait.IsZero() {
				wait = d.Remedy.Wait.Format(time.RFC3339)
			}
			if wait != tc.wantWait {
				t.Errorf("remedy waits until %q, want %q", wait, tc.wantWait)
			}
		})
	}
}
