package webhooks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// TestPolicyTexts asks for the texts of many decisions in turns: whatever is remembered, each gets its own.
func TestPolicyTexts(t *testing.T) {
	var decisions []*policy.Decision
	for n := range 4 {
		d := &policy.Decision{}
		for i := range n {
			d.Policies = append(d.Policies, &policy.Policy{Name: fmt.Sprintf("policy-%d", i), UID: "u", Hash: "h", Generation: int64(n)})
			d.Windows = append(d.Windows, v1alpha1.WindowOpen)
		}
		decisions = append(decisions, d)
		if n > 1 {
			// The first policy and their number are the same as before, but nothing else.
			frozen, shuffled := *d, *d
			frozen.Windows = append(d.Windows[:n-1:n-1], v1alpha1.WindowFrozen)
			shuffled.Policies = append(d.Policies[:n-1:n-1], &policy.Policy{Name: "another"})
			decisions = append(decisions, &frozen, &shuffled)
		}
	}
	w := &policyWriter{}
	for range 3 {
		for i, d := range decisions {
			got := w.texts(d)
			want := writePolicies(d)
			if diff := cmp.Diff([]string{want.record, want.hashes}, []string{got.record, got.hashes}); diff != "" || got.err != nil {
				t.Errorf("decision %d (-want +got): %v\n%s", i, got.err, diff)
			}
		}
	}
	if first, again := w.texts(decisions[1]), w.texts(decisions[1]); first != again {
		t.Error("the texts of a decision are not remembered")
	}
}

// TestPolicyTextsAreBounded has more texts written than are remembered.
func TestPolicyTextsAreBounded(t *testing.T) {
	w := &policyWriter{}
	for i := range 100 {
		d := &policy.Decision{
			Policies: []*policy.Policy{{Name: fmt.Sprint(i) + strings.Repeat("x", maxPolicyTexts/10)}},
			Windows:  []v1alpha1.WindowState{v1alpha1.WindowOpen},
		}
		w.texts(d)
		if len(w.known) > 10 || w.size > maxPolicyTexts {
			t.Fatalf("%d texts of %d bytes are remembered", len(w.known), w.size)
		}
	}
}
