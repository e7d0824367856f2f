package policy_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/policy"
)

// TestAllReasons holds the list against the constants.
func TestAllReasons(t *testing.T) {
	text, err := os.ReadFile("decision.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []policy.Reason
	for _, found := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		declared = append(declared, policy.Reason(found[1]))
	}
	if diff := cmp.Diff(declared, policy.AllReasons()); diff != "" {
		t.Errorf("(-declared +listed):\n%s", diff)
	}
}
