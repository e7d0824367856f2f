package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestRedeemDeletes deletes in every way that there is.
func TestRedeemDeletes(t *testing.T) {
	e := newEnvironment(t)
	deletePod, evictPod := kubectl("delete", "pod", "victim"), evict("victim")
	remove := func(ctx context.Context, s *story) error { return s.agent.Delete(ctx, pod(s.namespace, "victim")) }
	onNode := func(t *testing.T, s *story) { s.runningPod(t, "victim", nil) }
	pending := func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), pod(s.namespace, "victim"))) }
	landed := func(ctx context.Context, s *story) error { return s.gone(ctx, pod(s.namespace, "victim")) }
	drain := func(ctx context.Context, s *story) error {
		return s.kubectl(ctx, s.agent, "drain", "node-"+s.namespace, "--force", "--timeout=5s")
	}
	for name, tc := range map[string]shape{
		"kubectl delete": {prepare: pending, ask: deletePod, landed: landed, revert: pending, after: wantSeveralReviews},
		"kubectl delete now": {
			prepare: lingeringPod, ask: kubectl("delete", "pod", "victim", "--force", "--grace-period=0"), landed: landed, revert: lingeringPod,
		},
		"asked by kubectl, done by a client":       {prepare: pending, ask: deletePod, redeem: remove, landed: landed, revert: pending},
		"eviction":                                 {prepare: pending, ask: evictPod, landed: landed, revert: pending},
		"asked by deletion, done by eviction":      {prepare: pending, ask: deletePod, redeem: evictPod, landed: landed, revert: pending},
		"asked by eviction, done by deletion":      {prepare: pending, ask: evictPod, redeem: deletePod, landed: landed, revert: pending},
		"kubectl drain":                            {prepare: onNode, ask: drain, landed: landed, revert: onNode},
		"asked by kubectl drain, done by deletion": {prepare: onNode, ask: drain, redeem: deletePod, landed: landed, revert: onNode},
		"asked by deletion, done by a drain":       {prepare: onNode, ask: deletePod, redeem: drain, landed: landed, revert: onNode},
		"a ConfigMap by kubectl":                   configMapDeletion(kubectl("delete", "configmap", "c")),
		"a Deployment with what it has made":       deploymentDeletion(kubectl("delete", "deployment", "web")),
		"a Deployment without what it has made":    deploymentDeletion(kubectl("delete", "deployment", "web", "--cascade=orphan")),
	} {
		t.Run(name, func(t *testing.T) { tc.run(t, e) })
	}
	t.Run("time to end is not taken away", func(t *testing.T) { testGracefulOnly(t, e) })
	t.Run("a budget refuses after the use", func(t *testing.T) { testBudgetRefuses(t, e) })
	t.Run("one of a collection", func(t *testing.T) { testOneOfCollection(t, e) })
}

func evict(name string) route {
	return func(ctx context.Context, s *story) error {
		return s.agent.PolicyV1().Evictions(s.namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}})
	}
}

func configMapDeletion(by route) shape {
	one := func(s *story) *corev1.ConfigMap { return configMap(s.namespace, "c") }
	create := func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), one(s))) }
	return shape{prepare: create, ask: by, revert: create, landed: func(ctx context.Context, s *story) error { return s.gone(ctx, one(s)) }}
}

func deploymentDeletion(by route) shape {
	return shape{
		ask:    by,
		landed: func(ctx context.Context, s *story) error { return s.gone(ctx, s.web) },
		revert: func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), deployment(s.namespace, "web"))) },
	}
}

// wantSeveralReviews checks that the API server had the one deletion reviewed more than once.
func wantSeveralReviews(t *testing.T, s *story, a *v1alpha1.ActionApproval) {
	t.Helper()
	reviews := 0
	for _, line := range s.operator.DecisionLines(t, `"approval":"`+a.Namespace+"/"+a.Name+`"`) {
		if strings.Contains(line, `"outcome":"Allow"`) {
			reviews++
		}
	}
	if reviews < 2 {
		t.Errorf("one deletion had %d admitted reviews, want several", reviews)
	}
}

// runningPod makes a pod that runs on a cordoned node of its own, and ends at once when it is deleted.
func (s *story) runningPod(t *testing.T, name string, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-" + s.namespace}, Spec: corev1.NodeSpec{Unschedulable: true}}
	if err := s.admin.Create(t.Context(), node); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	p := pod(s.namespace, name)
	p.Spec.NodeName, p.Spec.TerminationGracePeriodSeconds = node.Name, new(int64)
	if change != nil {
		change(p)
	}
	allowed(t, s.admin.Create(t.Context(), p))
	ready := `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`
	allowed(t, s.admin.Status().Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(ready))))
	return p
}

// lingeringPod is one that has half a minute to end, and nobody to end it.
func lingeringPod(t *testing.T, s *story) {
	t.Helper()
	s.runningPod(t, "victim", func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 30 })
}

// testGracefulOnly has consent to a deletion that gives time to end.
func testGracefulOnly(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	lingeringPod(t, s)
	victim := pod(s.namespace, "victim")
	graceful := s.grant(t, func() error { return s.kubectl(t.Context(), s.agent, "delete", "pod", "victim", "--wait=false") })
	for name, args := range map[string][]string{
		"at once": {"delete", "pod", "victim", "--wait=false", "--force", "--grace-period=0"},
		"sooner":  {"delete", "pod", "victim", "--wait=false", "--grace-period=5"},
	} {
		other := s.asked(t, func() error { return s.kubectl(t.Context(), s.agent, args...) })
		if other.Name == graceful.Name {
			t.Errorf("%s: a graceful deletion is asked for", name)
		}
		s.wantUses(t, graceful, 0)
	}
	allowed(t, s.there(t.Context(), victim))
	redeem(t, func() error { return s.kubectl(t.Context(), s.agent, "delete", "pod", "victim", "--wait=false") })
	s.wantUses(t, graceful, 1)
	allowed(t, s.there(t.Context(), victim))
	if victim.DeletionTimestamp == nil || *victim.DeletionGracePeriodSeconds != 30 {
		t.Errorf("the pod has %v seconds to end since %v", victim.DeletionGracePeriodSeconds, victim.DeletionTimestamp)
	}
	// What goes on with the deletion may not take the time away either.
	s.asked(t, func() error {
		return s.kubectl(t.Context(), s.agent, "delete", "pod", "victim", "--force", "--grace-period=0")
	})
	allowed(t, s.there(t.Context(), victim))
}

// testBudgetRefuses has a disruption budget refuse what was admitted: the use is the attempt's, and serves its repetition.
func testBudgetRefuses(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	victim := s.runningPod(t, "victim", nil)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "keep"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "victim"}},
		},
	}
	allowed(t, s.admin.Create(t.Context(), budget))
	operatortest.Eventually(t, "the budget is counted", func(ctx context.Context) error {
		if err := s.there(ctx, budget); err != nil {
			return err
		}
		if budget.Status.CurrentHealthy != 1 || budget.Status.ObservedGeneration != budget.Generation {
			return fmt.Errorf("its status is %+v", budget.Status)
		}
		return nil
	})
	act := func() error { return evict("victim")(t.Context(), s) }
	approval := s.grant(t, act)
	for range 2 {
		if err := act(); err == nil || !strings.Contains(err.Error(), "disruption budget") {
			t.Fatalf("the answer is %v, want that of the budget", err)
		}
		s.wantUses(t, approval, 1)
	}
	allowed(t, s.there(t.Context(), victim))
	allowed(t, s.admin.Delete(t.Context(), budget))
	operatortest.Eventually(t, "the pod may be evicted", func(context.Context) error { return act() })
	allowed(t, s.gone(t.Context(), victim))
	s.wantUses(t, approval, 1)
}

// testOneOfCollection has consent to the deletion of one object of a collection. The API server asks about one after the
// other, in the order of their names, and ends at the first refusal.
func testOneOfCollection(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	for _, name := range []string{"a", "b", "c"} {
		allowed(t, s.admin.Create(t.Context(), configMap(s.namespace, name)))
	}
	all := func() error {
		return s.agent.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(s.namespace), client.MatchingLabels{"set": "one"})
	}
	first := s.grant(t, all)
	if first.Spec.Action.Name != "a" {
		t.Errorf("the first request is about %q, want a", first.Spec.Action.Name)
	}
	next := s.asked(t, all)
	if next.Name == first.Name || next.Spec.Action.Name != "b" {
		t.Errorf("the second request is about %q, want b", next.Spec.Action.Name)
	}
	s.wantUses(t, first, 1)
	s.wantUses(t, next, 0)
	allowed(t, s.gone(t.Context(), configMap(s.namespace, "a")))
	for _, name := range []string{"b", "c"} {
		allowed(t, s.there(t.Context(), configMap(s.namespace, name)))
	}
}
