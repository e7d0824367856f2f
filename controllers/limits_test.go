package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// subjectsOf are kinds of subjects, as many of which are named as fit.
var subjectsOf = map[string]func(i int) v1alpha1.Subject{
	"users": func(i int) v1alpha1.Subject {
		return v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: fmt.Sprintf("agent-%05d@agents.example.com", i)}
	},
	"groups": func(i int) v1alpha1.Subject {
		return v1alpha1.Subject{Kind: v1alpha1.SubjectGroup, Name: fmt.Sprintf("agents-%05d", i)}
	},
	"accounts": func(i int) v1alpha1.Subject {
		return v1alpha1.Subject{
			Kind: v1alpha1.SubjectServiceAccount, Namespace: fmt.Sprintf("team-%03d", i%100), Name: fmt.Sprintf("agent-%05d", i),
		}
	},
	"namespaces": func(i int) v1alpha1.Subject {
		return v1alpha1.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: fmt.Sprintf("team-%05d", i), Name: "*"}
	},
	"long accounts": func(i int) v1alpha1.Subject {
		return v1alpha1.Subject{
			Kind: v1alpha1.SubjectServiceAccount, Name: fmt.Sprintf("agent-%05d-", i) + strings.Repeat("x", 241),
			Namespace: fmt.Sprintf("team-%03d-", i%100) + strings.Repeat("x", 54),
		}
	},
}

// TestLargestConfiguration stores the largest configuration of each kind of subject, and one of all kinds, and has the API
// server evaluate it: everybody whom it does not name passes, in as many groups as anybody has, and those whom it names
// first and last are sent to the operator, which does not answer here. An expression that costs too much would refuse
// everybody.
func TestLargestConfiguration(t *testing.T) {
	mixed := []func(int) v1alpha1.Subject{subjectsOf["users"], subjectsOf["groups"], subjectsOf["accounts"], subjectsOf["namespaces"]}
	kinds := map[string]func(int) v1alpha1.Subject{"all kinds": func(i int) v1alpha1.Subject { return mixed[i%len(mixed)](i) }}
	maps.Copy(kinds, subjectsOf)
	for name, subject := range kinds {
		t.Run(name, func(t *testing.T) {
			named, length := fillConfiguration(t, subject)
			t.Logf("%d subjects in %d code points", named, length)
			person := rest.ImpersonationConfig{UserName: "agent-00000", Groups: []string{"system:masters"}}
			for i := range 500 {
				person.Groups = append(person.Groups, fmt.Sprintf("agents-of-somebody-else-%05d", i))
			}
			first, last := impersonate(subject(0)), impersonate(subject(named-1))
			operatortest.Eventually(t, "the API server sends the first to the operator", func(ctx context.Context) error {
				return wantCalled(tryAs(ctx, t, first))
			})
			if err := wantCalled(tryAs(t.Context(), t, last)); err != nil {
				t.Errorf("the last: %v", err)
			}
			if err := tryAs(t.Context(), t, person); err != nil {
				t.Errorf("a person in %d groups: %v", len(person.Groups), err)
			}
			account := rest.ImpersonationConfig{UserName: "system:serviceaccount:team-other:agent-00000", Groups: []string{"system:masters"}}
			if err := tryAs(t.Context(), t, account); err != nil {
				t.Errorf("an account that nobody names: %v", err)
			}
		})
	}
}

// fillConfiguration names subjects until no more fit, and says how many do.
func fillConfiguration(t *testing.T, subject func(int) v1alpha1.Subject) (named, length int) {
	t.Helper()
	b := newBench(t, "enforcement: Enforce\noutOfScope: Allow\nsubjects: [{kind: User, name: nobody}]\n", berlin(t, "2026-11-23T12:00:00+01:00"))
	var all []*v1alpha1.AgentActionPolicy
	for i := range 8000 {
		p := b.stored.DeepCopy()
		p.Name, p.UID, p.Spec.Subjects = fmt.Sprintf("p-%05d", i), "p", []v1alpha1.Subject{subject(i)}
		p.CreationTimestamp = metav1.NewTime(b.stored.CreationTimestamp.AddDate(0, 0, i))
		all = append(all, p)
	}
	b.registry.Update(all)
	if err := b.configure(t); err != nil {
		t.Fatalf("the API server does not take the largest configuration: %v", err)
	}
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: controllers.ActionsConfiguration}, stored); err != nil {
		t.Fatal(err)
	}
	text := stored.Webhooks[0].MatchConditions[0].Expression
	// The oldest policies come first: those that fit are the first so many.
	named, _ = slices.BinarySearchFunc(all, 0, func(p *v1alpha1.AgentActionPolicy, _ int) int {
		if names(text, p.Spec.Subjects[0]) {
			return -1
		}
		return 1
	})
	if named == 0 || named == len(all) {
		t.Fatalf("%d of %d subjects are named", named, len(all))
	}
	return named, len(text)
}

// names says whether an expression names a subject.
func names(text string, s v1alpha1.Subject) bool {
	name := s.Name
	switch {
	case s.Name == "*":
		name = s.Namespace
	case s.Namespace != "":
		name = s.Namespace + ":" + s.Name
	}
	return strings.Contains(text, fmt.Sprintf("%q", name))
}

// impersonate is somebody whom a subject means, with every right.
func impersonate(s v1alpha1.Subject) rest.ImpersonationConfig {
	who := rest.ImpersonationConfig{UserName: s.Name, Groups: []string{"system:masters"}}
	switch {
	case s.Kind == v1alpha1.SubjectGroup:
		who.UserName, who.Groups = "somebody", append(who.Groups, s.Name)
	case s.Name == "*":
		who.UserName = "system:serviceaccount:" + s.Namespace + ":anybody"
	case s.Namespace != "":
		who.UserName = "system:serviceaccount:" + s.Namespace + ":" + s.Name
	}
	return who
}

// tryAs creates something as somebody, for trial.
func tryAs(ctx context.Context, t *testing.T, who rest.ImpersonationConfig) error {
	t.Helper()
	config := rest.CopyConfig(controlplane.Shared(t).AdminConfig())
	config.Impersonate = who
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "limits-"}}
	return c.Create(ctx, o, client.DryRunAll)
}

// wantCalled is nil where the API server tried to call the operator, which is not there.
func wantCalled(err error) error {
	if apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook") {
		return nil
	}
	return fmt.Errorf("the answer is %v", err) //nolint:errorlint // there may be none
}
