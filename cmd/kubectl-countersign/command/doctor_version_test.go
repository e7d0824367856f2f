package command

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/support"
)

func TestDoctorSaysWhatAVersionLacks(t *testing.T) {
	const unsealable = "; level 4 of protection needs Kubernetes 1.37, or 1.36 with a feature gate; level 3 is the highest here"
	tests := map[string]finding{
		"v1.33.9": {Severity: failing, Text: "Kubernetes is v1.33.9: upgrade the cluster; Countersign needs Kubernetes 1.34 or later" + unsealable},
		"v1.34.4": {Severity: healthy, Text: "Kubernetes is v1.34.4, and Countersign needs 1.34.0 or later" + unsealable},
		"v1.37.2": {Severity: healthy, Text: "Kubernetes is v1.37.2, and Countersign needs 1.34.0 or later"},
		"v1.38.0": {Severity: healthy, Text: "Kubernetes is v1.38.0, and Countersign needs 1.34.0 or later; Countersign was tested with Kubernetes 1.34 to 1.37"},
		"x":       {Severity: unknown, Text: "the version of the API server cannot be read: it is \"x\""},
	}
	for version, want := range tests {
		t.Run(version, func(t *testing.T) {
			d := doctor{e: &Environment{}, report: report{form: "json"}}
			d.version(support.Of(version))
			if diff := cmp.Diff([]finding{want}, d.report.findings); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
