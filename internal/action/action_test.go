package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// podSpecAt is an object with a pod spec at a path.
func podSpecAt(t *testing.T, path []string, spec string) map[string]any {
	t.Helper()
	return with(mustDecode(t, `{"metadata":{"name":"x"}}`), any(mustDecode(t, spec)), path...)
}

func testServiceAccountOf(t *testing.T, group, resource string, path []string) {
	a := &Action{
		Operation: v1alpha1.OperationUpdate, Group: group, Resource: resource,
		Old: podSpecAt(t, path, `{"containers":[]}`),
		New: podSpecAt(t, path, `{"serviceAccountName":"deployer","serviceAccount":"deployer"}`),
	}
	a.Changes = a.governed(false)
	before, after := a.ServiceAccounts()
	if d := cmp.Diff([][]string{{"default"}, {"deployer"}}, [][]string{before, after}); d != "" {
		t.Error(d)
	}
	want := strings.Join(path, ".") + ".serviceAccountName"
	if grants := a.Grants(); len(grants) != 1 || grants[0].Field.String() != want {
		t.Errorf("grants %v, want %s", grants, want)
	}
}

func TestServiceAccounts(t *testing.T) {
	for group, paths := range podSpecs {
		for resource, path := range paths {
			t.Run(group+"/"+resource, func(t *testing.T) { testServiceAccountOf(t, group, resource, path) })
		}
	}
	for name, tc := range map[string]struct {
		action            Action
		wantOld, wantNews []string
	}{
		"another kind":            {action: Action{Operation: v1alpha1.OperationCreate, Resource: "configmaps", New: mustDecode(t, `{"spec":{"serviceAccountName":"a"}}`)}},
		"only the alias":          {action: Action{Operation: v1alpha1.OperationCreate, Resource: "pods", New: mustDecode(t, `{"spec":{"serviceAccount":"a"}}`)}, wantNews: []string{"a"}},
		"both":                    {action: Action{Operation: v1alpha1.OperationCreate, Resource: "pods", New: mustDecode(t, `{"spec":{"serviceAccount":"b","serviceAccountName":"a"}}`)}, wantNews: []string{"a", "b"}},
		"empty":                   {action: Action{Operation: v1alpha1.OperationCreate, Resource: "pods", New: mustDecode(t, `{"spec":{"serviceAccount":"","serviceAccountName":null}}`)}, wantNews: []string{"default"}},
		"no text":                 {action: Action{Operation: v1alpha1.OperationCreate, Resource: "pods", New: mustDecode(t, `{"spec":{"serviceAccountName":{"a":1}}}`)}, wantNews: []string{"(map[string]interface {})"}},
		"no spec":                 {action: Action{Operation: v1alpha1.OperationCreate, Resource: "pods", New: mustDecode(t, `{}`)}, wantNews: []string{"default"}},
		"a revision of no pods":   {action: Action{Operation: v1alpha1.OperationCreate, Group: "apps", Resource: "controllerrevisions", New: mustDecode(t, `{"data":{"x":1}}`)}},
		"deleted":                 {action: Action{Operation: v1alpha1.OperationDelete, Resource: "pods", Old: mustDecode(t, `{"spec":{"serviceAccountName":"a"}}`)}, wantOld: []string{"a"}},
		"the live pod of an exec": {action: Action{Operation: v1alpha1.OperationConnect, Resource: "pods", New: mustDecode(t, `{"command":["id"]}`), Target: mustDecode(t, `{"spec":{"serviceAccountName":"a"}}`)}, wantOld: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := tc.action.ServiceAccounts()
			if d := cmp.Diff([][]string{tc.wantOld, tc.wantNews}, [][]string{before, after}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestGrants(t *testing.T) {
	for name, tc := range map[string]struct {
		request  Request
		from, to string
		want     []string // field: path
		named    []string // patterns that name every grant
		unnamed  []string // patterns that do not
	}{
		"nothing": {from: `{"spec":{"replicas":1}}`, to: `{"spec":{"replicas":2}}`},
		"an owner": {
			from: `{"metadata":{}}`, to: `{"metadata":{"ownerReferences":[{"uid":"u","name":"x"}]}}`,
			want:    []string{"metadata.ownerReferences: metadata.ownerReferences[uid=u]"},
			named:   []string{"metadata.ownerReferences", "metadata.ownerReferences[*]", "metadata.ownerReferences[uid=u]"},
			unnamed: []string{"metadata", "metadata[*]", "metadata.ownerReferences[uid=v]", "metadata.finalizers"},
		},
		"one thing of an owner": {
			from: `{"metadata":{"ownerReferences":[{"uid":"u","controller":true}]}}`, to: `{"metadata":{"ownerReferences":[{"uid":"u"}]}}`,
			want:  []string{"metadata.ownerReferences: metadata.ownerReferences[uid=u].controller"},
			named: []string{"metadata.ownerReferences[*].controller"}, unnamed: []string{"metadata.ownerReferences[*].name"},
		},
		"finalizers": {
			from: `{"metadata":{"finalizers":["a"]}}`, to: `{"metadata":{"finalizers":["b"]}}`,
			want: []string{"metadata.finalizers: metadata.finalizers"}, named: []string{"metadata.finalizers"}, unnamed: []string{"metadata.finalizers[*]", "metadata"},
		},
		"an account": {
			from: `{"spec":{"template":{"spec":{"x":1}}}}`, to: `{"spec":{"template":{"spec":{"x":1,"serviceAccountName":"a","serviceAccount":"a"}}}}`,
			want:    []string{"spec.template.spec.serviceAccountName: spec.template.spec.serviceAccountName"},
			named:   []string{"spec.template.spec.serviceAccountName"},
			unnamed: []string{"spec.template.spec", "spec.template.spec[*]", "spec.template.spec.serviceAccount"},
		},
		"an account within a template": {
			from: `{"spec":{"template":null}}`, to: `{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"a"}}}}`,
			want:  []string{"spec.template.spec.serviceAccountName: spec.template.spec.serviceAccountName"},
			named: []string{"spec.template.spec.serviceAccountName"}, unnamed: []string{"spec.template"},
		},
		"an account goes with a template": {
			from: `{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"a"}}}}`, to: `{"spec":{}}`,
			want: []string{"spec.template.spec.serviceAccountName: spec.template.spec.serviceAccountName"},
		},
		"an alias of its own": {
			from: `{"spec":{"template":{"spec":{"x":1}}}}`, to: `{"spec":{"template":{"spec":{"x":1,"serviceAccount":"a"}}}}`,
			want: []string{"spec.template.spec.serviceAccount: spec.template.spec.serviceAccount"}, unnamed: []string{"spec.template.spec.serviceAccountName"},
		},
		"metadata as a whole": {
			from: `{"metadata":null}`, to: `{"metadata":{"finalizers":["a"],"x":{}}}`,
			want: []string{"metadata.finalizers: metadata.finalizers"},
		},
		"a pause": {
			from: `{"spec":{"paused":true,"replicas":1}}`, to: `{"spec":{"replicas":2}}`,
			want: []string{"spec.paused: spec.paused"}, named: []string{"spec.paused"}, unnamed: []string{"spec", "spec.replicas"},
		},
		"a priority class": {
			from: `{"spec":{"template":{"spec":{"x":1}}}}`, to: `{"spec":{"template":{"spec":{"x":1,"priorityClassName":"high"}}}}`,
			want: []string{"spec.template.spec.priorityClassName: spec.template.spec.priorityClassName"}, unnamed: []string{"spec.template.spec"},
		},
		"when pods are replaced": {
			request: Request{Group: "apps", Resource: "statefulsets"},
			from:    `{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}}}}`, to: `{"spec":{"updateStrategy":{"type":"OnDelete"}}}`,
			want: []string{"spec.updateStrategy.type: spec.updateStrategy.type"}, named: []string{"spec.updateStrategy.type"},
		},
		"how pods are replaced": {
			request: Request{Group: "apps", Resource: "statefulsets"},
			from:    `{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}}}}`, to: `{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}`,
		},
		"what a Service selects": {
			request: Request{Resource: "services"},
			from:    `{"spec":{"selector":{"app":"a","b":"c"}}}`, to: `{"spec":{"selector":{"app":"b","b":"c"}}}`,
			want: []string{"spec.selector: spec.selector.app"}, named: []string{"spec.selector", "spec.selector.app"}, unnamed: []string{"spec"},
		},
		"what a Service of others selects": {
			request: Request{Group: "example.com", Resource: "services"}, from: `{"spec":{"selector":{"app":"a"}}}`, to: `{"spec":{"selector":{"app":"b"}}}`,
		},
		"a CronJob": {
			request: Request{Group: "batch", Resource: "cronjobs"},
			from:    `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"x":1}}}}}}`, to: `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"a"}}}}}}`,
			want: []string{"spec.jobTemplate.spec.template.spec.serviceAccountName: spec.jobTemplate.spec.template.spec.serviceAccountName"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Resource == "" {
				tc.request = ofDeployment
			}
			a := updateOf(t, tc.request, hasStatus, tc.from, tc.to)
			var got []string
			for _, g := range a.Grants() {
				got = append(got, g.Field.String()+": "+g.Path.String())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			for _, pattern := range slices.Concat(tc.named, tc.unnamed) {
				p, err := ParsePattern(pattern)
				if err != nil {
					t.Fatal(err)
				}
				want := slices.Contains(tc.named, pattern)
				for _, g := range a.Grants() {
					if g.NamedBy(p) != want {
						t.Errorf("%s names %s: %t", pattern, g.Field, !want)
					}
				}
			}
		})
	}
	if grants := (&Action{Operation: v1alpha1.OperationCreate, New: mustDecode(t, `{"metadata":{"finalizers":["a"]}}`)}).Grants(); grants != nil {
		t.Errorf("a CREATE has grants %v", grants)
	}
	if (Grant{}).NamedBy(Pattern{}) {
		t.Error("nothing names something")
	}
}

func TestLabels(t *testing.T) {
	red, blue := mustDecode(t, `{"kind":"Pod","metadata":{"labels":{"c":"red"}}}`), mustDecode(t, `{"kind":"Pod","metadata":{"labels":{"c":"blue"}}}`)
	options := mustDecode(t, `{"kind":"PodExecOptions"}`)
	for name, tc := range map[string]struct {
		action   Action
		old, new map[string]string // nil: there is none
		selected bool              // by red
	}{
		"create":              {action: Action{Operation: "CREATE", New: red}, new: map[string]string{"c": "red"}, selected: true},
		"delete":              {action: Action{Operation: "DELETE", Old: red}, old: map[string]string{"c": "red"}, selected: true},
		"update":              {action: Action{Operation: "UPDATE", Old: red, New: red}, old: map[string]string{"c": "red"}, new: map[string]string{"c": "red"}, selected: true},
		"relabel into":        {action: Action{Operation: "UPDATE", Old: blue, New: red}, old: map[string]string{"c": "blue"}, new: map[string]string{"c": "red"}},
		"relabel out of":      {action: Action{Operation: "UPDATE", Old: red, New: blue}, old: map[string]string{"c": "red"}, new: map[string]string{"c": "blue"}},
		"exec":                {action: Action{Operation: "CONNECT", Kind: "Pod", New: options, Target: red}, old: map[string]string{"c": "red"}, selected: true},
		"exec into nothing":   {action: Action{Operation: "CONNECT", Kind: "Node", New: options}},
		"eviction":            {action: Action{Operation: "DELETE", Kind: "Pod", Old: red, Target: red}, old: map[string]string{"c": "red"}, selected: true},
		"binding":             {action: Action{Operation: "CREATE", Kind: "Pod", Subresource: "binding", New: mustDecode(t, `{"kind":"Binding","metadata":{"labels":{"c":"red"}}}`), Target: blue}, old: map[string]string{"c": "blue"}},
		"scale":               {action: Action{Operation: "UPDATE", Kind: "Pod", Old: red, New: red, Target: blue}, old: map[string]string{"c": "red"}, new: map[string]string{"c": "red"}, selected: true},
		"an unknown object":   {action: Action{Operation: "CREATE", Kind: "Gadget", Subresource: "polish", New: red}},
		"no labels":           {action: Action{Operation: "CREATE", New: mustDecode(t, `{"metadata":{}}`)}, new: map[string]string{}},
		"labels of no kind":   {action: Action{Operation: "CREATE", New: mustDecode(t, `{"metadata":{"labels":{"a":1,"c":"red"}}}`)}, new: map[string]string{"c": "red"}, selected: true},
		"labels that are one": {action: Action{Operation: "CREATE", New: mustDecode(t, `{"metadata":{"labels":"c"}}`)}, new: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			before, was := tc.action.OldLabels()
			after, will := tc.action.NewLabels()
			if was != (tc.old != nil) || will != (tc.new != nil) {
				t.Errorf("there was: %t, there will be: %t", was, will)
			}
			if !maps.Equal(before, tc.old) || !maps.Equal(after, tc.new) {
				t.Errorf("before %v, after %v", before, after)
			}
			if got := tc.action.SelectedBy(func(labels map[string]string) bool { return labels["c"] == "red" }); got != tc.selected {
				t.Errorf("selected: %t", got)
			}
		})
	}
}

func TestForcedOfNothing(t *testing.T) {
	var options *DeleteOptions
	if options.Forced() {
		t.Error("no deletion is forced")
	}
}

// TestGenerated checks, for each generated value, that one which the requester sent is part of the hash, and one that
// nothing proves to be generated too.
func TestGenerated(t *testing.T) {
	create := func(group, resource, object, sent string) *Action {
		managed := `"managedFields":[` + entry("agent", "Update", "", sent) + `],`
		if sent == "" {
			managed = ""
		}
		raw := strings.Replace(object, `"metadata":{`, `"metadata":{`+managed, 1)
		a, err := Normalise(Request{Operation: v1alpha1.OperationCreate, Group: group, Version: "v1", Resource: resource, Object: []byte(raw)},
			Facts{Kind: KindFacts{PreferredVersion: "v1"}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, tc := range map[string]struct {
		group, resource string
		object          string // with %s where the values differ
		one, other      string
		generated, sent string // what managedFields say
	}{
		"clusterIP": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"clusterIP":"10.0.0.%s","clusterIPs":["10.0.0.%s"]}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:ports":{}}}`, sent: `{"f:spec":{"f:clusterIP":{}}}`,
		},
		"clusterIPs": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"clusterIPs":["10.0.0.%s"]}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:type":{}}}`, sent: `{"f:spec":{"f:clusterIPs":{}}}`,
		},
		"nodePort": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"ports":[{"port":80,"protocol":"TCP","nodePort":3000%s}]}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`,
			sent:      `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}}}}}`,
		},
		"nodePort of a list sent as a whole": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"ports":[{"port":80,"protocol":"TCP","nodePort":3000%s}]}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:type":{}}}`, sent: `{"f:spec":{"f:ports":{}}}`,
		},
		"nodePort by position": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"ports":[{"port":80,"protocol":"TCP","nodePort":3000%s}]}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:type":{}}}`, sent: `{"f:spec":{"f:ports":{"i:0":{}}}}`,
		},
		"healthCheckNodePort": {
			resource: "services", object: `{"metadata":{"name":"a"},"spec":{"healthCheckNodePort":3000%s}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:type":{}}}`, sent: `{"f:spec":{"f:healthCheckNodePort":{}}}`,
		},
		"the labels of a Job": {
			group: "batch", resource: "jobs",
			object: `{"metadata":{"name":"a","uid":"u%s"},"spec":{"selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u%s"}},"template":{"metadata":{"labels":{"controller-uid":"u%s","batch.kubernetes.io/controller-uid":"u%s"}}}}}`, one: "1", other: "2",
			generated: `{"f:spec":{"f:template":{"f:spec":{}}}}`, sent: `{"f:spec":{"f:template":{"f:metadata":{"f:labels":{"f:controller-uid":{}}}}}}`,
		},
		"the name in the labels of a Job": {
			group: "batch", resource: "jobs",
			object: `{"metadata":{"name":"a-bbbb%[1]s","generateName":"a-"},"spec":{"template":{"metadata":{"labels":{"job-name":"a-bbbb%[1]s","batch.kubernetes.io/job-name":"a-bbbb%[1]s"}}}}}`, one: "2", other: "4",
			generated: `{"f:metadata":{"f:generateName":{}}}`, sent: `{"f:spec":{"f:template":{"f:metadata":{"f:labels":{"f:job-name":{}}}}}}`,
		},
		"the token volume of a Pod": {
			resource: "pods",
			object:   `{"metadata":{"name":"a"},"spec":{"volumes":[{"name":"kube-api-access-bbbb%s"}],"containers":[{"name":"c","volumeMounts":[{"name":"kube-api-access-bbbb%s","mountPath":"/x"}]}],"initContainers":[{"name":"i"}]}}`, one: "2", other: "4",
			generated: `{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}`, sent: `{"f:spec":{"f:volumes":{"k:{\"name\":\"kube-api-access-bbbb2\"}":{".":{}}}}}`,
		},
		"the mount of a token volume": {
			resource: "pods",
			object:   `{"metadata":{"name":"a"},"spec":{"volumes":[{"name":"kube-api-access-bbbb%s"}],"initContainers":[{"name":"c","volumeMounts":[{"name":"kube-api-access-bbbb%s","mountPath":"/x"}]}]}}`, one: "2", other: "4",
			generated: `{"f:spec":{"f:initContainers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}`, sent: `{"f:spec":{"f:initContainers":{"k:{\"name\":\"c\"}":{"f:volumeMounts":{"k:{\"mountPath\":\"/x\"}":{"f:name":{}}}}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fill := func(v string) string {
				if strings.Contains(tc.object, "%[1]s") {
					return fmt.Sprintf(tc.object, v)
				}
				return strings.ReplaceAll(tc.object, "%s", v)
			}
			same := func(sent string) bool {
				return hasher.Hash(create(tc.group, tc.resource, fill(tc.one), sent)) == hasher.Hash(create(tc.group, tc.resource, fill(tc.other), sent))
			}
			if !same(tc.generated) {
				t.Error("a generated value is part of the hash")
			}
			if same(tc.sent) {
				t.Error("a value that was sent is not part of the hash")
			}
			if same("") || same(`{"x:":{}}`) {
				t.Error("a value is not part of the hash that nothing proves to be generated")
			}
		})
	}
}

func TestGeneratedNeedsItsForm(t *testing.T) {
	for name, object := range map[string]string{
		"a volume of another name":   `{"metadata":{"managedFields":[%s],"name":"a"},"spec":{"volumes":[{"name":"cache-bbbb%d"}]}}`,
		"a volume with more letters": `{"metadata":{"managedFields":[%s],"name":"a"},"spec":{"volumes":[{"name":"kube-api-access-bbbbb%d"}]}}`,
		"no volume":                  `{"metadata":{"managedFields":[%s],"name":"a"},"spec":{"x":%d}}`,
		"the name":                   `{"metadata":{"managedFields":[%s],"name":"a%d"},"spec":{}}`,
		"a label":                    `{"metadata":{"managedFields":[%s],"name":"a","labels":{"x":"%d"}},"spec":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			hash := func(n int) string {
				raw := fmt.Sprintf(object, entry("agent", "Update", "", `{"f:spec":{"f:containers":{}}}`), n)
				a, err := Normalise(Request{Operation: v1alpha1.OperationCreate, Version: "v1", Resource: "pods", Object: []byte(raw)}, Facts{Kind: podKind})
				if err != nil {
					t.Fatal(err)
				}
				return hasher.Hash(a)
			}
			if hash(2) == hash(4) {
				t.Error("it is not part of the hash")
			}
		})
	}
}
