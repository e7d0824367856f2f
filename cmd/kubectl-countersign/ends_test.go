package main_test

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// testWaitEnds waits for what has ended in every other way than by a person's no. It opens the policy's window, and is the
// last that needs it closed.
func testWaitEnds(t *testing.T, s *shop) {
	approved := func(name string, more ...string) *v1alpha1.ActionApproval {
		a := s.ask(t, name)
		if got := s.as(t, "ann", append([]string{"approve", a.Name, "--yes"}, more...)...); got.code != 0 {
			t.Fatal(got.err)
		}
		return a
	}
	wait := func(file string, a *v1alpha1.ActionApproval, state string) {
		t.Helper()
		s.wait(t, "shop", a.Name, state)
		s.shows(t, "wait/"+file, "deploy-bot", "wait", a.Name)
	}
	spent := approved("used")
	if err := s.setImage(t.Context(), "used", "nginx:1.29"); err != nil {
		t.Fatal(err)
	}
	wait("spent", spent, v1alpha1.ReasonSpent)
	wait("expired", approved("late", "--valid-for", "1s"), v1alpha1.ReasonExpired)

	void := approved("drifted")
	person := client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":"nginx:1.30"}]}}}}`))
	if err := s.admin.Patch(t.Context(), deployment("drifted", ""), person); err != nil {
		t.Fatal(err)
	}
	if err := s.setImage(t.Context(), "drifted", "nginx:1.29"); err == nil {
		t.Fatal("what was approved is not what happens, and passes")
	}
	wait("void", void, v1alpha1.ReasonVoid)
	s.shows(t, "show/void", "ann", "show", void.Name)

	unneeded := s.ask(t, "unneeded")
	s.open(t)
	touch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"seen":"yes"}}}`))
	if err := s.admin.Patch(t.Context(), unneeded.DeepCopy(), touch); err != nil { // the operator looks at it again
		t.Fatal(err)
	}
	wait("no-longer-needed", unneeded, v1alpha1.ReasonNoLongerNeeded)
}

// open opens the window of the policy, and waits until that is in force.
func (s *shop) open(t *testing.T) {
	t.Helper()
	p := policyObject("shop-deploy-bot")
	always := `{"spec":{"windows":[{"name":"long-ago","once":{"from":"2020-01-01T00:00:00Z","to":"2099-01-01T00:00:00Z"}}]}}`
	if err := s.admin.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(always))); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the open window is in force", func(ctx context.Context) error {
		if err := s.admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyEnforced)
		if c == nil || c.Status != "True" || c.ObservedGeneration != p.Generation {
			return errors.New("it is not yet")
		}
		return nil
	})
}
