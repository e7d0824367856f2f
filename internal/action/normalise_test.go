package action

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

var podKind = KindFacts{Kind: "Pod", Namespaced: true, PreferredVersion: "v1", HasStatus: true}

func TestNeed(t *testing.T) {
	for name, tc := range map[string]struct {
		request Request
		want    Need
	}{
		"scale":              {request: Request{Operation: "UPDATE", Group: "apps", Version: "v1", Resource: "deployments", Subresource: "scale", Namespace: "shop", Name: "web"}, want: Need{Target: true, Group: "apps", Version: "v1", Resource: "deployments", Namespace: "shop", Name: "web"}},
		"exec":               {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "web"}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop", Name: "web"}},
		"proxy of a port":    {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "proxy", Namespace: "shop", Name: "https:web:8443"}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop", Name: "web"}},
		"proxy of a service": {request: Request{Operation: "CONNECT", Version: "v1", Resource: "services", Subresource: "proxy", Namespace: "shop", Name: "web:http"}, want: Need{Target: true, Version: "v1", Resource: "services", Namespace: "shop", Name: "web"}},
		"proxy of a node":    {request: Request{Operation: "CONNECT", Version: "v1", Resource: "nodes", Subresource: "proxy", Name: "n1"}},
		"another CONNECT":    {request: Request{Operation: "CONNECT", Group: "example.com", Version: "v1", Resource: "pods", Subresource: "console", Name: "x"}},
		"eviction":           {request: Request{Operation: "CREATE", Version: "v1", Resource: "pods", Subresource: "eviction", Namespace: "shop", Name: "web"}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop", Name: "web"}},
		"binding of a pod":   {request: Request{Operation: "CREATE", Version: "v1", Resource: "pods", Subresource: "binding", Namespace: "shop", Name: "web"}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop", Name: "web"}},
		"binding":            {request: Request{Operation: "CREATE", Version: "v1", Resource: "bindings", Namespace: "shop", Object: []byte(`{"metadata":{"name":"web"}}`)}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop", Name: "web"}},
		"binding of junk":    {request: Request{Operation: "CREATE", Version: "v1", Resource: "bindings", Namespace: "shop", Object: []byte(`{`)}, want: Need{Target: true, Version: "v1", Resource: "pods", Namespace: "shop"}},
		"token":              {request: Request{Operation: "CREATE", Version: "v1", Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "bot"}, want: Need{Target: true, Version: "v1", Resource: "serviceaccounts", Namespace: "shop", Name: "bot"}},
		"update":             {request: Request{Operation: "UPDATE", Group: "apps", Version: "v1", Resource: "deployments", Name: "web"}},
		"status":             {request: Request{Operation: "UPDATE", Group: "apps", Version: "v1", Resource: "deployments", Subresource: "status", Name: "web"}},
		"ephemeral":          {request: Request{Operation: "UPDATE", Version: "v1", Resource: "pods", Subresource: "ephemeralcontainers", Name: "web"}},
		"eviction of others": {request: Request{Operation: "CREATE", Group: "example.com", Version: "v1", Resource: "pods", Subresource: "eviction", Name: "web"}},
		"delete":             {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods", Name: "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, tc.request.Need()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNormaliseErrors(t *testing.T) {
	pod := `{"metadata":{"name":"web","namespace":"shop","uid":"1"}}`
	target := func(raw string) Facts { return Facts{Kind: podKind, Target: mustDecode(t, raw)} }
	for name, tc := range map[string]struct {
		request Request
		facts   Facts
		want    string
		as      any
	}{
		"another version":        {request: Request{Operation: "CREATE", Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}, facts: Facts{Kind: KindFacts{PreferredVersion: "v2"}}, want: "version autoscaling/v1 is not the preferred one, use autoscaling/v2", as: new(*VersionError)},
		"an unknown kind":        {request: Request{Operation: "CREATE", Group: "example.com", Version: "v1", Resource: "gadgets"}, want: "reading gadgets.example.com: the preferred version is not known", as: new(*VersionError)},
		"no version":             {request: Request{Operation: "CREATE", Resource: "pods"}, want: "reading pods", as: new(*VersionError)},
		"no operation":           {request: Request{Version: "v1", Resource: "pods"}, facts: Facts{Kind: podKind}, want: `normalising pods: operation "" is unknown`, as: new(*OperationError)},
		"every operation":        {request: Request{Operation: "*", Version: "v1", Resource: "pods", Subresource: "x"}, facts: Facts{Kind: podKind}, want: `normalising pods/x: operation "*" is unknown`, as: new(*OperationError)},
		"lower case":             {request: Request{Operation: "create", Version: "v1", Resource: "pods"}, facts: Facts{Kind: podKind}, want: `operation "create" is unknown`, as: new(*OperationError)},
		"no object":              {request: Request{Operation: "CREATE", Version: "v1", Resource: "pods"}, facts: Facts{Kind: podKind}, want: "decoding object: it is missing", as: new(*DecodeError)},
		"no old object":          {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods"}, facts: Facts{Kind: podKind}, want: "decoding oldObject: it is missing", as: new(*DecodeError)},
		"junk":                   {request: Request{Operation: "UPDATE", Version: "v1", Resource: "pods", Object: []byte(`{`), OldObject: []byte(`{}`)}, facts: Facts{Kind: podKind}, want: "decoding object: reading JSON at byte 1: no key", as: new(*DecodeError)},
		"a list":                 {request: Request{Operation: "CREATE", Version: "v1", Resource: "pods", Object: []byte(`[]`)}, facts: Facts{Kind: podKind}, want: "decoding object: not a JSON object", as: new(*DecodeError)},
		"another name":           {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods", Namespace: "shop", Name: "other", OldObject: []byte(pod)}, facts: Facts{Kind: podKind}, want: "it is not the object that the review names", as: new(*DecodeError)},
		"another namespace":      {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods", Namespace: "other", Name: "web", OldObject: []byte(pod)}, facts: Facts{Kind: podKind}, want: "it is not the object that the review names", as: new(*DecodeError)},
		"junk as options":        {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods", Namespace: "shop", OldObject: []byte(pod), Options: []byte(`1`)}, facts: Facts{Kind: podKind}, want: "decoding options: not a JSON object", as: new(*DecodeError)},
		"grace that is no time":  {request: Request{Operation: "DELETE", Version: "v1", Resource: "pods", Namespace: "shop", OldObject: []byte(pod), Options: []byte(`{"gracePeriodSeconds":"0"}`)}, facts: Facts{Kind: podKind}, want: "decoding options: reading gracePeriodSeconds: not an integer", as: new(*DecodeError)},
		"no live pod":            {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "web"}, facts: Facts{Kind: podKind}, want: "reading live pods shop/web: it was not found", as: new(*TargetError)},
		"another live pod":       {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "other"}, facts: target(pod), want: "reading live pods shop/other: it is another object", as: new(*TargetError)},
		"a live pod elsewhere":   {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "other", Name: "web"}, facts: target(pod), want: "it is another object", as: new(*TargetError)},
		"a live pod without UID": {request: Request{Operation: "CONNECT", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "web"}, facts: target(`{"metadata":{"name":"web","namespace":"shop"}}`), want: "it has no UID", as: new(*TargetError)},
		"another pod evicted":    {request: Request{Operation: "CREATE", Version: "v1", Resource: "pods", Subresource: "eviction", Namespace: "shop", Name: "web", Object: []byte(`{"metadata":{"name":"web"},"deleteOptions":{"preconditions":{"uid":"2"}}}`)}, facts: target(pod), want: "it is not the object of that UID", as: new(*TargetError)},
		"another parent scaled":  {request: Request{Operation: "UPDATE", Version: "v1", Resource: "pods", Subresource: "scale", Namespace: "shop", Name: "web", Object: []byte(`{}`), OldObject: []byte(`{"metadata":{"uid":"2"}}`)}, facts: target(pod), want: "it is not the object of that UID", as: new(*TargetError)},
		"no number":              {request: Request{Operation: "UPDATE", Version: "v1", Resource: "pods", Subresource: "scale", Namespace: "shop", Name: "web", Object: []byte(`{"spec":{"replicas":1.5}}`), OldObject: []byte(`{}`)}, facts: target(pod), want: "decoding object: reading spec.replicas: not an integer", as: new(*DecodeError)},
		"junk bound":             {request: Request{Operation: "CREATE", Version: "v1", Resource: "bindings", Namespace: "shop", Object: []byte(`{`)}, facts: Facts{Kind: podKind}, want: "decoding object", as: new(*DecodeError)},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Normalise(tc.request, tc.facts)
			if a != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, error %v, want %q", a, err, tc.want)
			}
			if !errors.As(err, tc.as) {
				t.Errorf("error is a %T", err)
			}
		})
	}
}

func TestScale(t *testing.T) {
	scale := func(spec string) []byte {
		return []byte(`{"kind":"Scale","metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"8"},"spec":` + spec + `}`)
	}
	parent := func(spec string) map[string]any {
		return mustDecode(t, `{"kind":"Gadget","metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"9","labels":{"app":"web"}},"spec":`+spec+`}`)
	}
	for name, tc := range map[string]struct {
		from, to string
		live     string
		path     string
		want     []string
	}{
		"up":                    {from: `{"replicas":1}`, to: `{"replicas":3}`, live: `{"replicas":1}`, want: []string{"spec.replicas: 1 -> 3"}},
		"to zero":               {from: `{"replicas":1}`, to: `{}`, live: `{"replicas":1}`, want: []string{"spec.replicas: 1 -> 0"}},
		"from zero":             {from: `{}`, to: `{"replicas":3}`, live: `{"replicas":0}`, want: []string{"spec.replicas: 0 -> 3"}},
		"from nothing":          {from: `{}`, to: `{"replicas":3}`, live: `{}`, want: []string{"spec.replicas: absent -> 3"}},
		"nothing":               {from: `{"replicas":3}`, to: `{"replicas":3}`, live: `{"replicas":3}`},
		"nothing to nothing":    {from: `{}`, to: `{}`, live: `{}`},
		"a live one moved on":   {from: `{"replicas":1}`, to: `{"replicas":3}`, live: `{"replicas":7}`, want: []string{"spec.replicas: 1 -> 3"}},
		"a live one moved here": {from: `{"replicas":1}`, to: `{"replicas":3}`, live: `{"replicas":3}`, want: []string{"spec.replicas: 1 -> 3"}},
		"elsewhere":             {from: `{"replicas":1}`, to: `{"replicas":3}`, live: `{"size":{"count":1}}`, path: ".spec.size.count", want: []string{"spec.size.count: 1 -> 3"}},
		"where nothing is":      {from: `{}`, to: `{"replicas":3}`, live: `{}`, path: ".spec.size.count", want: []string{"spec.size.count: absent -> 3"}},
		"cut to 32 bits":        {from: `{"replicas":3}`, to: `{"replicas":4}`, live: `{"replicas":4294967299}`, want: []string{"spec.replicas: 4294967299 -> 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			live := parent(tc.live)
			a, err := Normalise(Request{
				Operation: v1alpha1.OperationUpdate, Group: "example.com", Version: "v1", Resource: "gadgets", Subresource: "scale", Kind: "Scale",
				Namespace: "shop", Name: "web", OldObject: scale(tc.from), Object: scale(tc.to),
			}, Facts{Kind: KindFacts{Kind: "Gadget", Namespaced: true, PreferredVersion: "v1", SpecReplicasPath: tc.path}, Target: live})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Join(append(tc.want, ""), "\n"), changesText(a.Changes)); d != "" {
				t.Error(d)
			}
			if got := changesText(diff(without(a.Old, "metadata", "resourceVersion"), without(a.New, "metadata", "resourceVersion"), nil)); got != changesText(a.Changes) {
				t.Errorf("the contents differ by %s", got)
			}
			if textAt(a.Old, "metadata", "resourceVersion") != "8" || textAt(a.Target, "metadata", "resourceVersion") != "9" {
				t.Error("the versions reviewed and live cannot be told apart")
			}
			if !equal(live, parent(tc.live)) {
				t.Error("the live object was changed")
			}
			if a.Subresource != "" || a.Kind != "Gadget" || a.UID != "1" {
				t.Errorf("got %s of %s %s", a.Subresource, a.Kind, a.UID)
			}
		})
	}
}

func TestDeleteOptions(t *testing.T) {
	pod := func(status string) string {
		return `{"metadata":{"name":"web","namespace":"shop","uid":"1"},"spec":{"nodeName":"n1","terminationGracePeriodSeconds":30},"status":` + status + `}`
	}
	seconds := func(n int64) *int64 { return &n }
	for name, tc := range map[string]struct {
		resource, object, options string
		want                      DeleteOptions
		wantForced                bool
	}{
		"a pod":                   {object: pod(`{}`), options: `{}`, want: DeleteOptions{GracePeriodSeconds: seconds(30), PropagationPolicy: "Background"}},
		"a pod without options":   {object: pod(`{}`), want: DeleteOptions{GracePeriodSeconds: seconds(30), PropagationPolicy: "Background"}},
		"a pod with more time":    {object: pod(`{}`), options: `{"gracePeriodSeconds":60}`, want: DeleteOptions{GracePeriodSeconds: seconds(60), PropagationPolicy: "Background"}},
		"a pod by force":          {object: pod(`{}`), options: `{"gracePeriodSeconds":0}`, want: DeleteOptions{GracePeriodSeconds: seconds(0), PropagationPolicy: "Background"}, wantForced: true},
		"less than nothing":       {object: pod(`{}`), options: `{"gracePeriodSeconds":-5}`, want: DeleteOptions{GracePeriodSeconds: seconds(1), PropagationPolicy: "Background"}},
		"a pod that has ended":    {object: pod(`{"phase":"Succeeded"}`), options: `{"gracePeriodSeconds":60}`, want: DeleteOptions{GracePeriodSeconds: seconds(0), PropagationPolicy: "Background"}, wantForced: true},
		"a pod that never ran":    {object: `{"metadata":{"name":"web"},"spec":{"terminationGracePeriodSeconds":30}}`, want: DeleteOptions{GracePeriodSeconds: seconds(0), PropagationPolicy: "Background"}, wantForced: true},
		"a pod being deleted":     {object: `{"metadata":{"name":"web","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, options: `{"gracePeriodSeconds":7}`, want: DeleteOptions{GracePeriodSeconds: seconds(7)}},
		"a pod with an orphan":    {object: `{"metadata":{"name":"web","finalizers":["orphan"]}}`, want: DeleteOptions{GracePeriodSeconds: seconds(0)}, wantForced: true},
		"another kind":            {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{}`},
		"another kind by force":   {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"gracePeriodSeconds":0}`, want: DeleteOptions{GracePeriodSeconds: seconds(0)}, wantForced: true},
		"orphans":                 {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"propagationPolicy":"Orphan"}`, want: DeleteOptions{PropagationPolicy: "Orphan"}},
		"orphans, the older way":  {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"orphanDependents":true}`, want: DeleteOptions{PropagationPolicy: "Orphan"}},
		"no orphans, that way":    {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"orphanDependents":false}`, want: DeleteOptions{PropagationPolicy: "Background"}},
		"only that one":           {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"preconditions":{"uid":"1"}}`, want: DeleteOptions{UID: "1"}},
		"what cannot be read too": {resource: "configmaps", object: `{"metadata":{"name":"web"}}`, options: `{"ignoreStoreReadErrorWithClusterBreakingPotential":true}`, want: DeleteOptions{IgnoreReadError: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.resource == "" {
				tc.resource = "pods"
			}
			a, err := Normalise(Request{
				Operation: v1alpha1.OperationDelete, Version: "v1", Resource: tc.resource, Namespace: "shop",
				OldObject: []byte(tc.object), Options: []byte(tc.options),
			}, Facts{Kind: podKind})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tc.want, a.Delete); d != "" {
				t.Error(d)
			}
			if a.Delete.Forced() != tc.wantForced {
				t.Errorf("forced: %t", a.Delete.Forced())
			}
			if a.Name != "web" {
				t.Errorf("name %q is not that of the object", a.Name)
			}
		})
	}
}

func TestGeneratedNames(t *testing.T) {
	long := strings.Repeat("x", 80)
	for name, tc := range map[string]struct {
		name, prefix   string
		want, wantName string
	}{
		"generated":            {name: "web-bcdfg", prefix: "web-", want: "web-"},
		"chosen":               {name: "web", wantName: "web"},
		"chosen over a prefix": {name: "admin", prefix: "web-", wantName: "admin"},
		"a letter too many":    {name: "web-bcdfgh", prefix: "web-", wantName: "web-bcdfgh"},
		"other letters":        {name: "web-aeiou", prefix: "web-", wantName: "web-aeiou"},
		"a long prefix":        {name: long[:58] + "bcdfg", prefix: long, want: long},
		"nothing":              {},
	} {
		t.Run(name, func(t *testing.T) {
			object := canonicalText(map[string]any{"metadata": map[string]any{"name": tc.name, "generateName": tc.prefix}})
			a, err := Normalise(Request{Operation: v1alpha1.OperationCreate, Version: "v1", Resource: "pods", Name: tc.name, Object: []byte(object)}, Facts{Kind: podKind})
			if err != nil {
				t.Fatal(err)
			}
			if a.GenerateName != tc.want || a.Name != tc.wantName {
				t.Errorf("got prefix %q and name %q", a.GenerateName, a.Name)
			}
		})
	}
}

func TestUnknownSubresourceStays(t *testing.T) {
	a, err := Normalise(Request{
		Operation: v1alpha1.OperationCreate, Group: "example.com", Version: "v1", Resource: "gadgets", Subresource: "polish", Kind: "PolishRequest",
		Namespace: "shop", Name: "g", Object: []byte(`{"kind":"PolishRequest","spec":{"hard":true}}`),
	}, Facts{Kind: KindFacts{Kind: "Gadget", Namespaced: true, PreferredVersion: "v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Operation != v1alpha1.OperationCreate || a.Subresource != "polish" || a.Kind != "Gadget" || a.Name != "g" {
		t.Errorf("got %s %s/%s of %s %s", a.Operation, a.Resource, a.Subresource, a.Kind, a.Name)
	}
	if a.SelectedBy(func(map[string]string) bool { return true }) {
		t.Error("a selector chooses what has no labels that anybody knows")
	}
}

// TestHostileRequests bounds the time that a request takes which is made to take much: to normalise it, and to hash it.
func TestHostileRequests(t *testing.T) {
	items := func(n int, format string) string {
		texts := make([]string, n)
		for i := range texts {
			texts[i] = strings.ReplaceAll(format, "#", strconv.Itoa(i))
		}
		return strings.Join(texts, ",")
	}
	deep := func(depth int, inner string) string {
		return strings.Repeat(`{"f:a":`, depth) + inner + strings.Repeat("}", depth)
	}
	object := func(managed, content string) string {
		return `{"metadata":{"managedFields":[` + managed + `]},` + content + `}`
	}
	services := Request{Resource: "services"}
	for name, tc := range map[string]struct {
		request  Request
		from, to string
	}{
		"many owners of one name": {
			from: object(entry("m", "Update", "", `{"f:x":{}}`), `"spec":1`),
			to:   object(items(20_000, entry("m", "Update", "", `{"f:a#":{}}`)), `"spec":2`),
		},
		"many owners": {
			from: object(items(20_000, entry("m#", "Update", "1", `{"f:spec":{}}`)), `"spec":1`),
			to:   object(items(20_000, entry("n#", "Update", "2", `{"f:spec":{}}`)), `"spec":2`),
		},
		"many owned fields under a change": {
			from: object(entry("m", "Update", "", `{"f:x":{}}`), `"x":1`),
			to:   object(entry("m", "Update", "", `{"f:x":`+deep(200, `{`+items(50_000, `"f:#":{}`)+`}`)+`}`), `"x":{}`),
		},
		"owned too deep": {
			from: object(entry("m", "Update", "", `{"f:x":{}}`), `"x":1`),
			to:   object(entry("m", "Update", "", deep(9_000, `{}`)), `"x":{}`),
		},
		"many ports": {
			request: services,
			from:    object(entry("m", "Update", "", `{"f:spec":{"f:ports":{`+items(20_000, `"k:{\"port\":#,\"protocol\":\"TCP\"}":{"f:port":{}}`)+`}}}`), `"spec":{"ports":[`+items(20_000, `{"port":#}`)+`]}`),
			to:      object(entry("m", "Update", "", `{"f:spec":{"f:ports":{`+items(20_000, `"k:{\"port\":#,\"protocol\":\"TCP\"}":{"f:port":{}}`)+`}}}`), `"spec":{"ports":[`+items(20_000, `{"port":#,"nodePort":#}`)+`]}`),
		},
		"much applied": {
			from: annotated(`{"spec":1}`, `"spec":{"a":1}`),
			to:   annotated(`{"spec":`+strings.Repeat(`{"a":`, 200)+`{`+items(15_000, `"k#":1`)+`}`+strings.Repeat("}", 200)+`}`, `"spec":`+strings.Repeat(`{"a":`, 200)+`{`+items(15_000, `"k#":1`)+`}`+strings.Repeat("}", 200)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Resource == "" {
				tc.request = ofDeployment
			}
			start := time.Now()
			a := updateOf(t, tc.request, hasStatus, tc.from, tc.to)
			if a.Empty() {
				t.Error("no changes")
			}
			hasher.Hash(a)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s for %d bytes", took, len(tc.from)+len(tc.to))
			}
		})
	}
}

func FuzzNormalise(f *testing.F) {
	operations := []v1alpha1.Operation{"CREATE", "UPDATE", "DELETE", "CONNECT", ""}
	resources := []string{"pods", "deployments", "secrets", "services", "jobs", "bindings", "serviceaccounts", "certificatesigningrequests", "controllerrevisions"}
	groups := []string{"", "apps", "batch", "certificates.k8s.io"}
	subresources := []string{"", "scale", "eviction", "binding", "token", "exec", "proxy", "status", "x"}
	for i, name := range reviewNames(f) {
		r, facts := readReview(f, name)
		f.Add(byte(i), byte(i), byte(i), byte(i), r.Object, r.OldObject, r.Options, []byte(canonicalText(facts.Target)), r.Name)
	}
	names := reviewNames(f)
	for i, mutant := range reviewtest.Mutants(f, objects(f), 1000) {
		r, facts := readReview(f, names[i%len(names)])
		f.Add(byte(i), byte(i/5), byte(i/25), byte(i/225), mutant, r.OldObject, r.Options, []byte(canonicalText(facts.Target)), r.Name)
		f.Add(byte(i), byte(i/5), byte(i/25), byte(i/225), r.Object, mutant, r.Options, mutant, r.Name)
	}
	deep := []byte(`{"metadata":` + strings.Repeat(`{"annotations":`, 9_999) + `1` + strings.Repeat("}", 10_000))
	f.Add(byte(1), byte(1), byte(1), byte(0), deep, []byte(`{}`), []byte(`[]`), []byte(`{}`), "x")
	f.Fuzz(func(t *testing.T, operation, group, resource, subresource byte, object, oldObject, options, target []byte, name string) {
		r := Request{
			Operation: operations[int(operation)%len(operations)], Group: groups[int(group)%len(groups)], Version: "v1",
			Resource: resources[int(resource)%len(resources)], Subresource: subresources[int(subresource)%len(subresources)],
			Namespace: "shop", Name: name, Object: object, OldObject: oldObject, Options: options,
		}
		facts := Facts{Kind: KindFacts{Kind: "Pod", Namespaced: true, PreferredVersion: "v1", HasStatus: group%2 == 0}}
		facts.Target, _ = DecodeObject(target)
		start := time.Now()
		a, err := Normalise(r, facts)
		carried, errCarried := Normalise(carry(r), facts)
		if fmt.Sprint(err) != fmt.Sprint(errCarried) {
			t.Errorf("the error is %v where the objects come decoded, else %v", errCarried, err)
		}
		if err != nil {
			return
		}
		if hasher.Hash(a) != hasher.Hash(carried) {
			t.Error("the hash differs where the objects come decoded")
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s for %d bytes", took, len(object)+len(oldObject))
		}
		checkAction(t, a)
		checkSpelling(t, a, r, facts)
	})
}

// checkAction uses all of an action, for what must hold whatever it is.
func checkAction(t *testing.T, a *Action) {
	t.Helper()
	_ = a.SelectedBy(func(map[string]string) bool { return true })
	_, _ = a.ServiceAccounts()
	_ = hasher.Hash(a)
	_, _ = a.Redact(a.Old), a.Redact(a.New)
	for _, c := range a.Changes {
		from, to := a.Render(c)
		if c.From.Present == (from == "") || c.To.Present == (to == "") {
			t.Errorf("%s: rendered %q -> %q", c.Path, from, to)
		}
		if len([]rune(from)) > maxRendered || len([]rune(to)) > maxRendered {
			t.Errorf("%s: rendered too long", c.Path)
		}
		text := c.Path.String()
		if len(text) > maxPatternLength {
			continue
		}
		pattern, err := ParsePattern(text)
		if err != nil || !pattern.Covers(c.Path) {
			t.Errorf("%q does not cover itself: %v", text, err)
		}
	}
	for _, g := range a.Grants() {
		if !g.Path.hasPrefix(g.Field) {
			t.Errorf("%s is not under %s", g.Path, g.Field)
		}
	}
}

// checkSpelling wants the same action, with the same hash, of the same objects with their keys in another order and other
// spaces; and no change where the object stays the same.
func checkSpelling(t *testing.T, a *Action, r Request, facts Facts) {
	t.Helper()
	for _, raw := range []*[]byte{&r.Object, &r.OldObject} {
		object, err := DecodeObject(*raw)
		if err != nil {
			continue // an operation that does not look at it
		}
		*raw = backwards(object)
	}
	again, err := Normalise(r, facts)
	if err != nil {
		t.Errorf("another spelling is refused: %v", err)
		return
	}
	if hasher.Hash(a) != hasher.Hash(again) {
		t.Errorf("another spelling has another hash: %s", r.Object)
	}
}

// backwards is an object as JSON with spaces, and its keys from the last to the first.
func backwards(v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		text := []byte("{ ")
		for i, key := range slices.Backward(slices.Sorted(maps.Keys(v))) {
			text = append(append(text, canonicalText(key)...), " : "...)
			text = append(text, backwards(v[key])...)
			if i > 0 {
				text = append(text, " , "...)
			}
		}
		return append(text, '}')
	case []any:
		text := []byte("[ ")
		for i, element := range v {
			if i > 0 {
				text = append(text, " , "...)
			}
			text = append(text, backwards(element)...)
		}
		return append(text, ']')
	default:
		return []byte(canonicalText(v))
	}
}
