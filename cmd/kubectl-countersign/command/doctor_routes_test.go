package command

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/policy"
)

// TestRoutesFollowReservedRights wants doctor to ask about each right that agents must not grant, and no other.
func TestRoutesFollowReservedRights(t *testing.T) {
	var asked []string
	for i := range routesAround {
		asked = append(asked, routesAround[i].what)
	}
	slices.Sort(asked)
	reserved := policy.ReservedRights()
	slices.Sort(reserved)
	if diff := cmp.Diff(reserved, slices.Compact(asked)); diff != "" {
		t.Errorf("rights (-reserved +asked about):\n%s", diff)
	}
}
