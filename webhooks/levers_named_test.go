package webhooks_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestNamedLevers goes through a real API server: levers that policies name, narrow by guards, or cannot allow.
func TestNamedLevers(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"an autoscaler":                     testAutoscaler,
		"kinds and fields":                  testNamedLevers,
		"a lasting token":                   testTokenSecret,
		"guards about what is put off":      testGuardsOfLevers,
		"a disruption budget by its status": testBudgetServes,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// testAutoscaler names autoscalers, and then what they scale counts.
func testAutoscaler(t *testing.T, e *environment) {
	const rule = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: autoscale
  scope:
    resourceRules:
    - {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], operations: [CREATE, UPDATE]}
    namespaces: [NAMESPACE]
`
	target := func(resource, more string) string {
		return strings.Replace(rule, "    namespaces", "    - {apiGroups: [apps], resources: ["+resource+"], operations: [UPDATE]"+more+"}\n    namespaces", 1)
	}
	for name, tc := range map[string]struct{ spec, target, want string }{
		"without its target":            {spec: rule, target: "web", want: "ObjectOutOfScope"},
		"with targets of another kind":  {spec: target("statefulsets", ""), target: "web", want: "ObjectOutOfScope"},
		"with another target":           {spec: target("deployments", ", resourceNames: [other]"), target: "web", want: "ObjectOutOfScope"},
		"with its target":               {spec: target("deployments", ", resourceNames: [web]"), target: "web"},
		"with every target":             {spec: target(`"*"`, ""), target: "web"},
		"with targets by their labels":  {spec: target("deployments", "") + "    objectSelector: {matchLabels: {app: web}}\n", target: "web"},
		"with targets of other labels":  {spec: target("deployments", "") + "    objectSelector: {matchLabels: {app: web}}\n", target: "other", want: "ObjectOutOfScope"},
		"with targets that are not yet": {spec: target("deployments", "") + "    objectSelector: {matchLabels: {app: web}}\n", target: "nothing", want: "ObjectOutOfScope"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, agent, _ := governed(t, e, tc.spec)
			allowed(t, e.admin.Create(t.Context(), deployment(namespace, "other")))
			if err := agent.Create(t.Context(), autoscaler(namespace, tc.target, 3)); tc.want != "" {
				refused(t, err, tc.want)
			} else {
				allowed(t, err)
			}
		})
	}
	namespace, agent, _ := governed(t, e, target("deployments", ", resourceNames: [web]"))
	other := autoscaler(namespace, "other", 9)
	allowed(t, e.admin.Create(t.Context(), other))
	// To lead an autoscaler away from a target acts on that as well.
	refused(t, patch(t.Context(), agent, other, types.MergePatchType, `{"spec":{"scaleTargetRef":{"name":"web"}}}`), "ObjectOutOfScope")
	web := autoscaler(namespace, "web", 9)
	allowed(t, agent.Create(t.Context(), web))
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"maxReplicas":8}}`))
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"scaleTargetRef":{"name":"other"}}}`), "ObjectOutOfScope")
	unknown := autoscaler(namespace, "x", 1)
	unknown.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "example.com/v1", Kind: "Unknown", Name: "x"}
	refused(t, agent.Create(t.Context(), unknown), "ObjectOutOfScope")
}

// testNamedLevers names what acts on other objects, and fields that do.
func testNamedLevers(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: kinds
  scope:
    resourceRules:
    - {apiGroups: [policy], resources: [poddisruptionbudgets], operations: ["*"]}
    - {apiGroups: [batch], resources: [cronjobs], operations: [CREATE]}
    - {apiGroups: [""], resources: [services], operations: [CREATE]}
    - {apiGroups: [""], resources: ["*"], operations: [CREATE], resourceNames: [none]}
    namespaces: [NAMESPACE]
- name: pause
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: [spec, spec.paused]
- name: lead
  scope:
    resourceRules: [{apiGroups: [""], resources: [services], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: [spec.selector]
`)
	pods := &corev1.PodList{}
	operatortest.Eventually(t, "the Deployment has pods", func(ctx context.Context) error { // paused it gets none
		if err := e.admin.List(ctx, pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	budget := disruptionBudget(namespace)
	allowed(t, agent.Create(t.Context(), budget))
	allowed(t, agent.Delete(t.Context(), budget))
	allowed(t, agent.Create(t.Context(), becomingPods()["CronJob"](namespace, "")))
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`))
	allowed(t, agent.Create(t.Context(), service(namespace)))
	allowed(t, patch(t.Context(), agent, service(namespace), types.MergePatchType, `{"spec":{"selector":{"app":"web"}}}`))
	refused(t, agent.Delete(t.Context(), &pods.Items[0]), "ActionOutOfScope") // a task for Deployments is none for their pods
	err := agent.Create(t.Context(), &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"}})
	if refused(t, err, "ActionOutOfScope"); !strings.Contains(err.Error(), "only where a rule names it, not by *") {
		t.Errorf("the refusal does not say what to write: %v", err)
	}
}

// testTokenSecret has a person make the Secret: whom it is for cannot be changed either, and revoking it is no matter.
func testTokenSecret(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, "enforcement: Enforce\nsubjects: [AGENT]\noutOfScope: Allow\n"+
		"guards: [{name: probe, expression: \"object == null || object.metadata.name != 'probe'\"}]\n")
	allowed(t, e.admin.Create(t.Context(), tokenSecret(namespace)))
	operatortest.Eventually(t, "the Secret has a token", func(ctx context.Context) error {
		s := tokenSecret(namespace)
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
			return err
		}
		if len(s.Data["token"]) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	other := tokenSecret(namespace)
	other.Name = "other"
	refused(t, agent.Create(t.Context(), other), "ReservedAction")
	refused(t, patch(t.Context(), agent, tokenSecret(namespace), types.MergePatchType,
		`{"metadata":{"annotations":{"kubernetes.io/service-account.name":"deployer"}}}`), "ReservedAction")
	allowed(t, agent.Delete(t.Context(), tokenSecret(namespace)))
}

// testGuardsOfLevers takes the guards of the document.
func testGuardsOfLevers(t *testing.T, e *environment) {
	document, err := os.ReadFile("../docs/levers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(document), "```yaml\n")
	manifest, _, _ := strings.Cut(rest, "```")
	spec := published(t, manifest)
	spec.Guards = append(spec.Guards, v1alpha1.Guard{Name: "probe", Expression: "object.metadata.name != 'probe'"})
	namespace, agent, web := governed(t, e, forAgent(t, spec))
	suspended := job(named(namespace))
	suspended.Spec.Suspend = new(true)
	refused(t, agent.Create(t.Context(), suspended), "GuardViolated")
	allowed(t, agent.Create(t.Context(), job(named(namespace))))
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`), "GuardViolated")
	for class, want := range map[string]string{"high": "GuardViolated", "low": "", "": ""} {
		d := deployment(namespace, "new-"+class+"x")
		d.Spec.Template.Spec.PriorityClassName = class
		if err := agent.Create(t.Context(), d); want != "" {
			refused(t, err, want)
		} else {
			allowed(t, err)
		}
	}
}

// testBudgetServes takes the guard of the example: the disruption controller counts the pods.
func testBudgetServes(t *testing.T, e *environment) {
	manifest, err := os.ReadFile("../examples/thresholds/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := published(t, string(manifest))
	spec.Tasks[0].Scope.Namespaces = []string{"NAMESPACE"}
	namespace, agent, _ := governed(t, e, forAgent(t, spec))
	at := &place{environment: e, namespace: namespace}
	serving, budget := at.readyPod(t), disruptionBudget(namespace)
	allowed(t, agent.Create(t.Context(), budget))
	operatortest.Eventually(t, "the pod is held", func(ctx context.Context) error { return held(ctx, at) })
	refused(t, agent.Delete(t.Context(), budget.DeepCopy()), "GuardViolated")
	refused(t, patch(t.Context(), agent, budget, types.MergePatchType, `{"spec":{"minAvailable":0}}`), "GuardViolated")
	allowed(t, held(t.Context(), at))
	allowed(t, e.admin.Delete(t.Context(), serving, client.GracePeriodSeconds(0)))
	operatortest.Eventually(t, "the budget can go", func(ctx context.Context) error { return agent.Delete(ctx, budget.DeepCopy()) })
}

// published is the spec of a policy that is shown to readers.
func published(t *testing.T, manifest string) *v1alpha1.AgentActionPolicySpec {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict([]byte(manifest), p); err != nil {
		t.Fatal(err)
	}
	return &p.Spec
}

// forAgent has the agent be its subject.
func forAgent(t *testing.T, spec *v1alpha1.AgentActionPolicySpec) string {
	t.Helper()
	spec.Subjects = nil
	text, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(text), "subjects: null\n", "", 1) + "subjects: [AGENT]\n"
}
