package guard

import (
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

var now = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

func decode(t testing.TB, raw string) map[string]any {
	t.Helper()
	if raw == "" {
		return nil
	}
	object, err := action.DecodeObject([]byte(raw))
	if err != nil {
		t.Fatalf("decoding %.80s: %v", raw, err)
	}
	return object
}

// request is a request of the deploy bot about Deployment shop/web.
func request(operation v1alpha1.Operation, oldObject, object string) action.Request {
	r := action.Request{
		Operation: operation, Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Namespace: "shop", Name: "web",
		Actor: action.Actor{Username: "system:serviceaccount:ci:deploy-bot", UID: "u1", Groups: []string{"a", "b"}},
	}
	if oldObject != "" {
		r.OldObject = []byte(oldObject)
	}
	if object != "" {
		r.Object = []byte(object)
	}
	return r
}

func normalise(t testing.TB, r action.Request) *action.Action {
	t.Helper()
	kind := action.KindFacts{Kind: r.Kind, Namespaced: r.Namespace != "", PreferredVersion: r.Version, HasStatus: true}
	a, err := action.Normalise(r, action.Facts{Kind: kind})
	if err != nil {
		t.Fatalf("normalising: %v", err)
	}
	return a
}

func update(t testing.TB, oldObject, object string) *action.Action {
	t.Helper()
	return normalise(t, request(v1alpha1.OperationUpdate, oldObject, object))
}

func compiled(t testing.TB, expression, message string) *Guard {
	t.Helper()
	g, errs := Compile(&v1alpha1.Guard{Name: "g", Expression: expression, MessageExpression: message}, field.NewPath("guards").Index(0))
	if len(errs) > 0 {
		t.Fatalf("compiling %s: %v", expression, errs)
	}
	return g
}

func run(t testing.TB, a *action.Action, expression, message string) Result {
	t.Helper()
	in := Input{Action: a, Now: now, NamespaceLabels: map[string]string{"team": "shop", "env": "prod"}}
	return NewEvaluation(in, nil).Run(compiled(t, expression, message), "shop/roll")
}

const (
	three = `{"metadata":{"name":"web","namespace":"shop","labels":{"app":"web","a/b":"c"}},"spec":{"replicas":3,"paused":true,"ratio":0.5,"big":1e19,"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/web:1"}]}}}}`
	ten   = `{"metadata":{"name":"web","namespace":"shop","labels":{"app":"web","a/b":"c"}},"spec":{"replicas":10,"paused":true,"ratio":0.5,"big":1e19,"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/web:2"}]}}}}`
)

// variableTests are true about the action that TestVariables names.
var variableTests = map[string]string{
	"object and oldObject":         `object.spec.replicas == 10 && oldObject.spec.replicas == 3 && object.spec.replicas - oldObject.spec.replicas == 7`,
	"an integer is an int":         `type(object.spec.replicas) == int && object.spec.replicas / 4 == 2`,
	"a fraction is a double":       `type(object.spec.ratio) == double && object.spec.ratio == 0.5`,
	"a large number is a double":   `type(object.spec.big) == double && object.spec.big > 1e18`,
	"a truth value":                `object.spec.paused == true`,
	"keys in quotes":               `object.metadata.labels['a/b'] == 'c' && 'app' in object.metadata.labels && !('x' in object.metadata.labels)`,
	"lists":                        `object.spec.template.spec.containers.all(c, c.image.startsWith('registry.example.com/'))`,
	"keys come in their order":     `object.metadata.labels.map(k, k) == ['a/b', 'app']`,
	"absent fields":                `!has(object.spec.strategy) && object.?spec.strategy.type.orValue('none') == 'none'`,
	"fields that are CEL keywords": `object.metadata.namespace == 'shop' && request.namespace == 'shop'`,
	"request":                      `request.operation == 'UPDATE' && request.name == 'web' && request.kind.kind == 'Deployment' && request.kind.group == 'apps' && request.resource.resource == 'deployments' && request.resource.version == 'v1' && !request.dryRun`,
	"who asks":                     `request.userInfo.username.endsWith(':deploy-bot') && 'b' in request.userInfo.groups && request.userInfo.uid == 'u1'`,
	"no subresource":               `!has(request.subResource)`,
	"a subresource":                `request.subResource == 'status'`,
	"no options but of a deletion": `!has(request.options)`,
	"the namespace":                `namespaceObject.metadata.name == 'shop' && namespaceObject.metadata.labels.team == 'shop' && namespaceObject.metadata.labels.map(k, k) == ['env', 'team']`,
	"changes":                      `changes.size() == 2 && changes.exists(c, c.path == 'spec.replicas' && c.from == 3 && c.to == 10) && changes.exists(c, c.path == 'spec.template.spec.containers[name=web].image')`,
	"task and now":                 `task == 'shop/roll' && now.getHours('Europe/Berlin') == 12 && now.getHours() == 11 && now - timestamp('2026-11-23T10:00:00Z') == duration('1h')`,
	"a creation":                   `oldObject == null && object.spec.replicas == 3 && changes.size() == 0 && request.operation == 'CREATE'`,
	"a deletion":                   `object == null && oldObject.metadata.name == 'shop' && request.options.gracePeriodSeconds == 0 && request.options.propagationPolicy == 'Orphan' && request.dryRun`,
	"of no namespace":              `namespaceObject == null && !has(request.namespace)`,
	"libraries":                    `quantity('1Gi').isGreaterThan(quantity('500Mi')) && url('https://example.com/x').getHost() == 'example.com' && 'a,b'.split(',') == ['a', 'b'] && sets.contains([1, 2], [1]) && ip('10.0.0.1').family() == 4 && semver('1.2.3').major() == 1 && [1, 2].sum() == 3 && 'abc'.find('[b-c]+') == 'bc' && '%s-%d'.format(['a', 1]) == 'a-1'`,
	"functions of dynamic values":  `object.spec.template.spec.containers[0].image.matches('^registry[.]example[.]com/web:[0-9]+$') && object.metadata.name.replace('w', 'v') == 'veb' && object.metadata.name in ['web', 'api'] && 3 in [object.spec.replicas, dyn(3)] && object.metadata.labels.size() == 2 && string(object.spec.replicas) == '10' && object != oldObject && object == object`,
	"two variables":                `object.metadata.labels.all(k, v, k != v) && object.metadata.labels.transformMap(k, v, v + '!')['app'] == 'web!'`,
}

func TestVariables(t *testing.T) {
	scaled := update(t, three, ten)
	created := normalise(t, request(v1alpha1.OperationCreate, "", three))
	deleted := normalise(t, action.Request{
		Operation: v1alpha1.OperationDelete, Version: "v1", Resource: "namespaces", Kind: "Namespace", Name: "shop", DryRun: true,
		OldObject: []byte(`{"metadata":{"name":"shop"}}`), Options: []byte(`{"gracePeriodSeconds":0,"propagationPolicy":"Orphan"}`),
	})
	status := normalise(t, func() action.Request {
		r := request(v1alpha1.OperationUpdate, three, ten)
		r.Subresource = "status"
		return r
	}())
	other := map[string]*action.Action{
		"a subresource":   status,
		"a creation":      created,
		"a deletion":      deleted,
		"of no namespace": deleted,
	}
	for name, expression := range variableTests {
		t.Run(name, func(t *testing.T) {
			a := scaled
			if other[name] != nil {
				a = other[name]
			}
			if got := run(t, a, expression, ""); got.Verdict != Passed {
				t.Errorf("%s: %s", got.Verdict, got.Text)
			}
		})
	}
}

// TestConcurrent evaluates the same guards about the same action many times at once.
func TestConcurrent(t *testing.T) {
	a := update(t, three, ten)
	guards := map[string]*Guard{}
	want := map[string]Result{}
	for name, expression := range variableTests {
		guards[name] = compiled(t, expression, "string(changes.size())")
		want[name] = NewEvaluation(Input{Action: a, Now: now}, nil).Run(guards[name], "")
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			e := NewEvaluation(Input{Action: a, Now: now}, nil)
			for name, g := range guards {
				if got := e.Run(g, ""); got != want[name] {
					t.Errorf("%s: got %+v, want %+v", name, got, want[name])
				}
			}
		})
	}
	group.Wait()
}
