package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/privilege"
)

const (
	// stallDeploy lets a rollout bot with the rights of an administrator do two things.
	stallDeploy = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: bots, name: rollout}]
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [stall]
    fields: ["spec.template.spec.containers[*].image"]
- name: restart
  scope:
    resourceRules: [{apiGroups: [""], resources: [pods], operations: [DELETE]}]
    namespaces: [stall, stall-blue]
  approval: {when: Always}
- name: rotate
  scope:
    resourceRules: [{apiGroups: [cert-manager.io], resources: [certificates], operations: [UPDATE]}]
`
	// stallClean is for a janitor with a role of its own, and for all others of a group.
	stallClean = `
enforcement: Enforce
subjects:
- {kind: ServiceAccount, namespace: bots, name: janitor}
- {kind: ServiceAccount, namespace: bots, name: retired}
- {kind: Group, name: helpers}
tasks:
- name: clean
  scope:
    resourceRules: [{apiGroups: ["", apps], resources: ["*"], operations: [DELETE]}]
    namespaces: [stall]
  budget: {maxActions: 100, per: 168h}
`
)

// newStall is a cluster with the operator and agents with too many rights, and with people: rita may read everything, and
// olga policies alone.
func newStall(t *testing.T) (s *shop, rita, olga string) {
	t.Helper()
	s = &shop{plane: controlplane.Shared(t), kubeconfigs: map[string]string{}}
	s.kubeconfigs["admin"] = s.plane.Kubeconfig("admin")
	s.admin = operatortest.NewClient(t, s.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, s.admin)
	s.operator = operatortest.Start(t, s.kubeconfigs["admin"], "--namespace", "default")
	person := func(name string) string {
		kubeconfig, err := s.plane.PersonKubeconfig(name)
		if err != nil {
			t.Fatal(err)
		}
		return kubeconfig
	}
	rita, olga = person("rita"), person("olga")
	account := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "bots", Name: name}
	}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bots"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, // where it is tried whether policies are in force
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stall"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stall-blue"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "read-all"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"},
		}}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "read-policies"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"countersign.dev"}, Resources: []string{"agentactionpolicies"}, Verbs: []string{"list"},
		}}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "helpers"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"impersonate"}},
			{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get", "create"}},
			{APIGroups: []string{"apps", "extensions"}, Resources: []string{"deployments", "replicasets"}, Verbs: []string{"*"}},
		}},
		bindingOf("read-all", rbacv1.Subject{Kind: "User", Name: "rita"}),
		bindingOf("read-policies", rbacv1.Subject{Kind: "User", Name: "olga"}),
		bindingOf("cluster-admin", account("rollout")),
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: "janitor"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "delete", "create"}},
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "delete"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: "janitor"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "janitor"},
			Subjects:   []rbacv1.Subject{account("janitor"), account("retired")},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: "helpers"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "helpers"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "helpers"}},
		},
	} {
		s.create(t, o)
	}
	for _, name := range []string{"rollout", "janitor"} {
		kubeconfig, err := s.plane.ServiceAccountKubeconfig(t.Context(), "bots", name)
		if err != nil {
			t.Fatal(err)
		}
		s.kubeconfigs[name] = kubeconfig
	}
	config, err := s.plane.Config(s.kubeconfigs["rollout"])
	if err != nil {
		t.Fatal(err)
	}
	s.bot = operatortest.NewClient(t, config)
	s.policy(t, "stall-deploy", stallDeploy)
	s.policy(t, "stall-clean", stallClean)
	t.Cleanup(func() {
		// Other tests list what is in all namespaces.
		for _, namespace := range []string{"stall", "stall-blue"} {
			kubectlOf(context.Background(), t, s, "admin", "", "delete", "aa", "--all", "-n", namespace)
		}
	})
	return s, rita, olga
}

// kubectlOf runs the real one as somebody, with an input.
func kubectlOf(ctx context.Context, t *testing.T, s *shop, who, input string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(ctx, filepath.Join(s.plane.BinDir(), "kubectl"), args...)
	command.Env = environment(t, s.kubeconfigs[who])
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", output, err)
	}
	return string(output)
}

// steady is stable, with the same days.
func steady(text string) string {
	return days.ReplaceAllString(stable(text), "since 2026-11-22")
}

var days = regexp.MustCompile(`since \d{4}-\d\d-\d\d`)

// TestReview has agents act, reviews what they are granted, and replaces it by what the review suggests.
func TestReview(t *testing.T) {
	s, rita, olga := newStall(t)
	s.act(t)
	shown := func(name string, columns uint16, kubeconfig string, args ...string) {
		t.Helper()
		got := runOnScreen(t, columns, kubeconfig, []string{"NO_COLOR=1"}, append([]string{"review"}, args...)...)
		reviewed(t, s, fmt.Sprintf("%s-%d", name, columns), steady(got.out))
		for line := range strings.Lines(got.out) {
			if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > int(columns) && !strings.Contains(line, "kubectl ") {
				t.Errorf("%s is wider than %d columns: %s", name, columns, line)
			}
		}
	}
	for _, columns := range []uint16{80, 120} {
		shown("all", columns, rita)
		shown("rollout", columns, rita, "bots/rollout")
		shown("janitor", columns, rita, "system:serviceaccount:bots:janitor")
		shown("helpers", columns, rita, "Group/helpers")
	}
	for name, args := range map[string][]string{
		"retired": {"bots/retired"}, "json": {"bots/janitor", "-o", "json"}, "yaml": {"bots/retired", "-o", "yaml"},
		"details": {"bots/janitor", "--details"}, "nobody": {"User/nobody", "--as-group", "helpers"},
		"manifests-rollout": {"bots/rollout", "-o", "manifests"}, "manifests-janitor": {"bots/janitor", "-o", "manifests"},
	} {
		args = append([]string{"review"}, args...)
		reviewed(t, s, name, steady(transcript(run(t, rita, args...), args...)))
	}
	t.Run("calls", func(t *testing.T) {
		for name, args := range map[string][]string{
			"exit-code": {"--exit-code"}, "bad-subject": {"system:serviceaccount:bots"}, "bad-form": {"-o", "xml"}, "no-subject": {"--as-group", "x"},
		} {
			want := map[string]int{"exit-code": 1}[name]
			if name != "exit-code" {
				want = 2
			}
			if got := run(t, rita, append([]string{"review"}, args...)...); got.code != want {
				t.Errorf("%s ends with %d: %s", name, got.code, got.err)
			}
		}
	})
	t.Run("rights", func(t *testing.T) {
		for name, args := range map[string][]string{"rights": {"review", "bots/rollout"}, "rights-manifests": {"review", "bots/rollout", "-o", "manifests"}} {
			golden(t, "review/"+name, steady(transcript(run(t, olga, args...), args...)))
		}
		nora, err := s.plane.PersonKubeconfig("nora")
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, nora, "review"); got.code != 1 || !strings.Contains(got.err, "nora may not list agentactionpolicies") {
			t.Errorf("without rights it ends with %d: %s", got.code, got.out+got.err)
		}
	})
	t.Run("replace", func(t *testing.T) { s.replace(t, rita) })
}

// reviewed compares a review with its golden file. Some list what the cluster serves and binds by itself, so that their
// files are those of the newest version.
func reviewed(t *testing.T, s *shop, name, text string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		switch name {
		case "rollout-80", "rollout-120", "manifests-rollout", "json", "yaml", "details":
			if lacking := operatortest.LackingKinds(t, s.plane.AdminConfig()); len(lacking) > 0 {
				t.Skipf("Kubernetes %s does not serve what the review lists: %s", s.plane.Binaries().Kubernetes, strings.Join(lacking, ", "))
			}
		}
		golden(t, "review/"+name, text)
	})
}

// act has the agents do something, and leaves an approval and a request.
func (s *shop) act(t *testing.T) {
	t.Helper()
	for _, name := range []string{"old", "older"} {
		s.create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: name}})
	}
	operatortest.Eventually(t, "the janitor cleans", func(ctx context.Context) error {
		if said := kubectlOf(ctx, t, s, "janitor", "", "delete", "cm", "old", "older", "-n", "stall", "--ignore-not-found"); strings.Contains(said, "rror") {
			return fmt.Errorf("it is answered: %s", said)
		}
		return nil
	})
	s.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: "default"}})
	for _, name := range []string{"web-0", "web-1"} {
		s.create(t, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
		})
		asked := s.asked(t, func() error {
			return s.bot.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: name}})
		})
		if name == "web-0" {
			patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`))
			config, err := s.plane.Config(s.person(t, "petra", "system:masters"))
			if err != nil {
				t.Fatal(err)
			}
			if err := operatortest.NewClient(t, config).Patch(t.Context(), asked, patch); err != nil {
				t.Fatal(err)
			}
			s.wait(t, "stall", asked.Name, "Approved")
		}
	}
}

func (s *shop) person(t *testing.T, name string, groups ...string) string {
	t.Helper()
	kubeconfig, err := s.plane.PersonKubeconfig(name, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// replace applies what is suggested, does what is left to do then, and asks the API server what the agents may do.
func (s *shop) replace(t *testing.T, rita string) {
	for _, name := range []string{"rollout", "janitor"} {
		manifests := run(t, rita, "review", "bots/"+name, "-o", "manifests")
		if manifests.code != 0 {
			t.Fatalf("it ends with %d: %s", manifests.code, manifests.err)
		}
		if said := kubectlOf(t.Context(), t, s, "admin", manifests.out, "apply", "--dry-run=server", "-f", "-"); strings.Contains(said, "rror") {
			t.Fatalf("the API server does not take it: %s\n%s", said, manifests.out)
		}
		if said := kubectlOf(t.Context(), t, s, "admin", manifests.out, "apply", "-f", "-"); strings.Contains(said, "rror") {
			t.Fatalf("it cannot be applied: %s", said)
		}
	}
	report := privilege.Report{}
	if err := json.NewDecoder(bytes.NewBufferString(run(t, rita, "review", "bots/rollout", "-o", "json").out)).Decode(&report); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.admin.Delete(context.Background(), bindingOf("cluster-admin", rbacv1.Subject{Name: "rollout"})); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	for _, o := range []client.Object{
		bindingOf("cluster-admin", rbacv1.Subject{Name: "rollout"}),
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "stall", Name: "janitor"}},
	} {
		if err := s.admin.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		who, may string
		want     bool
	}{
		{"rollout", "patch apps deployments stall", true},
		{"rollout", "update apps deployments stall", true},
		{"rollout", "delete - pods stall", true},
		{"rollout", "delete - pods stall-blue", true},
		{"rollout", "get apps deployments bots", true},
		{"rollout", "list - configmaps ", true},
		{"rollout", "create - events stall", true},
		{"rollout", "update coordination.k8s.io leases bots", true},
		{"rollout", "patch apps deployments stall-blue", false},
		{"rollout", "create apps deployments stall", false},
		{"rollout", "delete apps deployments stall", false},
		{"rollout", "delete - pods bots", false},
		{"rollout", "get - secrets stall", false},
		{"rollout", "list - secrets ", false},
		{"rollout", "impersonate - users ", false},
		{"rollout", "impersonate - serviceaccounts stall", false},
		{"rollout", "get - nodes/proxy ", false},
		{"rollout", "create - serviceaccounts/token stall", false},
		{"rollout", "get - pods/exec stall", false},
		{"rollout", "create - pods/exec stall", false},
		{"rollout", "patch admissionregistration.k8s.io validatingwebhookconfigurations ", false},
		{"rollout", "escalate rbac.authorization.k8s.io clusterroles ", false},
		{"rollout", "bind rbac.authorization.k8s.io clusterroles ", false},
		{"rollout", "update certificates.k8s.io certificatesigningrequests/approval ", false},
		{"rollout", "patch countersign.dev agentactionpolicies ", false},
		{"janitor", "delete - configmaps stall", true},
		{"janitor", "delete - pods stall", true},
		{"janitor", "list - pods stall", true},
		{"janitor", "create - configmaps stall", false},
		{"janitor", "get - secrets stall", false},
	} {
		operatortest.Eventually(t, tc.who+" may "+tc.may, func(ctx context.Context) error { // authorizers follow RBAC a moment later
			if got := s.may(ctx, t, tc.who, tc.may); got != tc.want {
				return fmt.Errorf("the API server says %t", got)
			}
			return nil
		})
	}
	after := run(t, rita, "review", "bots/rollout")
	golden(t, "review/replaced", steady(after.out))
}

// may asks the API server whether RBAC lets an account do something: verb, group, resource and namespace.
func (s *shop) may(ctx context.Context, t *testing.T, who, what string) bool {
	t.Helper()
	words := strings.Split(what, " ")
	resource, subresource, _ := strings.Cut(words[2], "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:bots:" + who, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:bots", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: words[0], Group: strings.TrimPrefix(words[1], "-"), Resource: resource, Subresource: subresource, Namespace: words[3],
		},
	}}
	if err := s.admin.Create(ctx, review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}
