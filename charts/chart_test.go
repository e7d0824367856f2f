package charts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestRelease installs the chart, lets the operator govern with the rights that the chart gives it, and takes
// everything away again.
func TestRelease(t *testing.T) {
	a := admin(t)
	agent, somebody := agentAndPerson(t)
	ensure(t, a.Client, widgetDefinition())
	notes := install(t, "--set-json", `rbac.extraRules=[{"apiGroups":["example.test"],"resources":["widgets"],"verbs":["get"]}]`)

	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	eventually(t, "the policy of the notes", func(ctx context.Context) error {
		err := a.Create(ctx, policyOfTheNotes(t, notes))
		return client.IgnoreAlreadyExists(err)
	})
	wantInForce(t, a, "first-policy")
	targets := makeTargets(t, a)
	govern(t, a)

	t.Run("the agent is refused", func(t *testing.T) { wantRefused(t, write(t.Context(), agent)) })
	t.Run("a person is not", func(t *testing.T) {
		if err := write(t.Context(), somebody); err != nil {
			t.Error(err)
		}
	})
	for name, do := range targets {
		t.Run("targets are read live/"+name, func(t *testing.T) { wantRefused(t, do(t.Context(), agent)) })
	}
	t.Run("the anchor owns the webhook configurations", func(t *testing.T) { wantOwned(t, a) })
	t.Run("the admission policy refuses too", func(t *testing.T) { wantProtected(t, a) })
	t.Run("the level is where kubectl shows it", func(t *testing.T) {
		eventually(t, "the level", func(ctx context.Context) error {
			shown, err := configuration(ctx, a, policiesConfig)
			if err == nil && shown.Annotations["countersign.dev/protection-level"] != "3" {
				err = fmt.Errorf("the annotations are %v", shown.Annotations)
			}
			return err
		})
	})
	t.Run("a lost owner comes back", func(t *testing.T) {
		for _, name := range []string{actionsConfig, policiesConfig} {
			stored, err := configuration(t.Context(), a, name)
			if err != nil {
				t.Fatal(err)
			}
			without := stored.DeepCopy()
			without.OwnerReferences = nil
			if err := a.Patch(t.Context(), without, client.MergeFrom(stored)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the owner", func(ctx context.Context) error {
				repaired, err := configuration(ctx, a, name)
				if err == nil && len(repaired.OwnerReferences) == 0 {
					err = errors.New("there is none")
				}
				return err
			})
		}
		wantOwned(t, a)
	})
	t.Run("an event tells of the policy", func(t *testing.T) {
		eventually(t, "the event", func(ctx context.Context) error { return eventOf(ctx, a, "closed") })
	})
	t.Run("the canary is refused", func(t *testing.T) {
		eventually(t, "the metric", func(ctx context.Context) error {
			body, err := get(ctx, "http://"+operator.metrics+"/metrics")
			if err == nil && !strings.Contains(body, "\ncountersign_enforcement_up 1\n") {
				err = fmt.Errorf("the metrics are %s", body)
			}
			return err
		})
	})
	t.Run("metrics are served", func(t *testing.T) {
		body, err := get(t.Context(), "http://"+operator.metrics+"/metrics")
		if err != nil || !strings.Contains(body, "countersign_policies{") {
			t.Errorf("metrics are %.200q, %v", body, err)
		}
	})
	t.Run("nothing is forbidden to the operator", operator.wantNothingForbidden)
	if t.Failed() {
		return
	}

	t.Run("uninstall", func(t *testing.T) {
		mustHelm(t, "uninstall", release, "--namespace", namespace, "--timeout", "60s")
		eventually(t, "the garbage collector", func(ctx context.Context) error { return noConfigurations(ctx, a) })
		stays(t, "the end of the webhook configurations", 3*time.Second, func(ctx context.Context) error {
			if !operator.running() {
				return errors.New("the operator has ended, so that this shows nothing")
			}
			return noConfigurations(ctx, a)
		})
		if err := write(t.Context(), agent); err != nil {
			t.Errorf("the former agent: %v", err)
		}
		wantNothingLeft(t, a)
		wantPolicies(t, a, "closed", "first-policy")
	})
	operator.stop()

	t.Run("install again, and uninstall without keeping", func(t *testing.T) {
		install(t)
		wantPolicies(t, a, "closed", "first-policy")
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--set", "crds.keep=false")
		mustHelm(t, "uninstall", release, "--namespace", namespace, "--timeout", "60s")
		eventually(t, "the definitions to go", func(ctx context.Context) error {
			var definitions apiextensionsv1.CustomResourceDefinitionList
			if err := a.List(ctx, &definitions); err != nil {
				return err
			}
			for i := range definitions.Items {
				if definitions.Items[i].Spec.Group == v1alpha1.GroupName {
					return fmt.Errorf("%s is there", definitions.Items[i].Name)
				}
			}
			return nil
		})
	})
}

// govern closes everything to the agent, and waits until that is in force.
func govern(t *testing.T, a *connection) {
	t.Helper()
	soon := time.Now().Add(24 * time.Hour)
	policy := &v1alpha1.AgentActionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "closed"},
		Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce,
			Subjects:    []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: agentNamespace, Name: agentName}},
			OutOfScope:  v1alpha1.OutOfScopeAllow,
			TimeZone:    "Europe/Berlin",
			Windows: []v1alpha1.Window{{Name: "tomorrow", Once: &v1alpha1.OnceWindow{
				From: metav1.NewTime(soon), To: metav1.NewTime(soon.Add(time.Hour)),
			}}},
			ChangeWindows: &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"tomorrow"}},
		},
	}
	eventually(t, "the policy to be accepted", func(ctx context.Context) error {
		policy.ResourceVersion = ""
		return client.IgnoreAlreadyExists(a.Create(ctx, policy))
	})
	wantInForce(t, a, policy.Name)
	// What is stored is in force in the API server a moment later.
	agent := serviceAccount(t, agentNamespace, agentName)
	eventually(t, "the API server to send the agent's actions to the operator", func(ctx context.Context) error {
		return asRefused(write(ctx, agent))
	})
}

func wantInForce(t *testing.T, a *connection, name string) {
	t.Helper()
	eventually(t, "policy "+name+" to be in force", func(ctx context.Context) error {
		var policy v1alpha1.AgentActionPolicy
		if err := a.Get(ctx, client.ObjectKey{Name: name}, &policy); err != nil {
			return err
		}
		for _, condition := range []string{v1alpha1.PolicyReady, v1alpha1.PolicyEnforced} {
			c := meta.FindStatusCondition(policy.Status.Conditions, condition)
			if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != policy.Generation {
				return fmt.Errorf("%s is %+v", condition, c)
			}
		}
		return nil
	})
}

// wantRefused wants the refusal of a closed window, which stands only where the action was understood.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if err := asRefused(err); err != nil {
		t.Error(err)
	}
}

// asRefused is an error where wantRefused fails.
func asRefused(err error) error {
	if err == nil {
		return errors.New("not refused")
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "reasons=ChangeWindowClosed ") {
		return fmt.Errorf("got %w, want the refusal of a closed window", err)
	}
	return nil
}

// policyOfTheNotes is what Helm prints after an installation.
func policyOfTheNotes(t *testing.T, notes string) *unstructured.Unstructured {
	t.Helper()
	_, rest, _ := strings.Cut(notes, "<<'POLICY'\n")
	text, _, found := strings.Cut(rest, "  POLICY\n")
	if !found {
		t.Fatalf("the notes hold no policy:\n%s", notes)
	}
	return decode(t, text)[0]
}

func wantOwned(t *testing.T, a *connection) {
	t.Helper()
	owner, err := a.RbacV1().ClusterRoles().Get(t.Context(), anchor, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(owner.Rules) > 0 {
		t.Errorf("the anchor grants %v", owner.Rules)
	}
	want := []metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: anchor, UID: owner.UID}}
	for _, name := range []string{actionsConfig, policiesConfig} {
		stored, err := configuration(t.Context(), a, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, stored.OwnerReferences); diff != "" {
			t.Errorf("owners of %s (-want +got):\n%s", name, diff)
		}
	}
}

func eventOf(ctx context.Context, a *connection, policy string) error {
	var events eventsv1.EventList
	if err := a.List(ctx, &events); err != nil {
		return err
	}
	if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Kind == "AgentActionPolicy" && e.Regarding.Name == policy
	}) {
		return fmt.Errorf("none of %d events is about policy %s", len(events.Items), policy)
	}
	return nil
}

// wantNothingLeft wants no object of the release, hooks included.
func wantNothingLeft(t *testing.T, a *connection) {
	t.Helper()
	ours := client.MatchingLabels{"app.kubernetes.io/instance": release}
	for _, kind := range kindsOfRelease {
		eventually(t, "objects of the release to go", func(ctx context.Context) error {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			if err := a.List(ctx, list, ours); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%s %s is left", kind.Kind, list.Items[0].GetName())
			}
			return nil
		})
	}
}

func wantPolicies(t *testing.T, a *connection, want ...string) {
	t.Helper()
	var list v1alpha1.AgentActionPolicyList
	if err := a.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range list.Items {
		got = append(got, list.Items[i].Name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}
