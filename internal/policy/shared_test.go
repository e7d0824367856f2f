package policy

import (
	"runtime"
	"strings"
	"testing"
)

func TestPoliciesShareWhatIsTheSame(t *testing.T) {
	const one = subjects + `
timeZone: Europe/Berlin
windows: [{name: nights, weekly: {days: [Mon], start: "22:00", end: "02:00"}}]
changeWindows: {allowed: [nights]}
tasks:
- name: roll
  scope: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}], namespaces: [shop]}
`
	compiled := func(spec string) *Policy { return Compile(policyOf(t, "p", spec), Identity{}) }
	a, b := compiled(one), compiled(one)
	if a.timing != b.timing || a.governs != b.governs || a.tasks[0] != b.tasks[0] || a.windows["nights"] != b.windows["nights"] {
		t.Error("policies that say the same hold it twice")
	}
	if c := compiled(one + "governs: {namespaceSelector: {matchLabels: {tier: prod}}}\n"); a.governs == c.governs || a.timing != c.timing {
		t.Error("another selector: the windows are the same, what is governed is not")
	}
	for name, other := range map[string]string{
		"zone":   strings.Replace(one, "Europe/Berlin", "UTC", 1),
		"window": strings.Replace(one, "22:00", "21:00", 1),
	} {
		c := compiled(other)
		if a.timing == c.timing || a.tasks[0] == c.tasks[0] || a.windows["nights"] == c.windows["nights"] {
			t.Errorf("another %s: policies share what is not the same", name)
		}
	}
	c := compiled(strings.Replace(one, "[shop]", "[shop-2]", 1))
	if a.timing != c.timing || a.tasks[0] == c.tasks[0] {
		t.Error("another scope: the windows are the same, the task is not")
	}
	runtime.KeepAlive(b)
}

// TestSharedPartsGo wants what no policy uses any more to leave memory, its key included.
func TestSharedPartsGo(t *testing.T) {
	var s shared[task]
	func() {
		part := s.one("key", &task{name: "first"})
		if again := s.one("key", &task{name: "second"}); again != part {
			t.Fatalf("the part that is in use is not found: %+v", again)
		}
		runtime.KeepAlive(part)
	}()
	for kept := 1; kept > 0; { // until the cleanup has run, which has no other sign
		runtime.GC()
		kept = 0
		s.parts.Range(func(any, any) bool { kept++; return true })
	}
	if next := s.one("key", &task{name: "third"}); next.name != "third" {
		t.Errorf("a part that is gone is found: %+v", next)
	}
}
