package guard

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// bounded runs something that must end soon and take little memory, whatever it is. What is not bounded takes minutes or
// all memory; the bounds leave room for a machine that is busy.
func bounded(t testing.TB, what string, run func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	run()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	if took > 30*time.Second || allocated > 2048 {
		t.Errorf("%.200s: took %s and %d MiB", what, took, allocated)
	}
	if testing.Verbose() {
		t.Logf("%.100s: %s, %d MiB", what, took, allocated)
	}
}

// hostileObjects are contents that an agent may send.
func hostileObjects() map[string]string {
	object := func(spec string) string { return `{"metadata":{"name":"web","namespace":"shop"},"spec":` + spec + `}` }
	elements := func(element string) string { return strings.TrimSuffix(strings.Repeat(element+",", 40_000), ",") }
	distinct := make([]string, 40_000)
	for i := range distinct {
		distinct[i] = fmt.Sprintf(`"%d"`, i)
	}
	return map[string]string{
		"deep":            object(`{"x":` + strings.Repeat(`{"x":`, 9_990) + `1` + strings.Repeat(`}`, 9_990) + `}`),
		"deep lists":      object(`{"x":` + strings.Repeat(`[`, 9_990) + strings.Repeat(`]`, 9_990) + `}`),
		"long list":       object(`{"x":[` + elements(`1`) + `]}`),
		"distinct texts":  object(`{"x":[` + strings.Join(distinct, ",") + `]}`),
		"list of objects": object(`{"x":[` + elements(`{"a":"b","c":[1,2]}`) + `]}`),
		"many keys":       object(`{"x":{` + strings.Join(distinct, ":1,") + `:1}}`),
		"long text":       object(`{"x":"` + strings.Repeat("a", 1<<20) + `"}`),
		"large numbers":   object(`{"x":[1e999999999,-0,1e-999999999,99999999999999999999,0.1000000000000000000000001]}`),
		"huge quantity":   object(`{"x":"1e2147483647"}`),
		"tiny quantity":   object(`{"x":"1e-2147483648"}`),
		"long quantity":   object(`{"x":"` + strings.Repeat("9", 1<<20) + `"}`),
		"text of nothing": object(`{"x":""}`),
		"null":            object(`{"x":null}`),
	}
}

// hostileExpressions are what a careless or malicious author may write.
var hostileExpressions = []string{
	`object == oldObject`,
	`object.spec.x == oldObject.spec.x && oldObject.spec.x == object.spec.x`,
	`object.spec.x.all(a, object.spec.x.all(b, object.spec.x.all(c, a == b || b == c || true)))`,
	`object.spec.x.all(a, object == oldObject)`,
	`object.spec.x.all(a, a in object.spec.x)`,
	`sets.contains(object.spec.x, oldObject.spec.x)`,
	`sets.equivalent(object.spec.x.map(a, a), object.spec.x.map(a, a))`,
	`object.spec.x.distinct().size() > 0`,
	`object.spec.x.flatten(10000).size() > 0`,
	`object.spec.x.map(a, string(a)).sort().size() > 0`,
	`object.spec.x.map(a, string(a)).join(string(object.spec.x[0])).size() > 0`,
	`object.spec.x.replace('a', object.spec.x).size() > 0`,
	`object.spec.x.replace('', object.spec.x).size() > 0`,
	`object.spec.x.split('').size() > 0`,
	`object.spec.x.indexOf(object.spec.x.substring(1)) > 0`,
	`object.spec.x.lastIndexOf(object.spec.x.substring(0, 500000) + 'b') > 0`,
	`object.spec.x.contains(object.spec.x)`,
	`object.spec.x.matches('(a|aa)+b$')`,
	`object.spec.x.matches('(.*)(.*)(.*)(.*)(.*)[^a]')`,
	`object.spec.x.matches('.{1000}.{1000}.{1000}b')`,
	`object.spec.x.matches(object.spec.x)`,
	`object.spec.x.findAll('a').size() > 0`,
	`object.spec.x.find('a*' + 'b').size() > 0`,
	`'%s%s%s%s'.format([object, object.spec.x, object, object]).size() > 0`,
	`'%.999999f%.999999f%.999999f'.format([1.5, 1.5, 1.5]).size() > 0`,
	`'` + strings.Repeat(`%.99999f`, 200) + `'.format([` + strings.TrimSuffix(strings.Repeat(`1.5,`, 200), ",") + `]).size() > 0`,
	`quantity(object.spec.x).isGreaterThan(quantity('1'))`,
	`quantity('1e2147483647').add(quantity('1')).isGreaterThan(quantity('1e-2147483647'))`,
	`lists.range(1000000000).size() > 0`,
	`lists.range(1000000).all(a, lists.range(1000000).size() > 0)`,
	`[[1, 2]]` + strings.Repeat(`.map(a, a + a)`, 30) + `[0].size() > 0`,
	`3 in [[1, 2]]` + strings.Repeat(`.map(a, a + a)`, 30) + `[0]`,
	`[[1, 2]]` + strings.Repeat(`.map(a, a + a)`, 30) + `[0] == [1]`,
	`[[1, 2]]` + strings.Repeat(`.map(a, a + a)`, 30) + `[0].sum() > 1`,
	`[[1, 2]]` + strings.Repeat(`.map(a, [a, a])`, 28) + ` == [[1, 2]]` + strings.Repeat(`.map(a, [a, a])`, 28),
	`[{'a': 1}]` + strings.Repeat(`.map(a, {'x': a, 'y': a})`, 28) + ` == [{'a': 1}]` + strings.Repeat(`.map(a, {'x': a, 'y': a})`, 28),
	`[[]]` + strings.Repeat(`.map(a, a + a + a + a + a + a)`, 30) + `[0].size() > 0`,
	`lists.range(100000).all(i, [[1]]` + strings.Repeat(`.map(a, a + a)`, 18) + `[0].size() > 0)`,
	`lists.range(100000).all(i, object.spec.x.size() > i || object.spec.x.size() <= i)`,
	`['a']` + strings.Repeat(`.map(a, a + a)`, 30) + `[0].size() > 0`,
	`['abcdefgh']` + strings.Repeat(`.map(a, a.replace('a', a))`, 30) + `[0].size() > 0`,
	`[string(object.spec.x)]` + strings.Repeat(`.map(a, a + a)`, 30) + `[0].size() > 0`,
	strings.Repeat(`[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(a, `, 12) + `true` + strings.Repeat(`)`, 12),
	strings.Repeat(`(`, 2000) + `true` + strings.Repeat(`)`, 2000),
	strings.Repeat(`!`, 4000) + `true`,
	strings.Repeat(`[`, 2000) + strings.Repeat(`]`, 2000) + ` == []`,
	`object` + strings.Repeat(`.x`, 2000) + ` == 1`,
	`true` + strings.Repeat(` || true`, 500),
	`false` + strings.Repeat(` || object.spec.x == oldObject.spec.x && false`, 90),
	`int(object.spec.x) == 1 || uint(object.spec.x) == 1u || double(object.spec.x) == 1.0 || duration(object.spec.x) == duration('1s') || timestamp(object.spec.x) == now`,
	`object.spec.x.transformMap(k, v, v).size() > 0`,
	`object.spec.x.transformList(i, v, {'a': v}).size() > 0`,
	`dyn([1, 2, 3]).map(a, [a])[0][0][0] == 1`,
	`optional.of(object).value() == oldObject`,
	`string(bytes(string(object.spec.x))) == 'a'`,
	`object.spec.x.sort() == []`,
	`optional.of(1)` + strings.Repeat(`.optMap(a, a)`, 30) + `.value() == 1`,
	`optional.of(object)` + strings.Repeat(`.optMap(a, a)`, maxDoubling) + `.value() == 1`,
	`[1]` + strings.Repeat(`.map(a, [a, a])`, 240) + ` == []`,
	`lists.range(100000).all(a, object.spec.x < oldObject.spec.x || object.spec.x.startsWith(oldObject.spec.x))`,
	`lists.range(100000).all(a, now.getHours('Europe/Berlin') < 25 || now.getHours(object.spec.x) < 25)`,
	`format.named('dns1123Label').value().validate(object.spec.x).hasValue()`,
}

// TestHostile runs every expression about every object: it must come to an end, and mostly does so in a failure.
func TestHostile(t *testing.T) {
	actions := map[string]*action.Action{}
	for name, object := range hostileObjects() {
		actions[name] = update(t, object, object)
	}
	for _, expression := range hostileExpressions {
		var g *Guard
		bounded(t, "compiling "+expression, func() {
			g, _ = Compile(&v1alpha1.Guard{Name: "g", Expression: expression}, field.NewPath("guards"))
		})
		if g == nil {
			continue
		}
		for name, a := range actions {
			bounded(t, expression+" about "+name, func() {
				result := NewEvaluation(Input{Action: a, Now: now}, nil).Run(g, "")
				if result.Verdict == "" || strings.Contains(result.Text, "\n") || len([]rune(result.Text)) > 600 {
					t.Errorf("%s about %s: %+v", expression, name, result)
				}
			})
		}
	}
}

// TestBudgetOfOneDecision checks that many guards together end, as one does.
func TestBudgetOfOneDecision(t *testing.T) {
	a := update(t, three, ten)
	dear := compiled(t, `lists.range(300).all(a, lists.range(300).all(b, a + b >= 0))`, "")
	e := NewEvaluation(Input{Action: a, Now: now}, nil)
	counts := map[string]int{}
	bounded(t, "64 guards", func() {
		for range 64 {
			result := e.Run(dear, "")
			counts[string(result.Verdict)+" "+result.Text]++
		}
	})
	if counts["Failed "+errDecisionCost.Error()] == 0 || counts["Passed "] == 0 || len(counts) != 2 {
		t.Errorf("got %v", counts)
	}
}

// TestDeadline checks that a guard ends when the time is over, before it begins and while it runs.
func TestDeadline(t *testing.T) {
	a := update(t, hostileObjects()["list of objects"], ten)
	over := make(chan struct{})
	close(over)
	if got := NewEvaluation(Input{Action: a, Now: now}, over).Run(compiled(t, "true", ""), ""); got != (Result{Failed, errTime.Error()}) {
		t.Errorf("got %+v", got)
	}
	for name, expression := range map[string]string{
		"in a loop": `lists.range(10000).all(a, a + a + a + a >= 0)`,
		"in calls":  `oldObject.spec.x == oldObject.spec.x`,
	} {
		t.Run(name, func(t *testing.T) {
			g, done := compiled(t, expression, ""), make(chan struct{})
			e := NewEvaluation(Input{Action: a, Now: now}, done)
			if result := e.Run(g, ""); result.Verdict != Passed {
				t.Fatalf("with time left: %+v", result)
			}
			if err := e.meter.begin(); err != nil {
				t.Fatal(err)
			}
			close(done)
			if _, err := g.condition.run(e.plain); !errors.Is(err, errTime) {
				t.Errorf("got %v", err)
			}
		})
	}
}
