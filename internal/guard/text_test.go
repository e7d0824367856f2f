package guard

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// golden compares lines with a file.
func golden(t *testing.T, file string, lines []string) {
	t.Helper()
	got := strings.Join(lines, "\n") + "\n"
	if *updateGolden {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// TestCompileErrors shows what an author is told.
func TestCompileErrors(t *testing.T) {
	var lines []string
	for _, expression := range []string{
		`objec.spec.replicas == 1`,
		`foo() && bar && x.y() && z && w`,
		"true &&\n  objekt.spec == 1",
		`object.spec.replicas`,
		`'a'`,
		`object.spec.replicas <`,
		`object.all(a, b`,
		`1 + 'a' == 2`,
		`request.requestKind.kind == 'x'`,
		`request.userInfo.extra.size() == 0`,
		`namespaceObject.metadata.annotations.size() == 0`,
		`changes.exists(c, c.field == 'x')`,
		`authorizer.group('').resource('pods').check('get').allowed()`,
		`params.x == 1`,
		`variables.x == 1`,
		`object.x.matches('[')`,
		`object.x.matches('` + strings.Repeat(`.{1000}`, 20) + `')`,
		`duration('x') > duration('1s')`,
		`int('x') == 1`,
		`optional.of(1)` + strings.Repeat(`.optMap(a, a)`, 30) + `.value() == 1`,
		`[1]` + strings.Repeat(`.map(a, [a])`, 40) + ` == []`,
		strings.Repeat(`(`, 300) + `true` + strings.Repeat(`)`, 300),
		`true` + strings.Repeat(` `, maxExpression),
	} {
		g, errs := Compile(&v1alpha1.Guard{Name: "g", Expression: expression}, field.NewPath("spec", "guards").Index(0))
		if g != nil || len(errs) != 1 || errs[0].Field != "spec.guards[0].expression" || strings.Contains(errs[0].Detail, "\n") {
			t.Fatalf("%s: %v", expression, errs)
		}
		lines = append(lines, fmt.Sprintf("%.80q\n    %s", expression, errs[0].Detail))
	}
	golden(t, "testdata/compile-errors.golden", lines)
}

// TestAllErrorsAtOnce checks that both expressions of a guard are looked at.
func TestAllErrorsAtOnce(t *testing.T) {
	_, errs := Compile(&v1alpha1.Guard{Name: "g", Expression: "1", MessageExpression: "2"}, field.NewPath("spec", "guards").Index(3))
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	want := []string{
		`spec.guards[3].expression: Invalid value: "1": must give bool, but gives int`,
		`spec.guards[3].messageExpression: Invalid value: "2": must give string, but gives int: convert it with string(...)`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestFailures shows what whoever is refused is told about a guard that fails. The object holds "hunter2" wherever an
// error of CEL might show a value.
func TestFailures(t *testing.T) {
	const object = `{"metadata":{"name":"web","namespace":"shop","labels":{"app":"hunter2"}},"spec":{"replicas":3,"paused":true,"secret":"hunter2","hunter2":1,"inexact":0.1000000000000000000001,"list":["hunter2"],"template":{"spec":{"containers":[{"name":"web"}]}}}}`
	updated := update(t, object, object)
	created := normalise(t, request(v1alpha1.OperationCreate, "", object))
	deleted := normalise(t, request(v1alpha1.OperationDelete, object, ""))
	var lines []string
	show := func(what string, a *action.Action, labels map[string]string, expressions ...string) {
		for _, expression := range expressions {
			result := NewEvaluation(Input{Action: a, Now: now, NamespaceLabels: labels}, nil).Run(compiled(t, expression, ""), "")
			if result.Verdict != Failed || strings.Contains(result.Text, "hunter2") {
				t.Errorf("%s of %s: %+v", expression, what, result)
			}
			lines = append(lines, expression+"\n    "+result.Text)
		}
	}
	labels := map[string]string{}
	show("an update", updated, labels,
		`object.spec.minReadySeconds < 5`,
		`object.spec.strategy.type == 'Recreate'`,
		`has(object.spec.strategy.rollingUpdate.maxSurge)`,
		`object.spec.template.spec.containers.all(c, c.securityContext.privileged == false)`,
		`object.spec.template.spec.volumes.size() == 0`,
		`object.metadata.labels['team'] == 'x'`,
		`object.metadata.labels[object.spec.secret] == 'x'`,
		`namespaceObject.metadata.labels['team'] == 'x'`,
		`request.subResource == 'x'`,
		`object.spec.template.spec.containers[3].name == 'x'`,
		`object.spec.secret + 1 == 2`,
		`int(object.spec.secret) == 1`,
		`timestamp(object.spec.secret) == now`,
		`duration(object.spec.list[0]) == duration('1s')`,
		`object.spec.secret in object.spec.replicas`,
		`quantity(object.spec.secret).isGreaterThan(quantity('1'))`,
		`url(object.spec.secret).getHost() == 'x'`,
		`object.spec.replicas / (object.spec.replicas - 3) == 1`,
		`object.spec.replicas * 9223372036854775807 == 1`,
		`object.spec.replicas.startsWith('a')`,
		`object.spec.replicas.matches('a')`,
		`object.spec.replicas.find('a') == ''`,
		`dyn(1).orValue(2) == 1`,
		`object.spec.replicas && true`,
		`object.spec.inexact > 0.0`,
		`object.spec[object.spec.secret + 'x'] == 1`,
		`object.?spec.foo.value() == 1`,
		`object.spec.secret.matches(object.spec.secret + '[')`,
		`object.spec.list.map(x, int(x)).sum() == 1`,
		`'%d'.format([object.spec.secret]) == 'x'`,
		`lists.range(1000000).all(a, a >= 0)`,
	)
	show("a creation", created, labels, `object.spec.replicas - oldObject.spec.replicas <= 5`)
	show("a deletion", deleted, labels, `object.spec.replicas > 0`)
	show("an update in an unknown namespace", updated, nil, `namespaceObject.metadata.labels.team == 'x'`)
	golden(t, "testdata/failures.golden", lines)
}

// TestMessages checks what is shown of a messageExpression, and that it holds no secret.
func TestMessages(t *testing.T) {
	scaled := update(t, three, ten)
	secret := normalise(t, action.Request{
		Operation: v1alpha1.OperationUpdate, Version: "v1", Resource: "secrets", Kind: "Secret", Namespace: "shop", Name: "db",
		OldObject: []byte(`{"metadata":{"name":"db"},"data":{"password":"b25l"}}`), Object: []byte(`{"metadata":{"name":"db"},"data":{"password":"dHdv"}}`),
	})
	for name, tc := range map[string]struct {
		action              *action.Action
		expression, message string
		want                string
	}{
		"as written":         {scaled, `false`, `'scaling by ' + string(object.spec.replicas - oldObject.spec.replicas) + ' replicas at once'`, "scaling by 7 replicas at once"},
		"none":               {scaled, `object.spec.replicas < 5`, ``, "failed expression: object.spec.replicas < 5"},
		"a long expression":  {scaled, "object.spec.replicas < 5 ||\n\tobject.metadata.name == '" + strings.Repeat("x", 200) + "'", ``, "failed expression: object.spec.replicas < 5 ||  object.metadata.name == '" + strings.Repeat("x", 105) + "…"},
		"it fails":           {scaled, `false`, `string(object.spec.nothing)`, "failed expression: false"},
		"it is empty":        {scaled, `false`, `' '`, "failed expression: false"},
		"several lines":      {scaled, `false`, `'a\nb'`, "failed expression: false"},
		"control characters": {scaled, `false`, `'a\u001b[31mb\u202ec'`, `a\u001b[31mb\u202ec`},
		"a long text":        {scaled, `false`, `'` + strings.Repeat("é", 400) + `'`, strings.Repeat("é", maxMessage-1) + "…"},
		"too much":           {scaled, `false`, `string(lists.range(1000000).filter(a, a > 0).size())`, "failed expression: false"},
		"secret data":        {secret, `object.data.password == 'b25l'`, `'it was ' + oldObject.data.password + ', is ' + object.data.password`, "it was ***, is ***"},
		"secret changes":     {secret, `changes.all(c, c.to == 'b25l')`, `changes.map(c, c.path + ': ' + c.from + ' -> ' + c.to).join(', ')`, "data.password: *** -> ***"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, tc.action, tc.expression, tc.message); got != (Result{Violated, tc.want}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestAsCEL holds the verdicts against those of CEL's own programs, which ValidatingAdmissionPolicy uses.
func TestAsCEL(t *testing.T) {
	l, err := loadLanguage()
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]*action.Action{"scale": update(t, three, ten), "create": normalise(t, request(v1alpha1.OperationCreate, "", three))}
	for _, name := range []string{"long list", "many keys", "null", "text of nothing"} {
		small := strings.Replace(hostileObjects()[name], strings.Repeat(`1,`, 39_900), "", 1)
		actions[name] = update(t, small, ten)
	}
	expressions := append(slices.Collect(maps.Values(variableTests)), hostileExpressions[:3]...)
	expressions = append(expressions,
		`optional.none().or(optional.of(1)).value() == 1 && optional.of(2).or(optional.of(1/0)).value() == 2`,
		`optional.of(2).orValue(1/0) == 2 && optional.none().orValue(3) == 3`,
		`dyn(1).orValue(2) == 1`, `optional.none().orValue(1/0) == 1`,
		`object.?spec.?x.optMap(v, v == object.spec.x).orValue(true)`,
		`dyn(1) == 1.0 && dyn(1u) == 1 && dyn('1') != 1 && dyn([1, 2]) == [1.0, 2.0] && dyn({'a': 1}) == {'a': 1.0} && 1 < 1.5`,
		`([1] + [2, 3] + []) == [1, 2, 3] && ([] + []).size() == 0 && ([1] + [2])[1] == 2 && [[1], [2]].map(x, x + [0]) == [[1, 0], [2, 0]]`,
		`'a' + 'b' == 'ab' && 1 + 1 == 2 && b'a' + b'b' == b'ab' && duration('1h') + duration('1h') == duration('2h') && 'äö'.size() == 2`,
		`[1, 2, 3].map(x, x > 1, x * 2) == [4, 6] && [1, 2].filter(x, x > 1) + [3] == [2, 3]`, `dyn([1]) + dyn('a') == [1]`, `dyn([1]) + dyn(1) == [1]`,
		`true || 1/0 == 1`, `1/0 == 1 || true`, `false && 1/0 == 1`, `1/0 == 1 && true`, `(1/0 == 1) == (1/0 == 1)`,
		`[1, 2, 3].exists_one(x, x > 2) && [3, 1, 2].sort() == [1, 2, 3] && [1, 1].distinct() == [1] && [[1], [2]].flatten() == [1, 2]`,
		`'a.b'.split('.').join('-').replace('-', '+').indexOf('+') == 1 && 'aXb'.lowerAscii().find('x') == 'x' && 'a1b2'.findAll('[0-9]') == ['1', '2']`,
		`object.spec.x.size() > 0`, `object.spec.x == null`, `object.metadata == oldObject.metadata`, `oldObject == object`,
		`type(object.spec) == map && type(object.spec.x) == list`, `quantity('1k').asInteger() == 1000 && isQuantity('x') == false`,
		`'x' in object.spec && !('y' in object.spec) && object.spec['x'] == object.spec.x`,
		`timestamp('2026-11-23T11:00:00Z') == now && duration('90m').getHours() == 1 && bytes('a') == b'a' && string(b'a') == 'a'`,
		`[object.spec, oldObject.spec].exists(s, has(s.x) ? s.x == object.spec.x : false)`,
	)
	compared := 0
	for _, expression := range expressions {
		checked, issues := l.env.Compile(expression)
		if issues.Err() != nil || !checked.OutputType().IsExactType(cel.BoolType) {
			t.Fatalf("%s: %v", expression, issues.Err())
		}
		program, err := l.env.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		g := compiled(t, expression, "")
		for name, a := range actions {
			e := NewEvaluation(Input{Action: a, Now: now, NamespaceLabels: map[string]string{"team": "shop", "env": "prod"}}, nil)
			got := e.Run(g, "shop/roll")
			value, _, err := program.Eval(e.plain)
			want := Violated
			switch {
			case err != nil:
				want = Failed
			case value.Value() == true:
				want = Passed
			}
			if got.Verdict != want {
				t.Errorf("%s about %s: %s %s, and CEL says %v %v", expression, name, got.Verdict, got.Text, value, err)
			}
			compared++
		}
	}
	if compared < 200 {
		t.Errorf("only %d compared", compared)
	}
}

// TestNumbers checks that every number is what it was, or an error.
func TestNumbers(t *testing.T) {
	for literal, want := range map[string]string{
		"0": "int 0", "-1": "int -1", "9223372036854775807": "int 9223372036854775807", "-9223372036854775808": "int -9223372036854775808",
		"0.5": "double 0.5", "1e3": "double 1000", "-0.0": "double -0", "-0": "double -0", "100000000000000000000": "double 1e+20", "1.50": "double 1.5",
		"0.1": "double 0.1", "5e-324": "double 5e-324", "1.7976931348623157e308": "double 1.7976931348623157e+308",
		"9223372036854775808": "", "9007199254740993.5": "", "1e400": "", "1e-400": "", "1e999999999999": "", "0.1000000000000000000001": "", "0e999999999": "double 0",
	} {
		v := adapter{}.NativeToValue(decode(t, `{"n":`+literal+`}`)["n"])
		got := fmt.Sprintf("%s %v", v.Type().TypeName(), v.Value())
		if v.Type().TypeName() == "error" {
			got = ""
		}
		if got != want {
			t.Errorf("%s is %q, want %q", literal, got, want)
		}
	}
}
