package policy

import (
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestDecisionKnowsTheWindows wants a decision to say of each policy what its windows say, which is what the decision log
// keeps, and nothing but that.
func TestDecisionKnowsTheWindows(t *testing.T) {
	set := setOf(t, map[string]string{
		"closed":            subjects + windows + "changeWindows: {allowed: [nights]}" + rollImages,
		"closed-and-frozen": subjects + windows + "changeWindows: {allowed: [nights]}\nfreezes: [{window: year-end}]" + rollImages,
		"frozen":            subjects + windows + "changeWindows: {allowed: [days]}\nfreezes: [{window: year-end}]" + rollImages,
		"none":              subjects + rollImages,
		"open":              subjects + windows + "changeWindows: {allowed: [days]}\nfreezes: [{window: nights}]" + rollImages,
		"task-is-closed":    subjects + windows + rollImages + "  changeWindows: {allowed: [nights]}",
	})
	d := set.Decide(Input{Action: update(imagePath), Now: berlinNoon, NamespaceLabels: map[string]string{}})
	want := map[string]v1alpha1.WindowState{
		"closed": v1alpha1.WindowClosed, "closed-and-frozen": v1alpha1.WindowFrozen, "frozen": v1alpha1.WindowFrozen,
		"none": v1alpha1.WindowOpen, "open": v1alpha1.WindowOpen, "task-is-closed": v1alpha1.WindowOpen,
	}
	if len(d.Policies) != len(want) || len(d.Windows) != len(want) {
		t.Fatalf("%d policies and %d states, want %d", len(d.Policies), len(d.Windows), len(want))
	}
	for i, p := range d.Policies {
		if d.Windows[i] != want[p.Name] || p.WindowAt(berlinNoon) != want[p.Name] {
			t.Errorf("%s is %s in the decision and %s by itself, want %s", p.Name, d.Windows[i], p.WindowAt(berlinNoon), want[p.Name])
		}
	}
}
