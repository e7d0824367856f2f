package protection_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

// TestRoutesFollowReservedRights wants each right that agents must not grant in the table, with a question about it, and
// no question about any other.
func TestRoutesFollowReservedRights(t *testing.T) {
	var asked []string
	for _, r := range protection.Routes() {
		if len(r.Probes) > 0 {
			asked = append(asked, r.What)
		}
		for i := range r.Probes {
			p := &r.Probes[i]
			_, resource, _ := strings.Cut(p.String(), " ")
			if !policy.IsReservedRight(p.Verb, p.Group, resource, p.Namespaced) {
				t.Errorf("%s: the right to %s is not reserved", r.What, p)
			}
		}
	}
	slices.Sort(asked)
	reserved := policy.ReservedRights()
	slices.Sort(reserved)
	if diff := cmp.Diff(reserved, asked); diff != "" {
		t.Errorf("rights (-reserved +asked about):\n%s", diff)
	}
}

// TestRoutesSayWhatClosesThem wants the words of each route to name what its level is about, and each route once.
func TestRoutesSayWhatClosesThem(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range protection.Routes() {
		want := ""
		switch r.Closed {
		case protection.Webhooks, protection.Policy:
			want = "the webhook"
		case protection.Sealed:
			want = "level 4"
		case protection.NoLevel:
			if want = "no level"; r.What == protection.ReadSecrets {
				want = "only level 4 with --deny-secrets"
			}
		default:
			t.Fatalf("%s is closed at level %d", r.What, r.Closed)
		}
		if !strings.Contains(r.Why, want) {
			t.Errorf("%s: %q does not say %q", r.What, r.Why, want)
		}
		if seen[r.What] || r.Do == "" {
			t.Errorf("%s is there twice, or nothing is said to do", r.What)
		}
		seen[r.What] = true
		for i := range r.Probes {
			if from := r.ClosedFrom(&r.Probes[i]); from > r.Closed || from < protection.Webhooks {
				t.Errorf("%s: %s is closed at level %d, the route at %d", r.What, &r.Probes[i], from, r.Closed)
			}
		}
	}
	if _, known := protection.RouteTo("paint the office"); known {
		t.Error("a route is found that there is not")
	}
}
