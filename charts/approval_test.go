package charts

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// TestApproval has an approval asked for, granted and used with the rights that the chart gives: to the operator, and
// by its roles to the agent and to the person. The operator may not read what the agent changes.
func TestApproval(t *testing.T) {
	const space = "asking"
	a := admin(t)
	install(t)
	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	ensure(t, a.Client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}},
		grant(space, "edit", rbacv1.Subject{Kind: "ServiceAccount", Namespace: space, Name: "asker"}),
		grant(space, "countersign-requester", rbacv1.Subject{Kind: "ServiceAccount", Namespace: space, Name: "asker"}),
		grant(space, "countersign-approver", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "judge"}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: "settings"}})
	agent, judge := serviceAccount(t, space, "asker"), person(t, "judge")
	policy := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "asks"}, Spec: v1alpha1.AgentActionPolicySpec{
		Enforcement: v1alpha1.Enforce, OutOfScope: v1alpha1.OutOfScopeRequireApproval,
		Subjects: []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: space, Name: "asker"}},
		Tasks: []v1alpha1.Task{{
			Name: "label",
			Scope: v1alpha1.TaskScope{Fields: []string{"metadata.labels"}, ResourceRules: []v1alpha1.ResourceRule{
				{APIGroups: []string{""}, Resources: []string{"configmaps"}, Operations: []v1alpha1.Operation{v1alpha1.OperationUpdate}},
			}},
			// More than the two that are done: where the API server looks at an old ConfigMap first and comes again, that is one
			// more, since ConfigMaps have no generation, and the operator may not read them.
			Approval: &v1alpha1.TaskApproval{When: v1alpha1.ApprovalAlways, Covers: v1alpha1.ApprovalCoversTask, MaxActions: 6},
			Budget:   &v1alpha1.Budget{MaxActions: 6, Per: "1h"},
		}},
	}}
	eventually(t, "the policy", func(ctx context.Context) error { return client.IgnoreAlreadyExists(a.Create(ctx, policy)) })
	wantInForce(t, a, "asks")

	set := func(ctx context.Context) error {
		settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: "settings"}}
		return agent.Patch(ctx, settings, client.RawPatch(types.MergePatchType, []byte(`{"data":{"mode":"fast"}}`)))
	}
	eventually(t, "the refusal", func(ctx context.Context) error {
		if err := set(ctx); err == nil || !strings.Contains(err.Error(), "is pending, repeat the same command once approved") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	var requests v1alpha1.ActionApprovalList
	if err := judge.List(t.Context(), &requests, client.InNamespace(space)); err != nil || len(requests.Items) != 1 {
		t.Fatalf("the person sees %d requests: %v", len(requests.Items), err)
	}
	request := &requests.Items[0]
	words := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"justification":"the season begins"}}`))
	if err := agent.Patch(t.Context(), request.DeepCopy(), words); err != nil {
		t.Errorf("the agent cannot justify its request: %v", err)
	}
	verdict := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`))
	if err := agent.Patch(t.Context(), request.DeepCopy(), verdict); err == nil {
		t.Error("the agent approves its own request")
	}
	if err := judge.Patch(t.Context(), request.DeepCopy(), verdict); err != nil {
		t.Fatalf("the person cannot approve: %v", err)
	}
	eventually(t, "the approved change", set)
	testRunAhead(t, agent, judge, space)
	var did v1alpha1.AgentActivity
	key := client.ObjectKey{Name: activity.Name("system:serviceaccount:" + space + ":asker")}
	if err := a.Get(t.Context(), key, &did); err != nil || did.Status.Admitted < 2 {
		t.Errorf("%d actions of the agent are recorded, want 2 or more: %v", did.Status.Admitted, err)
	}
	operator.wantNothingForbidden(t)
}

// testRunAhead has the agent ask for a run of a task before it acts, with the rights of its role.
func testRunAhead(t *testing.T, agent, judge client.Client, space string) {
	t.Helper()
	run := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: "labels"}}
	run.Spec.Task = &v1alpha1.RequestedTask{Policy: "asks", Name: "label"}
	if err := agent.Create(t.Context(), run); err != nil {
		t.Fatalf("the agent cannot ask for a run: %v", err)
	}
	verdict := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`))
	if err := judge.Patch(t.Context(), run.DeepCopy(), verdict); err != nil {
		t.Fatalf("the person cannot approve the run: %v", err)
	}
	for _, label := range []string{"one", "two"} {
		eventually(t, "the change under the run", func(ctx context.Context) error {
			settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: "settings"}}
			return agent.Patch(ctx, settings, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+label+`":"set"}}}`)))
		})
	}
}

func grant(namespace, role string, subject rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	}
}
