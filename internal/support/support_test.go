package support

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	tests := map[string]struct {
		standing Standing
		sealing  Sealing
		notes    []string // a part of each
	}{
		"v1.33.9":           {TooOld, NotSealable, []string{"needs Kubernetes 1.34", "level 3 is the highest"}},
		"v1.34.0":           {Tested, NotSealable, []string{"level 3 is the highest"}},
		"v1.34.1-gke.100":   {Tested, NotSealable, []string{"level 3 is the highest"}},
		"v1.35.4":           {Tested, NotSealable, []string{"level 3 is the highest"}},
		"v1.36.3":           {Tested, SealableByGate, []string{"ManifestBasedAdmissionControlConfig"}},
		"v1.37.2":           {Tested, Sealable, nil},
		"v1.37.0-rc.1+k3s1": {Tested, Sealable, nil},
		"v1.38.0-alpha.1":   {Newer, Sealable, []string{"tested with Kubernetes 1.34 to 1.37"}},
		"v2.0.0":            {Newer, Sealable, []string{"tested with Kubernetes 1.34 to 1.37"}},
		"":                  {Unreadable, NotSealable, []string{"cannot be read"}},
		"unknown":           {Unreadable, NotSealable, []string{"cannot be read"}},
	}
	for version, tc := range tests {
		t.Run(version, func(t *testing.T) {
			got := Of(version)
			if got.Version != version || got.Standing != tc.standing || got.Sealing != tc.sealing {
				t.Errorf("got %+v, want %s and %s", got, tc.standing, tc.sealing)
			}
			notes := got.Notes()
			if len(notes) != len(tc.notes) {
				t.Fatalf("the notes are %q, want %q", notes, tc.notes)
			}
			for i, want := range tc.notes {
				if !strings.Contains(notes[i], want) {
					t.Errorf("note %q, want %q", notes[i], want)
				}
			}
		})
	}
}

func TestUnknownStanding(t *testing.T) {
	if notes := (Server{Standing: "New"}).Notes(); len(notes) != 1 || !strings.Contains(notes[0], "does not know") {
		t.Errorf("the notes are %q", notes)
	}
}
