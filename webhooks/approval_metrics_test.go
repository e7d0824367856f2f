package webhooks_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestApprovalMetrics has an agent ask and a person answer, and reads at each of two replicas, one of which is elected, how
// many requests wait and since when.
func TestApprovalMetrics(t *testing.T) {
	e, addresses := newMeasured(t, 2)
	forget(t, e)
	want := func(when string, oldest *v1alpha1.ActionApproval, counts ...string) {
		t.Helper()
		for _, address := range addresses {
			wantCounted(t, when, address, oldest, counts)
		}
	}
	want("nobody has asked", nil)
	s := newStory(t, e, consentToAll)
	first := s.asked(t, s.scaling(t, 5))
	want("one waits", first, "Pending")
	second := s.asked(t, func() error { return s.agent.Create(t.Context(), configMap(s.namespace, "second")) })
	want("two wait", first, "Pending", "Pending")

	allowed(t, decide(t.Context(), s.person, first, "Approve"))
	want("one of two is approved", second, "Approved", "Pending")
	redeem(t, s.scaling(t, 5))
	waitState(t, e, first, "Spent")
	want("it was used", second, "Pending", "Spent")
	allowed(t, decide(t.Context(), s.person, second, "Deny"))
	waitState(t, e, second, "Denied")
	want("both are answered", nil, "Denied", "Spent")

	forget(t, e)
	want("nothing is kept", nil)
}

// newMeasured is newReplicated with metrics of each replica, and their addresses.
func newMeasured(t *testing.T, n int) (e *environment, addresses []string) {
	t.Helper()
	e, replicas := newReplicated(t, n)
	for i := range n {
		if err := replicas.Kill(i); err != nil {
			t.Fatal(err)
		}
	}
	// Who was killed has not given it up, and would be waited for.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: electionLease}}
	if err := e.admin.Delete(t.Context(), lease); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t)))
		replicas.Restart(t, i, "--metrics-bind-address", addresses[i])
	}
	return e, addresses
}

// forget deletes all approvals, as retention does with those that have ended.
func forget(t *testing.T, e *environment) {
	t.Helper()
	var all v1alpha1.ActionApprovalList
	if err := e.admin.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		if err := e.admin.Delete(t.Context(), &all.Items[i]); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
}

// wantCounted waits until the metrics at an address count one approval of each of some states, which may repeat, and none of
// the others, and tell since when the oldest request waits.
func wantCounted(t *testing.T, when, address string, oldest *v1alpha1.ActionApproval, states []string) {
	t.Helper()
	counts := map[string]int{}
	for _, s := range states {
		counts[s]++
	}
	var want []string
	if oldest != nil {
		since := strconv.FormatFloat(float64(oldest.CreationTimestamp.Unix()), 'g', -1, 64)
		want = append(want, "countersign_approval_oldest_pending_timestamp_seconds "+since)
	}
	for _, s := range []string{"Approved", "Denied", "Expired", "NoLongerNeeded", "Other", "Pending", "Revoked", "Spent", "Void"} {
		want = append(want, fmt.Sprintf("countersign_approvals{state=%q} %d", s, counts[s]))
	}
	operatortest.Eventually(t, when, func(ctx context.Context) error {
		text, err := operatortest.Fetch(ctx, "http://"+address+"/metrics")
		if err != nil {
			return err
		}
		var got []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "countersign_approval") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if a, b := strings.Join(want, "\n"), strings.Join(got, "\n"); a != b {
			return fmt.Errorf("the metrics of approvals are\n%s\nwant\n%s", b, a)
		}
		return nil
	})
}
