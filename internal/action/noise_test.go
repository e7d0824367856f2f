package action

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// updateOf normalises the update of an object of the kind web/Deployment of a namespace.
func updateOf(t *testing.T, r Request, k KindFacts, from, to string) *Action {
	t.Helper()
	r.Operation, r.Version, k.PreferredVersion = v1alpha1.OperationUpdate, "v1", "v1"
	r.OldObject, r.Object = []byte(from), []byte(to)
	a, err := Normalise(r, Facts{Kind: k})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	ofDeployment = Request{Group: "apps", Resource: "deployments"}
	ofSecret     = Request{Resource: "secrets"}
	hasStatus    = KindFacts{Kind: "Deployment", HasStatus: true}
)

func TestNoise(t *testing.T) {
	for name, tc := range map[string]struct {
		request  Request
		facts    KindFacts
		from, to string
		want     []string
	}{
		"metadata of the server": {
			request: ofDeployment, facts: hasStatus,
			from: `{"metadata":{"resourceVersion":"1","generation":1,"creationTimestamp":"2026-01-01T00:00:00Z"}}`,
			to:   `{"metadata":{"resourceVersion":"2","generation":2}}`,
		},
		"the same names elsewhere": {
			request: ofDeployment, facts: hasStatus,
			from: `{"spec":{"metadata":{"generation":1},"resourceVersion":"1"},"generation":1,"metadata":{"labels":{"generation":"1"}}}`,
			to:   `{"spec":{"metadata":{"generation":2},"resourceVersion":"2"},"generation":2,"metadata":{"labels":{"generation":"2"}}}`,
			want: []string{"generation: 1 -> 2", `metadata.labels.generation: "1" -> "2"`, "spec.metadata.generation: 1 -> 2", `spec.resourceVersion: "1" -> "2"`},
		},
		"other metadata": {
			request: ofDeployment, facts: hasStatus,
			from: `{"metadata":{"uid":"1","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a"]}}`,
			to:   `{"metadata":{"uid":"2","finalizers":["b"]}}`,
			want: []string{`metadata.deletionTimestamp: "2026-01-01T00:00:00Z" -> absent`, `metadata.finalizers: ["a"] -> ["b"]`, `metadata.uid: "1" -> "2"`},
		},
		"the revision of a rollout is no noise": {
			request: ofDeployment, facts: hasStatus,
			from: `{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"1"}}}`,
			to:   `{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"2"}}}`,
			want: []string{`metadata.annotations["deployment.kubernetes.io/revision"]: "1" -> "2"`},
		},
		"status of a kind that has it": {request: ofDeployment, facts: hasStatus, from: `{"status":{"a":1}}`, to: `{"status":{"a":2}}`},
		"status of a kind without":     {request: ofDeployment, from: `{"status":{"a":1}}`, to: `{"status":{"a":2}}`, want: []string{"status.a: 1 -> 2"}},
		"status on its subresource": {
			request: Request{Group: "apps", Resource: "deployments", Subresource: "status"}, facts: hasStatus,
			from: `{"status":{"a":1}}`, to: `{"status":{"a":2}}`, want: []string{"status.a: 1 -> 2"},
		},
		"status on another subresource": {
			request: Request{Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Subresource: "approval"}, facts: hasStatus,
			from: `{"status":{}}`, to: `{"status":{"conditions":[{"type":"Approved"}]}}`, want: []string{`status.conditions[type=Approved]: absent -> {"type":"Approved"}`},
		},
		"the alias of a service account": {
			request: ofDeployment, facts: hasStatus,
			from: `{"spec":{"template":{"spec":{}}}}`,
			to:   `{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"a","x":1}}}}`,
			want: []string{`spec.template.spec.serviceAccountName: absent -> "a"`, "spec.template.spec.x: absent -> 1"},
		},
		"an alias that says something else": {
			request: ofDeployment, facts: hasStatus,
			from: `{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"a"}}}}`,
			to:   `{"spec":{"template":{"spec":{"serviceAccountName":"a","serviceAccount":"b"}}}}`,
			want: []string{`spec.template.spec.serviceAccount: "a" -> "b"`},
		},
		"the alias in a kind without pods": {
			request: Request{Resource: "configmaps"},
			from:    `{"spec":{"serviceAccount":"a"}}`, to: `{"spec":{"serviceAccount":"b"}}`, want: []string{`spec.serviceAccount: "a" -> "b"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := updateOf(t, tc.request, tc.facts, tc.from, tc.to)
			if d := cmp.Diff(strings.Join(append(tc.want, ""), "\n"), changesText(a.Changes)); d != "" {
				t.Error(d)
			}
			if a.Empty() != (len(tc.want) == 0) {
				t.Errorf("empty: %t", a.Empty())
			}
		})
	}
}

// annotated is an object with what was last applied to it, and other content.
func annotated(applied, content string) string {
	if applied == "" {
		return `{"metadata":{"annotations":{"x":"y"}},` + content + `}`
	}
	return `{"metadata":{"annotations":{"x":"y","` + lastAppliedKey + `":` + canonicalText(applied) + `}},` + content + `}`
}

func TestLastApplied(t *testing.T) {
	changed := `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`
	for name, tc := range map[string]struct {
		request         Request
		applied, object [2]string // before and after
		want            []string
	}{
		"it follows the object": {
			applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":{"replicas":2}}`},
			object:  [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":2}`},
			want:    []string{"spec.replicas"},
		},
		"it says what is not there": {
			applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":{"replicas":3}}`},
			object:  [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":2}`},
			want:    []string{changed, "spec.replicas"},
		},
		"it names more than changes": {
			applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":{"replicas":2,"paused":true}}`},
			object:  [2]string{`"spec":{"replicas":1,"paused":true}`, `"spec":{"replicas":2,"paused":true}`},
			want:    []string{changed, "spec.replicas"},
		},
		"it names what was added": {
			applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":{"replicas":1,"paused":true}}`},
			object:  [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":1,"paused":true}`},
			want:    []string{"spec.paused"},
		},
		"it no longer names what was removed": {
			applied: [2]string{`{"spec":{"replicas":1,"paused":true}}`, `{"spec":{"replicas":1}}`},
			object:  [2]string{`"spec":{"replicas":1,"paused":true}`, `"spec":{"replicas":1}`},
			want:    []string{"spec.paused"},
		},
		"it no longer names what stays": {
			applied: [2]string{`{"spec":{"replicas":1,"paused":true}}`, `{"spec":{"replicas":1}}`},
			object:  [2]string{`"spec":{"replicas":1,"paused":true}`, `"spec":{"replicas":1,"paused":true}`},
			want:    []string{changed},
		},
		"it appears":      {applied: [2]string{``, `{"spec":{"replicas":1}}`}, object: [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":1}`}, want: []string{changed}},
		"it goes":         {applied: [2]string{`{"spec":{"replicas":1}}`, ``}, object: [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":1}`}, want: []string{changed}},
		"it becomes junk": {applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":`}, object: [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":1}`}, want: []string{changed}},
		"it was junk":     {applied: [2]string{`{"spec":`, `{"spec":{"replicas":1}}`}, object: [2]string{`"spec":{"replicas":2}`, `"spec":{"replicas":1}`}, want: []string{changed, "spec.replicas"}},
		"it says a key twice": {
			applied: [2]string{`{"spec":{"replicas":1}}`, `{"spec":{"replicas":2},"spec":{"replicas":2}}`},
			object:  [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":2}`}, want: []string{changed, "spec.replicas"},
		},
		"other spaces": {
			applied: [2]string{`{"spec":{"replicas":1}}`, "{\"spec\": {\"replicas\": 1}}\n"},
			object:  [2]string{`"spec":{"replicas":1}`, `"spec":{"replicas":1}`},
		},
		"quantities": {
			applied: [2]string{`{"spec":{"c":[{"name":"a","resources":{"limits":{"cpu":1}}}]}}`, `{"spec":{"c":[{"name":"a","resources":{"limits":{"cpu":"1500m"}}}]}}`},
			object:  [2]string{`"spec":{"c":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}`, `"spec":{"c":[{"name":"a","resources":{"limits":{"cpu":"1.5"}}}]}`},
			want:    []string{"spec.c[name=a].resources.limits.cpu"},
		},
		"no quantity elsewhere": {
			applied: [2]string{`{"spec":{"tag":"1"}}`, `{"spec":{"tag":"1.50"}}`},
			object:  [2]string{`"spec":{"tag":"1"}`, `"spec":{"tag":"1.5"}`},
			want:    []string{changed, "spec.tag"},
		},
		"zero values that are left out": {
			applied: [2]string{`{"spec":{"a":"","b":false,"c":0,"d":{},"e":null,"r":1}}`, `{"spec":{"a":"","b":false,"c":0,"d":{},"e":null,"r":2}}`},
			object:  [2]string{`"spec":{"r":1}`, `"spec":{"r":2}`},
			want:    []string{"spec.r"},
		},
		"zero values that are not": {
			applied: [2]string{`{"spec":{"a":"","r":1}}`, `{"spec":{"a":"","r":2}}`},
			object:  [2]string{`"spec":{"a":"x","r":1}`, `"spec":{"a":"x","r":2}`},
			want:    []string{changed, "spec.r"},
		},
		"an empty map names its field": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":2,"nodeSelector":{}}}`},
			object:  [2]string{`"spec":{"r":1,"nodeSelector":{"a":"b"}}`, `"spec":{"r":2,"nodeSelector":{"a":"b"}}`},
			want:    []string{changed, "spec.r"},
		},
		"null names its field": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":2,"nodeSelector":null}}`},
			object:  [2]string{`"spec":{"r":1,"nodeSelector":{"a":"b"}}`, `"spec":{"r":2,"nodeSelector":{"a":"b"}}`},
			want:    []string{changed, "spec.r"},
		},
		"what kubectl always writes": {
			applied: [2]string{`{"metadata":{},"spec":{"r":1}}`, `{"metadata":{"annotations":{},"creationTimestamp":null},"spec":{"r":2}}`},
			object:  [2]string{`"spec":{"r":1}`, `"spec":{"r":2}`},
			want:    []string{"spec.r"},
		},
		"a container among others": {
			applied: [2]string{`{"spec":{"containers":[{"name":"a","image":"1"}]}}`, `{"spec":{"containers":[{"name":"a","image":"2"},{"name":"b","image":"1","ports":[{"containerPort":80}]}]}}`},
			object: [2]string{
				`"spec":{"containers":[{"name":"a","image":"1"},{"name":"injected","image":"1"}]}`,
				`"spec":{"containers":[{"name":"a","image":"2"},{"name":"injected","image":"1"},{"name":"b","image":"1","ports":[{"containerPort":80,"protocol":"TCP"}]}]}`,
			},
			want: []string{"spec.containers[name=a].image", "spec.containers[name=b]"},
		},
		"a container of somebody else": {
			applied: [2]string{`{"spec":{"containers":[{"name":"a","image":"1"}]}}`, `{"spec":{"containers":[{"name":"a","image":"2"},{"name":"injected","image":"1"}]}}`},
			object: [2]string{
				`"spec":{"containers":[{"name":"a","image":"1"},{"name":"injected","image":"1"}]}`,
				`"spec":{"containers":[{"name":"a","image":"2"},{"name":"injected","image":"1"}]}`,
			},
			want: []string{changed, "spec.containers[name=a].image"},
		},
		"a port without a protocol": {
			applied: [2]string{`{"spec":{"ports":[{"containerPort":80}]}}`, `{"spec":{"ports":[{"containerPort":80},{"containerPort":81}]}}`},
			object: [2]string{
				`"spec":{"ports":[{"containerPort":80,"protocol":"TCP"}]}`,
				`"spec":{"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":81,"protocol":"TCP"}]}`,
			},
			want: []string{"spec.ports[containerPort=81,protocol=TCP]"},
		},
		"a port of somebody else": {
			applied: [2]string{`{"spec":{"r":1,"ports":[{"containerPort":80}]}}`, `{"spec":{"r":2,"ports":[{"containerPort":80},{"containerPort":81}]}}`},
			object: [2]string{
				`"spec":{"r":1,"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":81,"protocol":"TCP"}]}`,
				`"spec":{"r":2,"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":81,"protocol":"TCP"}]}`,
			},
			want: []string{changed, "spec.r"},
		},
		"a list of texts": {
			applied: [2]string{`{"spec":{"args":["a"]}}`, `{"spec":{"args":["a","b"]}}`},
			object:  [2]string{`"spec":{"args":["a"]}`, `"spec":{"args":["a","b"]}`},
			want:    []string{"spec.args"},
		},
		"a finalizer of somebody else": {
			applied: [2]string{`{"metadata":{"finalizers":["a"]},"r":1}`, `{"metadata":{"finalizers":["a","b"]},"r":2}`},
			object:  [2]string{`"r":1,"spec":1`, `"r":2,"spec":1`},
			want:    []string{changed, "r"},
		},
		"a list in another order": {
			applied: [2]string{`{"spec":{"args":["a","b"]}}`, `{"spec":{"args":["b","a"]}}`},
			object:  [2]string{`"spec":{"args":["a","b"]}`, `"spec":{"args":["a","b"]}`},
			want:    []string{changed},
		},
		"a subtree of which every leaf changes": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":1,"strategy":{"rolling":{"surge":2}}}}`},
			object:  [2]string{`"spec":{"r":1,"strategy":{"rolling":{"surge":1}}}`, `"spec":{"r":1,"strategy":{"rolling":{"surge":2}}}`},
			want:    []string{"spec.strategy.rolling.surge"},
		},
		"a subtree of which one leaf stays": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":1,"strategy":{"rolling":{"surge":2},"type":"x"}}}`},
			object:  [2]string{`"spec":{"r":1,"strategy":{"rolling":{"surge":1},"type":"x"}}`, `"spec":{"r":1,"strategy":{"rolling":{"surge":2},"type":"x"}}`},
			want:    []string{changed, "spec.strategy.rolling.surge"},
		},
		"a list with keys in a subtree": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":1,"t":{"env":[{"name":"A"},{"name":"B"}]}}}`},
			object:  [2]string{`"spec":{"r":1,"t":{"x":{},"env":[]}}`, `"spec":{"r":1,"t":{"x":{},"env":[{"name":"A"},{"name":"B"}]}}`},
			want:    []string{"spec.t.env[name=A]", "spec.t.env[name=B]"},
		},
		"a list with keys of which one stays": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":1,"t":{"env":[{"name":"A"},{"name":"B"}]}}}`},
			object:  [2]string{`"spec":{"r":1,"t":{"x":{},"env":[{"name":"A"}]}}`, `"spec":{"r":1,"t":{"x":{},"env":[{"name":"A"},{"name":"B"}]}}`},
			want:    []string{changed, "spec.t.env[name=B]"},
		},
		"a list without keys in a subtree": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":2,"t":{"args":["a"]}}}`},
			object:  [2]string{`"spec":{"r":1,"t":{"args":["a"]}}`, `"spec":{"r":2,"t":{"args":["a"]}}`},
			want:    []string{changed, "spec.r"},
		},
		"an empty list names its field": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":2,"t":{"env":[]}}}`},
			object:  [2]string{`"spec":{"r":1,"t":{}}`, `"spec":{"r":2,"t":{}}`},
			want:    []string{changed, "spec.r"},
		},
		"too deep to follow": {
			applied: [2]string{`{"spec":{"r":1}}`, `{"spec":{"r":2},"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`},
			object:  [2]string{`"spec":{"r":1}`, `"spec":{"r":2},"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300)},
			want:    []string{changed, "spec.r", "x"},
		},
		"a huge quantity": {
			applied: [2]string{`{"limits":{"cpu":"1"}}`, `{"limits":{"cpu":"1` + strings.Repeat("0", 40) + `"}}`},
			object:  [2]string{`"limits":{"cpu":"1"}`, `"limits":{"cpu":"2"}`},
			want:    []string{"limits.cpu", changed},
		},
		"a quantity by its own name": {
			applied: [2]string{`{"emptyDir":{"sizeLimit":"1Gi"},"r":1}`, `{"emptyDir":{"sizeLimit":"1024Mi"},"r":2}`},
			object:  [2]string{`"emptyDir":{"sizeLimit":"1Gi"},"r":1`, `"emptyDir":{"sizeLimit":"1Gi"},"r":2`},
			want:    []string{"r"},
		},
		"a quantity that is none": {
			applied: [2]string{`{"limits":{"cpu":"1"}}`, `{"limits":{"cpu":"x"}}`},
			object:  [2]string{`"limits":{"cpu":"1"}`, `"limits":{"cpu":true}`},
			want:    []string{"limits.cpu", changed},
		},
		"the plain text of a Secret": {
			request: ofSecret,
			applied: [2]string{`{"stringData":{"p":"one"}}`, `{"stringData":{"p":"two"}}`},
			object:  [2]string{`"data":{"p":"b25l"}`, `"data":{"p":"dHdv"}`},
			want:    []string{"data.p"},
		},
		"another plain text": {
			request: ofSecret,
			applied: [2]string{`{"stringData":{"p":"one"}}`, `{"stringData":{"p":"three"}}`},
			object:  [2]string{`"data":{"p":"b25l"}`, `"data":{"p":"dHdv"}`},
			want:    []string{"data.p", changed},
		},
		"plain text of another kind": {
			applied: [2]string{`{"stringData":{"p":"one"}}`, `{"stringData":{"p":"two"}}`},
			object:  [2]string{`"data":{"p":"b25l"}`, `"data":{"p":"dHdv"}`},
			want:    []string{"data.p", changed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Resource == "" {
				tc.request = ofDeployment
			}
			a := updateOf(t, tc.request, hasStatus, annotated(tc.applied[0], tc.object[0]), annotated(tc.applied[1], tc.object[1]))
			if d := cmp.Diff(tc.want, pathsOf(a.Changes)); d != "" {
				t.Error(d)
			}
		})
	}
}

func pathsOf(changes []Change) []string {
	var paths []string
	for _, c := range changes {
		paths = append(paths, c.Path.String())
	}
	return paths
}
