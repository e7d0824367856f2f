package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// example is one directory, and what its agent may do and may not.
//
// The operator goes by the clock of its process, so that a test cannot wait for a weeknight. Each example is applied as
// it stands by a dry run, and then for real with other windows in the place of its own: ones that are open always, or
// not now.
type example struct {
	dir string
	// namespace and name of the agent's service account.
	namespace, name string
	// given is what must be there, beside setup.yaml, before the agent acts: command lines of the administrator.
	given []string
	// closed happens while no change window is open, frozen while they are but so are the freezes, and open while only
	// the windows are. The agent has no more rights than setup.yaml gives it, where there is one.
	closed, frozen, open []step
	// unbound happens while the windows are open, and the agent is a cluster-admin.
	unbound []step
}

// step is a command line of the agent.
type step struct {
	// run is the command line. APPROVAL stands for the name of the approval that a refusal before it has named.
	run string
	// as is a person who runs it instead of the agent, a member of the group sre.
	as string
	// stdin of the command.
	stdin string
	// want are the reasons of the refusal, sorted and joined by commas, or what reasons returns for one that only lacks
	// consent. Empty: it passes.
	want string
	// says is part of what the client prints.
	says string
}

var examples = []example{{
	dir: "simplest", namespace: "night-jobs", name: "reporter",
	given: []string{
		"kubectl create rolebinding reporter -n night-jobs --clusterrole=cluster-admin --serviceaccount=night-jobs:reporter",
	},
	closed: []step{
		{run: "kubectl create configmap report --dry-run=server", want: "ChangeWindowClosed", says: "night-jobs/reporter may not create configmap"},
		{run: "kubectl auth can-i create configmaps"}, // asking for one's rights is never governed
	},
	open: []step{
		{run: "kubectl create configmap report"},
		{run: "kubectl delete configmap report"},
	},
}, {
	dir: "ci-kubectl-apply", namespace: "ci", name: "deploy-bot",
	closed: []step{
		{run: "kubectl apply --dry-run=server -f ci-kubectl-apply/app.yaml", want: "ChangeWindowClosed"},
		{run: "kubectl apply -f ci-kubectl-apply/app.yaml", want: "ChangeWindowClosed", says: "next opens"},
	},
	open: []step{
		{run: "kubectl apply -f ci-kubectl-apply/app.yaml", says: "deployment.apps/web created"},
		{run: "kubectl apply -f ci-kubectl-apply/app.yaml", says: "deployment.apps/web unchanged"},
		{run: "kubectl set image -n shop deployment/web web=registry.example.com/shop/web:1.1.0"},
		{run: "kubectl apply --server-side --force-conflicts -f ci-kubectl-apply/app.yaml"},
		{run: "kubectl delete -f ci-kubectl-apply/app.yaml", want: "ActionOutOfScope"},
		{run: "kubectl set serviceaccount -n shop deployment/web builder", want: "ServiceAccountOutOfScope"},
		{run: `kubectl patch -n shop configmap/web -p {"metadata":{"finalizers":["example.com/hold"]}}`, want: "FieldOutOfScope"},
	},
	unbound: []step{
		{run: "kubectl create configmap web -n default", want: "NamespaceOutOfScope"},
		{run: "kubectl create namespace shop-copy", want: "ActionOutOfScope"},
		{run: "kubectl create secret generic web -n shop", want: "ActionOutOfScope"},
		{run: "kubectl delete aap/ci-deploy-bot", want: "ReservedAction"},
	},
}, {
	dir: "ci-helm-upgrade", namespace: "ci", name: "helm-bot",
	given: []string{"helm install shop ci-helm-upgrade/chart -n shop"},
	closed: []step{
		{run: "kubectl create configmap any -n shop --dry-run=server", want: "ChangeWindowClosed,ObjectOutOfScope"},
		{run: "helm upgrade shop ci-helm-upgrade/chart -n shop --set image.tag=1.1.0", want: "ChangeWindowClosed"},
		{run: "helm status shop -n shop", says: "REVISION: 1"},
	},
	open: []step{
		{run: "helm upgrade shop ci-helm-upgrade/chart -n shop --set image.tag=1.1.0", says: "REVISION: 2"},
		{run: "helm upgrade shop ci-helm-upgrade/chart -n shop --set image.tag=1.2.0 --history-max 2", says: "REVISION: 3"},
		{run: "helm rollback shop -n shop"},
		{run: "kubectl create configmap any -n shop", want: "ObjectOutOfScope"},
		{run: "kubectl label -n shop service/shop-api app.kubernetes.io/instance-", want: "ObjectOutOfScope"},
		{run: "kubectl delete -n shop deployment/shop-api", want: "ActionOutOfScope"},
	},
	unbound: []step{
		{run: "helm upgrade shop ci-helm-upgrade/chart -n shop --set rbac.create=true", want: "ActionOutOfScope"},
		{run: "helm upgrade shop ci-helm-upgrade/chart -n shop --set image.tag=1.3.0"},
	},
}, {
	dir: "argocd", namespace: "argocd", name: "argocd-application-controller",
	given: []string{
		"kubectl apply -f testdata/application.yaml",
		"kubectl wait --for=condition=Established --timeout=60s crd/applications.argoproj.io",
		"kubectl create clusterrolebinding argocd --clusterrole=cluster-admin --serviceaccount=argocd:argocd-application-controller",
		"kubectl create -n argocd -f testdata/shop-application.yaml",
		"kubectl create namespace shop-eu",
	},
	closed: []step{
		{run: "kubectl create configmap web -n shop-eu --dry-run=server", want: "ChangeWindowClosed", says: "next: WAIT until"},
		{run: `kubectl patch -n argocd application/shop --type=merge -p {"status":{"sync":{"status":"OutOfSync"}}}`},
	},
	frozen: []step{
		{run: "kubectl create configmap web -n shop-eu", want: "FreezeActive", says: "Black Friday week"},
		{run: `kubectl patch -n argocd application/shop --type=merge -p {"status":{"sync":{"status":"Synced"}}}`},
	},
	open: []step{
		{run: "kubectl apply --server-side --field-manager=argocd-controller -n shop-eu -f testdata/synced.yaml"},
		{run: "kubectl delete configmap synced -n shop-eu"},
		{run: "kubectl set serviceaccount -n shop-eu deployment/synced shop"},
		{run: "kubectl set serviceaccount -n shop-eu deployment/synced other", want: "ServiceAccountOutOfScope"},
		{run: "kubectl create configmap web -n default", want: "NamespaceOutOfScope"},
		{run: "kubectl create namespace shop-us", want: "ActionOutOfScope"},
		{run: "kubectl create poddisruptionbudget synced -n shop-eu --selector=app=synced --min-available=1"},
		{run: "kubectl create rolebinding synced -n shop-eu --clusterrole=admin --serviceaccount=shop-eu:default", want: "ActionOutOfScope", says: "only where a rule names it, not by *"},
		{run: "kubectl delete -n argocd application/shop", want: "ActionOutOfScope", says: "only where a rule names it"},
	},
}, {
	dir: "llm-agent-kubectl", namespace: "ai-agents", name: "on-call-helper",
	given: []string{
		"kubectl apply -f llm-agent-kubectl/app.yaml",
		"kubectl create serviceaccount default -n shop",
		"kubectl run checkout-1 -n shop --image=registry.example.com/shop/checkout:1.0.0 --labels=app=checkout",
		"kubectl run bare -n shop --image=registry.example.com/shop/checkout:1.0.0 --labels=run=bare",
	},
	closed: []step{
		{run: "kubectl scale -n shop deployment/checkout --replicas=3 --dry-run=server", want: "ChangeWindowClosed"},
		{run: "kubectl rollout restart -n shop deployment/checkout", says: "restarted"},
	},
	open: []step{
		{run: "kubectl scale -n shop deployment/checkout --replicas=3", says: "scaled"},
		{run: `kubectl patch -n shop deployment/checkout -p {"spec":{"replicas":4}}`},
		{run: "kubectl delete pod -n shop checkout-1"},
		{run: "kubectl delete pod -n shop bare", want: "ObjectOutOfScope"},
		{run: "kubectl set image -n shop deployment/checkout checkout=evil.example.com/checkout", want: "FieldOutOfScope"},
		{run: `kubectl patch -n shop deployment/checkout -p {"spec":{"replicas":5,"paused":true}}`, want: "FieldOutOfScope", says: "NARROW to spec.replicas"},
		{run: "kubectl delete deployment -n shop checkout", want: "ActionOutOfScope"},
		{run: "kubectl exec -n shop bare -- id", want: "ActionOutOfScope", says: "may not exec into pod shop/bare"},
		{run: "kubectl create configmap notes -n shop", want: "ActionOutOfScope"},
		// Last, since kubectl refuses a second restart within one second.
		{run: "kubectl rollout restart -n shop deployment/checkout"},
	},
}, {
	dir: "thresholds", namespace: "ai-agents", name: "shop-operator",
	given: []string{
		"kubectl create serviceaccount default -n shop-live",
		// As the disruption controller leaves them: one whose pods serve, one whose pods do not, and one not looked at yet.
		"kubectl create poddisruptionbudget serving -n shop-live --selector=app=cart --min-available=1",
		`kubectl patch pdb/serving -n shop-live --subresource=status --type=merge -p {"status":{"observedGeneration":1,"currentHealthy":2,"expectedPods":2}}`,
		"kubectl create poddisruptionbudget idle -n shop-live --selector=app=idle --min-available=1",
		`kubectl patch pdb/idle -n shop-live --subresource=status --type=merge -p {"status":{"observedGeneration":1,"currentHealthy":0,"expectedPods":2}}`,
		"kubectl create poddisruptionbudget unknown -n shop-live --selector=app=cart --min-available=1",
	},
	closed: []step{
		{run: "kubectl create configmap notes -n shop-live --dry-run=server", want: "ActionOutOfScope"},
	},
	open: []step{
		{run: "kubectl apply -f thresholds/app.yaml", says: "deployment.apps/cart created"},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=7", says: "scaled"},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=13 --dry-run=server", want: asked, says: "from 7 to 13 replicas at once"},
		{run: `kubectl patch -n shop-live deployment/cart -p {"spec":{"replicas":13}}`, want: asked, says: "ASK: approval shop-live/"},
		{run: "kubectl get aa APPROVAL -n shop-live -o jsonpath={.spec.reasons}", as: "anna", says: `[{"name":"small-steps","policy":"shop-operator","type":"GuardViolated"}]`},
		{run: approve, as: "anna", says: "patched"},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=13", want: asked, says: "APPROVAL is pending"},
		{run: approve, as: "ben", says: "patched"},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=14", want: asked},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=13", says: "scaled"},
		{run: "kubectl scale -n shop-live deployment/cart --replicas=1", says: "scaled"},
		{run: "kubectl create deployment many -n shop-live --replicas=6 --image=" + known, want: asked, says: "from 0 to 6 replicas"},
		{run: "kubectl create deployment few -n shop-live --replicas=5 --image=" + known},
		{run: "kubectl set image -n shop-live deployment/cart cart=mirror.example.com/cart@sha256:" + digest},
		{run: "kubectl set image -n shop-live deployment/cart cart=registry.example.com/shop/cart:1.1.0", want: "GuardViolated", says: "guard known-images (policy shop-operator): images come from registry.example.com"},
		{run: "kubectl set image -n shop-live deployment/cart cart=registry.example.com.evil.example/cart@sha256:" + digest, want: "GuardViolated"},
		{run: "kubectl run evil -n shop-live --image=evil.example/shell@sha256:" + digest, want: "GuardViolated"},
		{run: "kubectl run shell -n shop-live --image=" + known},
		{run: `kubectl patch -n shop-live deployment/cart -p {"spec":{"template":{"spec":{"initContainers":[{"name":"init","image":"evil.example/x"}]}}}}`, want: "GuardViolated"},
		{run: "kubectl run root -n shop-live --privileged --image=" + known, want: "GuardViolated", says: "no privileged containers"},
		{run: `kubectl patch -n shop-live deployment/cart -p {"spec":{"template":{"spec":{"hostPID":true}}}}`, want: "GuardViolated"},
		{run: `kubectl patch -n shop-live deployment/cart -p {"spec":{"template":{"spec":{"volumes":[{"name":"root","hostPath":{"path":"/"}}]}}}}`, want: "GuardViolated"},
		{run: `kubectl patch -n shop-live deployment/cart -p {"spec":{"replicas":13,"template":{"spec":{"hostPID":true}}}}`, want: "GuardViolated", says: "guard small-steps"},
		{run: "kubectl delete pdb/serving -n shop-live", want: "GuardViolated", says: "while its pods serve: 2 are healthy"},
		{run: `kubectl patch pdb/serving -n shop-live --type=merge -p {"spec":{"minAvailable":0}}`, want: "GuardViolated"},
		{run: `kubectl patch pdb/serving -n shop-live --type=merge -p {"spec":{"selector":{"matchLabels":{"app":"none"}}}}`, want: "GuardViolated"},
		{run: "kubectl label pdb/serving -n shop-live team=shop", says: "labeled"},
		{run: "kubectl delete pdb/unknown -n shop-live", want: "GuardViolated", says: "0 are healthy, as far as is known"},
		{run: "kubectl delete pdb/idle -n shop-live", says: "deleted"},
		{run: "kubectl create poddisruptionbudget more -n shop-live --selector=app=more --min-available=1", says: "created"},
	},
	unbound: []step{
		{run: "kubectl create configmap notes -n shop-live", want: "ActionOutOfScope"},
	},
}, {
	dir: "budgets", namespace: "ai-agents", name: "night-keeper",
	given: []string{
		"kubectl apply -f budgets/app.yaml",
		"kubectl create configmap old-1 -n shop-night", "kubectl create configmap old-2 -n shop-night",
		"kubectl create configmap old-3 -n shop-night", "kubectl create configmap old-4 -n shop-night",
	},
	closed: []step{
		{run: "kubectl create configmap notes -n shop-night --dry-run=server", want: "ActionOutOfScope,GuardViolated"},
	},
	open: []step{
		{run: cart + "1.1.0", want: asked, says: "not been at work in namespace shop-night for a week"},
		{run: strings.Replace(approve, "shop-live", "shop-night", 1), as: "anna", says: "patched"},
		{run: cart + "1.1.0", says: "image updated"},
		{run: cart + "1.2.0", says: "image updated"},
		{run: cart + "1.3.0 --dry-run=server", says: "image updated"},
		{run: cart + "1.3.0", says: "image updated"},
		{run: cart + "1.4.0 --dry-run=server", want: "decision RequireApproval with BudgetExceeded", says: "3 of 3 actions within 1h, room again at"},
		{run: "kubectl get aact --as-group=system:masters", as: "anna", says: "ai-agents/night-keeper   update   deployments/cart   shop-night   roll-images"},
		{run: "kubectl delete configmap old-1 -n shop-night", says: "deleted"},
		{run: "kubectl delete configmap old-2 -n shop-night", says: "deleted"},
		{run: "kubectl delete configmap old-3 -n shop-night", says: "deleted"},
		{run: "kubectl delete configmap old-4 -n shop-night", want: "GuardViolated", says: "3 objects were deleted within 10 minutes"},
		{run: `kubectl patch secret database -n shop-night -p {"data":{"password":"c2Vjb25k"}}`, says: "patched"},
		{run: cart + "1.4.0", want: "BudgetExceeded,GuardViolated", says: "rights or Secrets were changed within 30 minutes"},
	},
}}

// cart is a command that gives the cart of the shop at night another image.
const cart = "kubectl set image -n shop-night deployment/cart cart=registry.example.com/shop/cart:"

const (
	// asked is what reasons returns where a guard asks for consent.
	asked   = "decision RequireApproval with GuardViolated"
	approve = `kubectl patch aa APPROVAL -n shop-live --type=merge -p {"spec":{"decision":{"verdict":"Approve"}}}`
	digest  = "0000000000000000000000000000000000000000000000000000000000000000"
	known   = "registry.example.com/shop/cart@sha256:" + digest
)

// run applies an example and does what its agent does.
func (e *example) run(t *testing.T, c *cluster) {
	t.Helper()
	agent := e.prepare(t, c)
	policy := readPolicy(t, filepath.Join(e.dir, "policy.yaml"))
	apply := func(windows, freezes bool) {
		t.Helper()
		manifest, err := yaml.Marshal(withWindows(policy, windows, freezes))
		if err != nil {
			t.Fatal(err)
		}
		c.must(t, string(manifest), "kubectl apply -f -")
		c.must(t, "", "kubectl wait --for=condition=Ready --for=condition=Enforced --timeout=60s aap/"+policy.Name)
	}
	t.Cleanup(func() { c.must(t, "", "kubectl delete --ignore-not-found aap/"+policy.Name) })

	apply(false, false)
	// The API server learns of a new subject a moment after the configuration is stored. The first step is a dry run.
	within(t, "the agent to be governed", func() (bool, string) {
		output, err := c.try(t, agent, "", e.closed[0].run)
		return err != nil && tail.MatchString(output), output
	})
	steps(t, c, agent, "closed", e.closed)
	if len(e.frozen) > 0 {
		apply(true, true)
		steps(t, c, agent, "frozen", e.frozen)
	}
	apply(true, false)
	steps(t, c, agent, "open", e.open)
	if len(e.unbound) > 0 {
		c.must(t, "", "kubectl create clusterrolebinding "+e.name+"-unbound --clusterrole=cluster-admin --serviceaccount="+e.namespace+":"+e.name)
		steps(t, c, agent, "with all rights", e.unbound)
	}
}

// prepare applies what the example needs, and its files as they stand by a dry run that must not warn. It returns the
// kubeconfig of the agent.
func (e *example) prepare(t *testing.T, c *cluster) string {
	t.Helper()
	setup := filepath.Join(e.dir, "setup.yaml")
	if _, err := os.Stat(setup); err == nil {
		c.must(t, "", "kubectl apply -f "+setup)
	}
	agent := c.account(t, e.namespace, e.name)
	for _, line := range e.given {
		c.must(t, "", line)
	}
	if output := c.must(t, "", "kubectl apply --dry-run=server -f "+e.dir); strings.Contains(output, "Warning") {
		t.Errorf("%s is not applied cleanly:\n%s", e.dir, output)
	}
	return agent
}

func steps(t *testing.T, c *cluster, agent, when string, list []step) {
	t.Helper()
	approval := ""
	for _, s := range list {
		account := agent
		if s.as != "" {
			account, s.run = "", s.run+" --as="+s.as+" --as-group=sre"
		}
		s.run, s.says = strings.ReplaceAll(s.run, "APPROVAL", approval), strings.ReplaceAll(s.says, "APPROVAL", approval)
		output, err := c.try(t, account, s.stdin, s.run)
		if found := named.FindStringSubmatch(output); found != nil {
			approval = found[1]
		}
		t.Logf("%s: %s\n%s", when, s.run, output)
		switch {
		case s.want == "" && err != nil:
			t.Errorf("%s: %s: is refused:\n%s", when, s.run, output)
		case s.want != "" && err == nil:
			t.Errorf("%s: %s: passes, want it refused for %s", when, s.run, s.want)
		case s.want != "" && reasons(output) != s.want:
			t.Errorf("%s: %s: is refused for %s, want %s:\n%s", when, s.run, reasons(output), s.want, output)
		case !strings.Contains(output, s.says):
			t.Errorf("%s: %s: does not say %q:\n%s", when, s.run, s.says, output)
		}
	}
}

// named is the approval in the tail of a refusal.
var named = regexp.MustCompile(`approval=[^/ ]+/(\S+)`)

func readPolicy(t *testing.T, path string) *v1alpha1.AgentActionPolicy {
	t.Helper()
	manifest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict(manifest, policy); err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
	return policy
}

// withWindows returns a copy of the policy in which every window is open always or not now: those of the freezes, and
// all others.
func withWindows(policy *v1alpha1.AgentActionPolicy, windows, freezes bool) *v1alpha1.AgentActionPolicy {
	changed := policy.DeepCopy()
	freezing := map[v1alpha1.WindowName]bool{}
	for _, f := range changed.Spec.Freezes {
		freezing[f.Window] = true
	}
	for i, w := range changed.Spec.Windows {
		open := windows
		if freezing[w.Name] {
			open = freezes
		}
		changed.Spec.Windows[i] = v1alpha1.Window{Name: w.Name, Weekly: notNow(changed.Spec.TimeZone, freezing[w.Name])}
		if open {
			changed.Spec.Windows[i].Weekly = always()
		}
	}
	return changed
}

func always() *v1alpha1.WeeklyWindow {
	return &v1alpha1.WeeklyWindow{
		Days:  []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"},
		Start: "00:00", End: "00:00",
	}
}

// notNow is an hour of a day to come: of one day for windows and of another one for freezes, so that windows open.
func notNow(zone string, freeze bool) *v1alpha1.WeeklyWindow {
	location, err := time.LoadLocation(zone)
	if err != nil {
		panic(err) // the API server has accepted the policy
	}
	days := 2
	if freeze {
		days = 4
	}
	day := time.Now().In(location).AddDate(0, 0, days).Format("Mon")
	return &v1alpha1.WeeklyWindow{Days: []v1alpha1.Weekday{v1alpha1.Weekday(day)}, Start: "10:00", End: "11:00"}
}
