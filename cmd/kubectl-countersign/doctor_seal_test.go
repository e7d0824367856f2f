package main_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
)

// latePolicy is made after the files of level 4. It names an account that may do everything, one that may do nothing, and others
// that may do one thing each.
const latePolicy = `
enforcement: Enforce
outOfScope: Allow
subjects:
- {kind: ServiceAccount, namespace: ci, name: late-bot}
- {kind: ServiceAccount, namespace: ci, name: quiet-bot}
- {kind: ServiceAccount, namespace: ci, name: mask-bot}
- {kind: User, name: kit}
- {kind: Group, name: ai-agents}
`

// TestDoctorSeal has an API server with the files of level 4, which do not name whom a later policy names, and then gives it
// such files, one after the other.
func TestDoctorSeal(t *testing.T) {
	files := t.TempDir()
	operatortest.Seal(t, files, "--service-account=ci/deploy-bot", "--service-account=ci/on-call-bot", "--namespace=default", "--deny-secrets")
	s := newShopOn(t, operatortest.StartSealed(t, files), "--admission-policy")
	s.wants(t, finding{"level", "ok", "level of protection 4", ""})
	s.wants(t, finding{"seal", "ok", "the files of level 4 name every governed subject: 2 asked about", ""})
	golden(t, "doctor/sealed", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
	s.late(t)
	// The admission policy of level 3 follows policies, and takes its time.
	s.wants(t, finding{"seal", "warning",
		"the files of level 4 do not name ci/late-bot, ci/quiet-bot, ci/mask-bot, user kit, group ai-agents (policy late names them", "countersign seal --from-cluster"})
	golden(t, "doctor/late", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
	golden(t, "doctor/late-80", visible(stable(showFailing(t, 80, s.kubeconfigs["admin"], doctorArgs...))))
	golden(t, "doctor/late-120", visible(stable(showFailing(t, 120, s.kubeconfigs["admin"], doctorArgs...))))
	s.askedByFew(t)

	newer := t.TempDir()
	t.Setenv("KUBECONFIG", s.kubeconfigs["admin"])
	operatortest.Seal(t, newer, "--from-cluster", "--directory", files, "--namespace=default", "--deny-secrets")
	replace(t, filepath.Join(newer, protection.AuthorizationFile), filepath.Join(files, protection.AuthorizationFile))
	s.wants(t, finding{"seal", "warning", "of the files of level 4, only authorization.yaml names ci/late-bot", "countersign seal --from-cluster"})
	golden(t, "doctor/half", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
	replace(t, filepath.Join(newer, protection.ManifestFile), filepath.Join(files, protection.ManifestFile))
	s.wants(t, finding{"seal", "ok", "the files of level 4 name every governed subject: 7 asked about", ""})
	golden(t, "doctor/refreshed", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
}

// late makes the later policy, and gives rights to whom it names.
func (s *shop) late(t *testing.T) {
	t.Helper()
	for _, name := range []string{"late-bot", "quiet-bot", "mask-bot"} {
		if _, err := s.plane.ServiceAccountKubeconfig(t.Context(), "ci", name); err != nil {
			t.Fatal(err)
		}
	}
	s.grant(t, "cluster-admin", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "ci", Name: "late-bot"})
	s.rights(t, "masks", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		rbacv1.Subject{Kind: "ServiceAccount", Namespace: "ci", Name: "mask-bot"})
	s.rights(t, "bindings", rbacv1.PolicyRule{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingadmissionpolicybindings"}, Verbs: []string{"delete"},
	}, rbacv1.Subject{Kind: "User", Name: "kit"})
	s.rights(t, "hooks", rbacv1.PolicyRule{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations"}, Verbs: []string{"create"},
	}, rbacv1.Subject{Kind: "Group", Name: "ai-agents"})
	s.policy(t, "late", latePolicy)
}

// askedByFew has somebody ask who may impersonate the canary and nobody else. What its own rights keep from being told is not
// claimed.
func (s *shop) askedByFew(t *testing.T) {
	t.Helper()
	dora, err := s.plane.PersonKubeconfig("dora")
	if err != nil {
		t.Fatal(err)
	}
	canary := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "default", Name: "countersign-canary"}
	s.rights(t, "canaries", rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"create", "delete"}}, canary)
	to := rbacv1.Subject{Kind: "User", Name: "dora"}
	s.rights(t, "reads", rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}, to)
	s.rights(t, "reviews", rbacv1.PolicyRule{
		APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"},
	}, to)
	s.rights(t, "few", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{canary.Name}, Verbs: []string{"impersonate"},
	}, to)
	s.rights(t, "groups", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"groups"}, Verbs: []string{"impersonate"}}, to)
	for _, want := range []finding{
		{"level", "ok", "level of protection 4", ""},
		{"seal", "warning", "the files of level 4 do not name ci/late-bot", "countersign seal --from-cluster"},
		{"seal", "unknown", "authorization.yaml names ci/deploy-bot, ci/on-call-bot; whether manifests/countersign.yaml does could not be tried: dora may not", ""},
	} {
		operatortest.Eventually(t, "doctor finds "+want.Text, func(context.Context) error { return found(diagnosis(t, dora), want) })
	}
	golden(t, "doctor/few", transcript(run(t, dora, doctorArgs...), doctorArgs...))
}

// replace puts a file in the place of another, at once.
func replace(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, to); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) rights(t *testing.T, name string, rule rbacv1.PolicyRule, to rbacv1.Subject) {
	t.Helper()
	role := &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{rule}}
	role.Name = name
	s.create(t, role)
	s.grant(t, name, to)
}
