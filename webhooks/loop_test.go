package webhooks_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

var refusals = flag.Int("refusals", 2000, "how often TestRefusalLoop repeats a command that is refused")

// clients is how many clients an agent in a loop has.
const clients = 32

// inParallel calls a function n times, by many clients at once, and returns how often it succeeded.
func inParallel(n int, act func(i int) error) (succeeded int64) {
	var next, passed atomic.Int64
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if act(int(i)) == nil {
					passed.Add(1)
				}
			}
		})
	}
	group.Wait()
	return passed.Load()
}

// TestRefusalLoop has an agent that does not take no for an answer: after the first refusal nothing more is written.
func TestRefusalLoop(t *testing.T) {
	s := newEnvironment(t).scene(t, asks)
	web := deployment(s.namespace, "web")
	waitState(t, s.environment, s.request, "Pending")
	before, began := s.read(t), time.Now()
	passed := inParallel(*refusals, func(int) error {
		err := patch(t.Context(), s.agent, web, types.MergePatchType, toFive)
		if err != nil && !strings.Contains(err.Error(), "approval="+s.namespace+"/"+s.request.Name) {
			t.Errorf("the answer is %v, want a refusal that names the request", err)
		}
		return err
	})
	t.Logf("%d refusals took %s", *refusals, time.Since(began))
	if passed != 0 {
		t.Errorf("%d of them passed", passed)
	}
	if diff := cmp.Diff(before, s.read(t)); diff != "" {
		t.Errorf("the request was written (-before +after):\n%s", diff)
	}
	if n := len(s.pending(t)); n != 1 {
		t.Errorf("there are %d requests", n)
	}
	if events := s.events(t); len(events) == 0 || len(events) > 5 {
		t.Errorf("there are %d events: %+v", len(events), events)
	}
}

// pending are the requests in the namespace that wait for people.
func (s *scene) pending(t *testing.T) []v1alpha1.ActionApproval {
	t.Helper()
	var list, pending v1alpha1.ActionApprovalList
	allowed(t, s.admin.List(t.Context(), &list, client.InNamespace(s.namespace)))
	for i := range list.Items {
		if approval.Evaluate(&list.Items[i], time.Now()) == approval.Pending {
			pending.Items = append(pending.Items, list.Items[i])
		}
	}
	return pending.Items
}

// events are the events about approvals in the namespace.
func (s *scene) events(t *testing.T) []string {
	t.Helper()
	var list eventsv1.EventList
	allowed(t, s.admin.List(t.Context(), &list, client.InNamespace(s.namespace)))
	var about []string
	for i := range list.Items {
		if e := &list.Items[i]; e.Regarding.Kind == "ActionApproval" {
			about = append(about, fmt.Sprintf("%s %s: %s", e.Regarding.Name, e.Reason, e.Note))
		}
	}
	return about
}

// mostPending is how many requests of one agent may wait.
const mostPending = 20

// TestManyRequests has an agent ask for a hundred things at once, when it may have one more request.
func TestManyRequests(t *testing.T) {
	s := newEnvironment(t).scene(t, asks)
	// Nobody else than the operator, as which the administrator counts here, opens requests without a limit to their rate.
	for i := 1; i < mostPending-1; i++ {
		another := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: fmt.Sprintf("another-%d", i)}}
		another.Spec = *s.request.Spec.DeepCopy()
		another.Spec.Action.Hash = fmt.Sprintf("v1:another-%d", i)
		allowed(t, s.admin.Create(t.Context(), another))
		waitState(t, s.environment, another, "Pending") // so the operator has seen it
	}
	ctx := context.WithoutCancel(t.Context())
	passed := inParallel(100, func(i int) error { return s.agent.Create(ctx, configMap(s.namespace, fmt.Sprintf("many-%d", i))) })
	if passed != 0 {
		t.Errorf("%d of them passed", passed)
	}
	if n := len(s.pending(t)); n != mostPending {
		t.Errorf("%d requests wait for people, want %d", n, mostPending)
	}
	err := s.agent.Create(ctx, configMap(s.namespace, "one-more"))
	checkRefusal(t, err, "20 requests of this account wait for people already, no further one is opened")
}
