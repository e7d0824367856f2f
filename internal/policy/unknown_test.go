package policy

import (
	"strings"
	"testing"
)

// TestUnknownFields wants a policy with fields that nobody has read to refuse what it governs, and to say first which.
func TestUnknownFields(t *testing.T) {
	const elsewhere = "governs: {resourceRules: [{apiGroups: [batch], resources: [jobs], operations: [\"*\"]}]}\n"
	for name, tc := range map[string]struct {
		spec    string
		unknown []string
		want    Outcome
	}{
		"none":                          {subjects + rollImages, nil, Allow},
		"of a task":                     {subjects + rollImages, []string{"spec.tasks[0].quota"}, Deny},
		"with another error":            {subjects + "timeZone: Mars\nwindows: [{name: w, weekly: {days: [Mon], start: \"00:00\", end: \"01:00\"}}]" + rollImages, []string{"spec.later"}, Deny},
		"about something else":          {subjects + elsewhere, []string{"spec.later"}, Allow},
		"of what the policy is about":   {subjects + elsewhere, []string{"spec.governs.zones"}, Deny},
		"of what a rule of it is about": {subjects + elsewhere, []string{"spec.governs.resourceRules[0].kinds"}, Deny},
	} {
		t.Run(name, func(t *testing.T) {
			stored := policyOf(t, "p", tc.spec)
			p := CompileStored(stored, tc.unknown, Identity{})
			set := NewSet([]*Policy{p}, Operator{})
			d := set.Decide(Input{Action: update(imagePath), Now: berlinNoon})
			if d.Outcome != tc.want {
				t.Fatalf("the decision is %+v", d)
			}
			read := NewSet([]*Policy{Compile(stored, Identity{})}, Operator{})
			if len(tc.unknown) == 0 {
				if set.State() != read.State() || len(p.Errors) > 0 {
					t.Errorf("it differs from a policy that was read whole: %v", p.Errors)
				}
				return
			}
			if set.State() == read.State() {
				t.Error("it passes for the policy that others have read whole")
			}
			if d.Outcome == Deny && !strings.Contains(d.Obstacles[0].Detail, tc.unknown[0]+": Forbidden: this version of Countersign does not know the field") {
				t.Errorf("the obstacle is %+v", d.Obstacles[0])
			}
		})
	}
}

// TestManyUnknownFields bounds what is said of them.
func TestManyUnknownFields(t *testing.T) {
	p := CompileStored(policyOf(t, "p", subjects+rollImages), make([]string, 1000), Identity{})
	if len(p.Errors) != maxUnknown || len(p.Unknown) != 1000 {
		t.Errorf("there are %d errors", len(p.Errors))
	}
}
