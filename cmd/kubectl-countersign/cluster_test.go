package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// shop is a cluster with the operator, the agents ci/deploy-bot and ci/on-call-bot, which are governed, and people: ann and
// bob may approve, and carl may do nothing.
type shop struct {
	plane    *controlplane.Plane
	operator *operatortest.Operator
	admin    client.Client
	// bot is deploy-bot.
	bot client.Client
	// kubeconfigs by name: admin, deploy-bot, on-call-bot, ann, bob, carl.
	kubeconfigs map[string]string
}

// shopPolicy asks for everything: its window was long ago. Two people must consent to an update, one to a run.
const shopPolicy = `
enforcement: Enforce
subjects:
- {kind: ServiceAccount, namespace: ci, name: deploy-bot}
- {kind: ServiceAccount, namespace: ci, name: on-call-bot}
timeZone: Europe/Berlin
windows:
- name: long-ago
  once: {from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z"}
changeWindows: {allowed: [long-ago], whenClosed: RequireApproval}
tasks:
- name: roll-images
  scope:
    resourceRules:
    - {apiGroups: [apps], resources: [deployments], operations: [CREATE, UPDATE]}
    namespaces: [shop]
- name: restart-pods
  scope:
    resourceRules:
    - {apiGroups: [""], resources: [pods], operations: [DELETE]}
    namespaces: [shop]
  approval: {when: Always, covers: Task, maxActions: 10, validFor: 9h}
approval:
  validFor: 10h
  requestExpiresAfter: 12h
  requirements:
  - name: shop-owners
    approvers:
    - {kind: User, name: ann}
    - {kind: Group, name: shop-owners}
`

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopOn(t, controlplane.Shared(t))
}

// newShopOn is a shop on a control plane, with an operator that has more flags.
func newShopOn(t *testing.T, plane *controlplane.Plane, flags ...string) *shop {
	t.Helper()
	s := &shop{plane: plane, kubeconfigs: map[string]string{}}
	s.kubeconfigs["admin"] = s.plane.Kubeconfig("admin")
	s.admin = operatortest.NewClient(t, s.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, s.admin)
	s.operator = operatortest.Start(t, s.plane.Kubeconfig("admin"), append([]string{"--namespace", "default"}, flags...)...)
	for _, name := range []string{"ann", "bob", "carl"} {
		kubeconfig, err := s.plane.PersonKubeconfig(name, map[string][]string{"bob": {"shop-owners"}}[name]...)
		if err != nil {
			t.Fatal(err)
		}
		s.kubeconfigs[name] = kubeconfig
	}
	for _, name := range []string{"deploy-bot", "on-call-bot"} {
		kubeconfig, err := s.plane.ServiceAccountKubeconfig(t.Context(), "ci", name)
		if err != nil {
			t.Fatal(err)
		}
		s.kubeconfigs[name] = kubeconfig
		s.grant(t, "cluster-admin", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "ci", Name: name})
	}
	config, err := s.plane.Config(s.kubeconfigs["deploy-bot"])
	if err != nil {
		t.Fatal(err)
	}
	s.bot = operatortest.NewClient(t, config)
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	s.create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "countersign-approver"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"actionapprovals"},
		Verbs: []string{"get", "list", "watch", "patch", "update", "approve"},
	}}})
	for _, name := range []string{"ann", "bob"} {
		s.grant(t, "countersign-approver", rbacv1.Subject{Kind: "User", Name: name})
	}
	s.policy(t, "shop-deploy-bot", shopPolicy)
	return s
}

func (s *shop) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := s.admin.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func (s *shop) grant(t *testing.T, role string, to rbacv1.Subject) {
	t.Helper()
	s.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role + "-" + to.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{to},
	})
}

// policy stores a policy and waits until the API server has the agent's actions judged.
func (s *shop) policy(t *testing.T, name, spec string) {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "policy "+name+" is judged", func(ctx context.Context) error {
		err := s.admin.Create(ctx, p)
		if apierrors.IsInvalid(err) {
			t.Fatal(err)
		}
		return err
	})
	t.Cleanup(func() {
		if err := s.admin.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting policy: %v", err)
		}
	})
	operatortest.Eventually(t, "policy "+name+" is enforced", func(ctx context.Context) error {
		if err := s.admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PolicyEnforced) {
			return fmt.Errorf("conditions are %+v", p.Status.Conditions)
		}
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "probe"}}
		if err := s.bot.Create(ctx, probe, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "[countersign decision=") {
			return fmt.Errorf("a probe is not answered by the operator: %w", err)
		}
		return nil
	})
}

// deployment is one of a container.
func deployment(name, image string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "nginx", Image: image}}},
			},
		},
	}
}

// ask has the agent change the image of a new Deployment, which is refused, and returns the request that is open then.
func (s *shop) ask(t *testing.T, name string) *v1alpha1.ActionApproval {
	t.Helper()
	s.create(t, deployment(name, "nginx:1.28"))
	return s.asked(t, func() error { return s.setImage(t.Context(), name, "nginx:1.29") })
}

func (s *shop) setImage(ctx context.Context, name, image string) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":%q}]}}}}`, image)
	return s.bot.Patch(ctx, deployment(name, image), client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
}

var approvalInTail = regexp.MustCompile(` approval=([^/ ]+)/([^ \]]+)`)

// asked is the request that refuses what the agent tries, once the operator has written its status. An account can open
// five requests at once, and then one every five seconds.
func (s *shop) asked(t *testing.T, try func() error) *v1alpha1.ActionApproval {
	t.Helper()
	var found []string
	operatortest.Eventually(t, "a request is open", func(context.Context) error {
		refusal := try()
		if refusal == nil {
			t.Fatal("the agent was not refused")
		}
		if found = approvalInTail.FindStringSubmatch(refusal.Error()); found == nil {
			return fmt.Errorf("no request is named: %w", refusal)
		}
		return nil
	})
	return s.wait(t, found[1], found[2], v1alpha1.ReasonPending)
}

// wait waits until an approval is in a state.
func (s *shop) wait(t *testing.T, namespace, name, state string) *v1alpha1.ActionApproval {
	t.Helper()
	a := &v1alpha1.ActionApproval{}
	operatortest.Eventually(t, name+" is "+state, func(ctx context.Context) error {
		if err := s.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, a); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved); c == nil || c.Reason != state {
			return errors.New("it is not yet")
		}
		return nil
	})
	return a
}

// clear removes all approvals, with the denials that hold.
func (s *shop) clear(t *testing.T) {
	t.Helper()
	if err := s.admin.DeleteAllOf(t.Context(), &v1alpha1.ActionApproval{}, client.InNamespace("shop")); err != nil {
		t.Fatal(err)
	}
}

// as runs the plugin as somebody, in namespace shop.
func (s *shop) as(t *testing.T, who string, args ...string) result {
	t.Helper()
	return run(t, s.kubeconfigs[who], append(args, "-n", "shop")...)
}

var (
	hashes    = regexp.MustCompile(`-[0-9a-hjkmnp-tv-z]{20}\b`)
	stamps    = regexp.MustCompile(`\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\dZ`)
	distances = regexp.MustCompile(`\(\d+s(\s+)ago\)`)
	ages      = regexp.MustCompile(`(?m) \d{1,2}s( *)$`)
	wideAges  = regexp.MustCompile(`  \d{1,2}s {1,2}(  \S)`)
	versions  = regexp.MustCompile(`Kubernetes is v[0-9.]+`)
	// lacking is what doctor says about versions before the newest.
	lacking = regexp.MustCompile(`(?s);\s+level\s+4\s.{0,160}?(highest\s+here|the\s+API\s+server)`)
	servers = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// stable replaces what is different in every run, by texts of the same width.
func stable(text string) string {
	text = hashes.ReplaceAllString(text, "-78wgjchsgtvcf83nb0xp")
	text = stamps.ReplaceAllString(text, "2026-11-22${1}22:00:00Z")
	text = distances.ReplaceAllString(text, "(2s${1}ago)")
	text = ages.ReplaceAllString(text, " 2s$1")
	text = wideAges.ReplaceAllString(text, "  2s $1")
	text = lacking.ReplaceAllString(text, "")
	text = versions.ReplaceAllString(text, "Kubernetes is v1.37.2")
	return servers.ReplaceAllString(text, "127.0.0.1:6443")
}

// transcript is what somebody sees who runs the plugin.
func transcript(r result, args ...string) string {
	line := make([]string, len(args))
	for i, arg := range args {
		if line[i] = arg; strings.Contains(arg, " ") {
			line[i] = strconv.Quote(arg)
		}
	}
	text := "$ kubectl countersign " + strings.Join(line, " ") + "\n" + r.out
	if r.err != "" {
		text += "--- standard error\n" + r.err
	}
	if r.code != 0 {
		text += fmt.Sprintf("--- exit code %d\n", r.code)
	}
	return stable(text)
}

// shows compares what somebody sees with a golden file.
func (s *shop) shows(t *testing.T, file, who string, args ...string) {
	t.Helper()
	golden(t, file, transcript(s.as(t, who, args...), args...))
}

// manifest writes a file and returns its path.
func manifest(t *testing.T, o any) string {
	t.Helper()
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// policyObject names a policy.
func policyObject(name string) *v1alpha1.AgentActionPolicy {
	return &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
