package archive_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{})
}

const nameField = "spec.action.name"

// shelf is an archive that runs, and what writes what it holds.
type shelf struct {
	client.Client
	archive   *archive.Archive
	namespace string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	config := controlplane.Shared(t).AdminConfig()
	s := &shelf{Client: operatortest.NewClient(t, config)}
	operatortest.ApplyDefinitions(t, s)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "archive-"}}
	if err := s.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	s.namespace = namespace.Name
	s.archive = newArchive(t, s, config)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.archive.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func newArchive(t *testing.T, c client.Client, config *rest.Config) *archive.Archive {
	t.Helper()
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.New(config, archive.Options{
		HTTPClient: transport, Scheme: c.Scheme(), Mapper: c.RESTMapper(),
		Indexes: map[string]func(*v1alpha1.ActionApproval) []string{
			nameField: func(a *v1alpha1.ActionApproval) []string {
				if a.Spec.Action == nil {
					return nil
				}
				return []string{a.Spec.Action.Name}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const approvalYAML = `
spec:
  requester: {username: "system:serviceaccount:ci:bot", uid: u-1}
  action:
    operation: UPDATE
    group: apps
    version: v1
    resource: deployments
    namespace: NAMESPACE
    name: NAME
    hash: "v1:1a2b3c4d:0000000000000000000000000000000000000000000000000000000000000000"
    changes: [{path: spec.replicas, from: "3", to: "12"}]
    diff: "- 3\n+ 12\n"
  reasons: [{type: ChangeWindowClosed, policy: shop, name: always}]
  requirements:
  - name: sre
    minApprovals: 1
    approvers: [{kind: Group, name: sre}]
    policy: {name: shop, uid: u-2, hash: "v1:0000000000000000000000000000000000000000000000000000000000000000"}
  validFor: 1h
  bindTo: User
`

// open stores an approval that waits for people.
func (s *shelf) open(t *testing.T, name string) *v1alpha1.ActionApproval {
	t.Helper()
	a := &v1alpha1.ActionApproval{}
	text := strings.NewReplacer("NAMESPACE", s.namespace, "NAME", name).Replace(approvalYAML)
	if err := yaml.UnmarshalStrict([]byte(text), a); err != nil {
		t.Fatal(err)
	}
	a.Name, a.Namespace, a.Labels = name, s.namespace, map[string]string{"kept": "while-it-waits"}
	a.Spec.RequestExpiresAt = &metav1.Time{Time: time.Now().Add(4 * time.Hour).Truncate(time.Second)}
	if err := s.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	a.Status = approval.StatusOf(a, time.Now())
	if err := s.Status().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// end has it end.
func (s *shelf) end(t *testing.T, a *v1alpha1.ActionApproval) {
	t.Helper()
	a.Status = approval.End(a, approval.Void, "it has changed", time.Now())
	if err := s.Status().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// held waits until the archive has seen an approval as it was written, and returns what it hands out.
func (s *shelf) held(t *testing.T, a *v1alpha1.ActionApproval) *v1alpha1.ActionApproval {
	t.Helper()
	found := &v1alpha1.ActionApproval{}
	operatortest.Eventually(t, "the archive holds what was written", func(ctx context.Context) error {
		if err := s.archive.Get(ctx, client.ObjectKeyFromObject(a), found); err != nil {
			return err
		}
		if found.ResourceVersion != a.ResourceVersion {
			return fmt.Errorf("it has %s, not %s", found.ResourceVersion, a.ResourceVersion)
		}
		return nil
	})
	return found
}

// TestHeldWholeUntilItEnds reads an approval in the ways there are, while it waits and once it has ended.
func TestHeldWholeUntilItEnds(t *testing.T) {
	s := newShelf(t)
	a := s.open(t, "web")
	want := a.DeepCopy()
	want.ManagedFields = nil
	check := func(indexed bool) {
		t.Helper()
		got := s.held(t, a)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(metav1.TypeMeta{})); diff != "" {
			t.Errorf("it is handed out differently (-want +got):\n%s", diff)
		}
		var list v1alpha1.ActionApprovalList
		err := s.archive.List(t.Context(), &list, client.InNamespace(s.namespace), client.MatchingFields{nameField: "web"}, client.UnsafeDisableDeepCopy)
		if err != nil || (len(list.Items) == 1) != indexed || indexed && cmp.Diff(got, &list.Items[0]) != "" {
			t.Errorf("by its field is found %v (%v)", list.Items, err)
		}
		var each []string
		if err := s.archive.Each(t.Context(), func(a *v1alpha1.ActionApproval) bool {
			each = append(each, a.Name)
			return true
		}); err != nil || !slices.Contains(each, "web") {
			t.Errorf("there are %v (%v)", each, err)
		}
		if got.Kind != "ActionApproval" || got.APIVersion != v1alpha1.GroupVersion.String() {
			t.Errorf("it is handed out as %s %s", got.APIVersion, got.Kind)
		}
		got.Name, got.Spec.Requester.Username = "changed", "changed"
		if again := s.held(t, a); again.Name != "web" || again.Spec.Requester.Username != want.Spec.Requester.Username {
			t.Error("whoever changes what was handed out changes what is held")
		}
	}
	check(true)

	s.end(t, a)
	want = a.DeepCopy()
	approval.Remnant(want)
	if want.Spec.Requirements != nil || want.Labels != nil {
		t.Fatal("nothing goes when it ends")
	}
	check(false) // its diff is still to be dropped

	a.Spec.Action.Diff = ""
	if err := s.Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	want = a.DeepCopy()
	approval.Remnant(want)
	check(false)

	if err := s.Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "it is gone", func(ctx context.Context) error {
		err := s.archive.Get(ctx, client.ObjectKeyFromObject(a), &v1alpha1.ActionApproval{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is found: %w", err)
		}
		return nil
	})
}

// TestSource has a queue filled by what happens to approvals.
func TestSource(t *testing.T) {
	s := newShelf(t)
	before := s.open(t, "before")
	s.held(t, before)
	source := &archive.Source{
		Archive:  s.archive,
		Appeared: func(a *v1alpha1.ActionApproval) bool { return a.Namespace == s.namespace && a.Name != "unwanted" },
		Changed: func(before, after *v1alpha1.ActionApproval) bool {
			_, was := approval.Ended(before)
			_, is := approval.Ended(after)
			return !was && is
		},
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	if err := source.WaitForSync(t.Context()); err == nil {
		t.Error("it waits for what has not begun")
	}
	if err := source.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if err := source.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		got, _ := queue.Get()
		queue.Done(got)
		if got.Name != want {
			t.Fatalf("%s is looked at, want %s", got, want)
		}
	}
	next("before")
	unwanted := s.open(t, "unwanted")
	s.open(t, "wanted")
	next("wanted")
	s.end(t, unwanted)
	next("unwanted")
	s.end(t, before)
	next("before")
	if err := s.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	next("before")
	if left := queue.Len(); left != 0 {
		t.Errorf("%d more are looked at", left)
	}
}

// TestWhatTheArchiveCannotDo asks for what an API server could answer.
func TestWhatTheArchiveCannotDo(t *testing.T) {
	s := newShelf(t)
	key := client.ObjectKey{Namespace: s.namespace, Name: "x"}
	for name, err := range map[string]error{
		"another kind":           s.archive.Get(t.Context(), key, &corev1.Secret{}),
		"a list of another kind": s.archive.List(t.Context(), &corev1.SecretList{}),
		"by labels":              s.archive.List(t.Context(), &v1alpha1.ActionApprovalList{}, client.MatchingLabels{"a": "b"}),
		"a part":                 s.archive.List(t.Context(), &v1alpha1.ActionApprovalList{}, client.Limit(1)),
		"a field without index":  s.archive.List(t.Context(), &v1alpha1.ActionApprovalList{}, client.MatchingFields{"spec.bindTo": "User"}),
		"two fields":             s.archive.List(t.Context(), &v1alpha1.ActionApprovalList{}, client.MatchingFields{nameField: "x", "spec.bindTo": "User"}),
	} {
		if err == nil || apierrors.IsNotFound(err) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	empty := newArchive(t, s, controlplane.Shared(t).AdminConfig())
	if err := empty.Get(ended, key, &v1alpha1.ActionApproval{}); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("before all are held, the error is %v", err)
	}
	if err := empty.List(ended, &v1alpha1.ActionApprovalList{}); err == nil {
		t.Error("before all are held, a list is empty")
	}
}
