package operatortest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/internal/support"
)

// Seal has the operator's binary render the files of level 4 into a directory, which is also where they will lie.
func Seal(tb testing.TB, directory string, args ...string) {
	tb.Helper()
	args = append([]string{"seal", "--output", directory, "--directory", directory}, args...)
	if output, err := exec.CommandContext(tb.Context(), Binary(tb), args...).CombinedOutput(); err != nil {
		tb.Fatalf("countersign %v: %v\n%s", args, err, output)
	}
}

// StartSealed starts a control plane whose API server has the files of level 4 in a directory, until the test ends. The test is
// skipped on a version that would ignore them.
func StartSealed(tb testing.TB, directory string) *controlplane.Plane {
	tb.Helper()
	plane, err := controlplane.Start(tb.Context(), controlplane.Options{Flags: map[string][]string{controlplane.APIServer: append(sealFlags(tb),
		"--admission-control-config-file="+filepath.Join(directory, protection.AdmissionFile),
		"--authorization-config="+filepath.Join(directory, protection.AuthorizationFile),
	)}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return plane
}

// sealFlags are what an API server needs to read admission policies from files, besides the two flags for the files.
func sealFlags(tb testing.TB) []string {
	tb.Helper()
	plane := controlplane.Shared(tb)
	feature, err := plane.Feature(tb.Context(), support.SealingGate)
	switch {
	case err != nil:
		tb.Fatal(err)
	case !feature.Known:
		tb.Skipf("Kubernetes %s does not have the feature %s", plane.Binaries().Kubernetes, support.SealingGate)
	case !feature.Enabled:
		return []string{"--feature-gates=" + support.SealingGate + "=true"}
	}
	return nil
}
