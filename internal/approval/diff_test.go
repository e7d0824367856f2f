package approval

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

func TestDiffsReadWell(t *testing.T) {
	secret := func(value string) map[string]any {
		return map[string]any{
			"kind": "Secret", "metadata": map[string]any{"name": "db"}, "type": "Opaque",
			"data": map[string]any{"password": value, "user": "canary-same"},
		}
	}
	cluster := &action.Action{
		Operation: v1alpha1.OperationUpdate, Resource: "namespaces", Kind: "Namespace", Name: "shop",
		Old: map[string]any{"metadata": map[string]any{"name": "shop"}},
		New: map[string]any{"metadata": map[string]any{"name": "shop", "labels": map[string]any{"note": "a\x1b[2J\u202eb\nkind: Fake"}}},
	}
	created := deployment(3, "web:1", "10", 1)
	for name, a := range map[string]*action.Action{
		"scale": scaleUp(),
		"image": imageUpdate(),
		"secret": {
			Operation: v1alpha1.OperationUpdate, Resource: "secrets", Kind: "Secret", Namespaced: true, Namespace: "shop", Name: "db",
			Old: secret("canary-1"), New: secret("canary-2"),
		},
		"create":  {Operation: v1alpha1.OperationCreate, Group: "apps", Resource: "deployments", Kind: "Deployment", Namespaced: true, Namespace: "shop", GenerateName: "web-", New: created},
		"delete":  deletion(nil),
		"cluster": cluster,
		"exec": {
			Operation: v1alpha1.OperationConnect, Resource: "pods", Subresource: "exec", Kind: "Pod", Namespaced: true, Namespace: "shop", Name: "web-0",
			New: map[string]any{"kind": "PodExecOptions", "command": []any{"sh", "-c", "ls"}, "stdin": true},
		},
		"status": {
			Operation: v1alpha1.OperationUpdate, Group: "apps", Resource: "deployments", Subresource: "status", Kind: "Deployment", Namespaced: true, Namespace: "shop", Name: "web",
			Old: map[string]any{"status": map[string]any{"replicas": int64(1)}}, New: map[string]any{"status": map[string]any{"replicas": int64(2)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Diff(a)
			checkGolden(t, "diff-"+name, got)
			checkShowable(t, got)
			if Diff(a) != got {
				t.Error("not stable")
			}
		})
	}
}

func checkShowable(t *testing.T, diff string) {
	t.Helper()
	if strings.Contains(diff, "canary") || len(diff) > 8<<10 || diff == "" {
		t.Errorf("%d bytes, or a secret:\n%s", len(diff), diff)
	}
	for _, r := range diff {
		if r != '\n' && !legible.Visible(r) {
			t.Errorf("%U can play tricks on a terminal", r)
		}
	}
}

func TestDiffIsCutAtALine(t *testing.T) {
	data := map[string]any{}
	for i := range 1000 {
		data[fmt.Sprintf("key%04d", i)] = "value"
	}
	a := &action.Action{
		Operation: v1alpha1.OperationCreate, Resource: "configmaps", Kind: "ConfigMap", Namespaced: true, Namespace: "shop", Name: "big",
		New: map[string]any{"data": data, "z": strings.Repeat("long", 1000)},
	}
	lines := strings.Split(strings.TrimSuffix(Diff(a), "\n"), "\n")
	shown := len(lines) - 1
	if got, want := lines[shown], fmt.Sprintf("# %d more lines", 1000+4-shown); got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	checkShowable(t, Diff(a))
	if last := lines[shown-1]; !strings.HasSuffix(last, ": value") {
		t.Errorf("cut within a line: %q", last)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	a := scaleUp()
	a.New = with(a.New, "annotations", map[string]any{"note": strings.Repeat("long ", 1000)})
	for line := range strings.Lines(Diff(a)) {
		if len(line) > 410 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// What is too large to be compared line by line is shown as the list of changes.
func TestDiffOfLargeObjects(t *testing.T) {
	lines := map[string]any{}
	for i := range 5000 {
		lines[fmt.Sprintf("k%d", i)] = int64(i)
	}
	a := scaleUp()
	a.Old["data"], a.New["data"] = lines, lines
	checkGolden(t, "diff-large", Diff(a))
}

func FuzzDiff(f *testing.F) {
	f.Add("spec", "a", "b\nc", "canary\x1b")
	f.Add("status", "***", "*** (after)", "\u202e")
	f.Add("a\ufeff", "\u009b", "\x00\x7f", "\U000e0041")
	f.Fuzz(func(t *testing.T, field, before, after, name string) {
		content := func(v string) map[string]any {
			return map[string]any{field: v, "list": []any{v, map[string]any{"name": name, "env": []any{map[string]any{"name": name, "value": "canary" + v}}}}}
		}
		a := &action.Action{Operation: v1alpha1.OperationUpdate, Kind: "Thing", Name: name, Old: content(before), New: content(after)}
		got := Diff(a)
		if strings.Contains(before+after+name+field, "canary") {
			got = strings.ReplaceAll(got, "canary", "")
		}
		checkShowable(t, got)
		if strings.Contains(got, notShown) && !strings.Contains(before+after+name+field, notShown) {
			t.Errorf("it hides everything:\n%s", got)
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	a := scaleUp()
	for i := range 1900 { // the worst that is compared: all lines alike, and none the same
		a.Old[fmt.Sprintf("k%d", i)], a.New[fmt.Sprintf("k%d", i)] = int64(i), int64(i+1)
	}
	for b.Loop() {
		Diff(a)
	}
}
