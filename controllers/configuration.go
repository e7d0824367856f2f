package controllers

import (
	"cmp"
	"slices"
	"strconv"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

// Names of the webhook configurations that the operator owns.
const (
	// ActionsConfiguration sends the actions of governed and observed subjects to the operator.
	ActionsConfiguration = "countersign-actions"
	// PoliciesConfiguration sends policies and approvals to the operator for validation.
	PoliciesConfiguration = "countersign-policies"
	// ApprovalsConfiguration sends approvals to the operator, which records who decides. It is a mutating one.
	ApprovalsConfiguration = "countersign-approvals"
)

// Paths at which the webhook server answers.
const (
	// EnforcePath is for subjects of Enforce policies.
	EnforcePath = "/enforce"
	// ObservePath is for subjects that only Warn and Audit policies name.
	ObservePath = "/observe"
	// PoliciesPath is for policies.
	PoliciesPath = "/policies"
	// StampPath and ApprovalsPath are for approvals: to record verdicts, and to validate.
	StampPath     = "/approvals/stamp"
	ApprovalsPath = "/approvals/validate"
	// ActivitiesPath is for what agents did.
	ActivitiesPath = "/activities/validate"
)

// webhookTimeout is how long the API server waits for an answer, in seconds.
const webhookTimeout = 5

// Endpoint is where the API server finds the operator.
type Endpoint struct {
	// URL is the base of a server outside of the cluster, such as https://127.0.0.1:9443. Empty: Service is used.
	URL string
	// Namespace and Service name the operator's service.
	Namespace, Service string
}

func (e Endpoint) clientConfig(path string, caBundle []byte) admissionregistrationv1.WebhookClientConfig {
	config := admissionregistrationv1.WebhookClientConfig{CABundle: caBundle}
	if e.URL != "" {
		config.URL = new(e.URL + path)
		return config
	}
	config.Service = &admissionregistrationv1.ServiceReference{
		Namespace: e.Namespace, Name: e.Service, Path: new(path), Port: ptr.To[int32](443),
	}
	return config
}

// delivery says whose actions the API server must send to the operator for one set of policies.
type delivery struct {
	set               *policy.Set
	enforce, observe  protection.Subjects
	enforceExpression string
	observeExpression string
	// left are the policies whose subjects do not fit any more.
	left map[string]bool
}

// deliveries remembers the last delivery: it is asked for by every policy of the same set.
type deliveries struct {
	mu   sync.Mutex
	last *delivery
}

func (d *deliveries) of(set *policy.Set) *delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || d.last.set != set {
		d.last = newDelivery(set)
	}
	return d.last
}

// newDelivery takes in the subjects of all policies. Where that is more than the API server accepts, Enforce policies
// come first, within these the oldest, and what does not fit is left out: so what was in force stays in force.
func newDelivery(set *policy.Set) *delivery {
	d := &delivery{set: set, left: map[string]bool{}, enforce: alwaysGoverned(set)}
	for _, p := range set.Policies() {
		d.target(p).Add(p.Subjects())
	}
	d.enforce.Tidy()
	d.observe.Tidy()
	if !fit(&d.enforce, &d.observe) {
		d.fill()
	}
	d.enforceExpression, d.observeExpression = d.enforce.Expression(), d.observe.Expression()
	return d
}

// alwaysGoverned is who is governed whatever the policies say: the canary.
func alwaysGoverned(set *policy.Set) protection.Subjects {
	if set.Canary() == "" {
		return protection.Subjects{}
	}
	return protection.Subjects{Users: []string{set.Canary()}}
}

// target is where the subjects of a policy belong.
func (d *delivery) target(p *policy.Policy) *protection.Subjects {
	if p.Enforcement == v1alpha1.Enforce {
		return &d.enforce
	}
	return &d.observe
}

// fill begins anew and takes in policy after policy while they fit.
func (d *delivery) fill() {
	d.enforce, d.observe = alwaysGoverned(d.set), protection.Subjects{}
	left := room{left: maxExpression - len(scaffold.Expression()) - len(scaffold.Expression())}
	for _, p := range byPrecedence(d.set.Policies()) {
		target := d.target(p)
		if !left.take(target == &d.enforce, p.Subjects()) {
			d.left[p.Name] = true
			continue
		}
		target.Add(p.Subjects())
	}
	d.enforce.Tidy()
	d.observe.Tidy()
}

func byPrecedence(policies []*policy.Policy) []*policy.Policy {
	sorted := slices.Clone(policies)
	slices.SortStableFunc(sorted, func(a, b *policy.Policy) int {
		return cmp.Or(
			cmp.Compare(boolRank(a.Enforcement != v1alpha1.Enforce), boolRank(b.Enforcement != v1alpha1.Enforce)),
			a.CreatedAt.Compare(b.CreatedAt),
		)
	})
	return sorted
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// actionWebhooks are the entries of the actions configuration. The two are disjoint, so no request is reviewed
// twice; they differ in what happens while the operator is down.
func (d *delivery) actionWebhooks(e Endpoint, caBundle []byte) []admissionregistrationv1.ValidatingWebhook {
	var hooks []admissionregistrationv1.ValidatingWebhook
	if !d.enforce.Empty() {
		hooks = append(hooks, entry("enforce", e.clientConfig(EnforcePath, caBundle), admissionregistrationv1.Fail, everything(),
			admissionregistrationv1.SideEffectClassNoneOnDryRun, condition("governed-subjects", d.enforceExpression)))
	}
	if !d.observe.Empty() {
		conditions := []admissionregistrationv1.MatchCondition{condition("observed-subjects", d.observeExpression)}
		if !d.enforce.Empty() {
			conditions = append(conditions, condition("not-governed", "!("+d.enforceExpression+")"))
		}
		hooks = append(hooks, entry("observe", e.clientConfig(ObservePath, caBundle), admissionregistrationv1.Ignore, everything(),
			admissionregistrationv1.SideEffectClassNoneOnDryRun, conditions...))
	}
	return hooks
}

// policyWebhooks are the entries of the policies configuration: for everybody, whatever their rights.
func policyWebhooks(e Endpoint, caBundle []byte, self policy.Identity) []admissionregistrationv1.ValidatingWebhook {
	return []admissionregistrationv1.ValidatingWebhook{
		entry("policies", e.clientConfig(PoliciesPath, caBundle), admissionregistrationv1.Fail, writes("agentactionpolicies"),
			admissionregistrationv1.SideEffectClassNone),
		entry("approvals", e.clientConfig(ApprovalsPath, caBundle), admissionregistrationv1.Fail,
			writes("actionapprovals", "actionapprovals/status"), admissionregistrationv1.SideEffectClassNone, othersOnly(self)),
		entry("activities", e.clientConfig(ActivitiesPath, caBundle), admissionregistrationv1.Fail,
			writes("agentactivities", "agentactivities/status"), admissionregistrationv1.SideEffectClassNone, othersOnly(self)),
	}
}

// approvalWebhooks are the entries of the mutating configuration. It is not called again after other webhooks: what
// these change, the validating entry refuses.
func approvalWebhooks(e Endpoint, caBundle []byte, self policy.Identity) []admissionregistrationv1.MutatingWebhook {
	v := entry("stamp", e.clientConfig(StampPath, caBundle), admissionregistrationv1.Fail, writes("actionapprovals"),
		admissionregistrationv1.SideEffectClassNone, othersOnly(self))
	return []admissionregistrationv1.MutatingWebhook{{
		Name: v.Name, ClientConfig: v.ClientConfig, Rules: v.Rules, FailurePolicy: v.FailurePolicy, MatchPolicy: v.MatchPolicy,
		NamespaceSelector: v.NamespaceSelector, ObjectSelector: v.ObjectSelector, SideEffects: v.SideEffects,
		TimeoutSeconds: v.TimeoutSeconds, AdmissionReviewVersions: v.AdmissionReviewVersions, MatchConditions: v.MatchConditions,
		ReinvocationPolicy: new(admissionregistrationv1.NeverReinvocationPolicy),
	}}
}

// writes are the creates and updates of Countersign's own resources, by everybody.
func writes(resources ...string) []admissionregistrationv1.RuleWithOperations {
	r := rule(v1alpha1.GroupName, v1alpha1.GroupVersion.Version, resources[0])
	r.Resources = resources
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}, Rule: r,
	}}
}

// othersOnly leaves out what the operator does to approvals and activities while it answers a review: opening a request, and
// recording a use or an action. It would ask itself, and a replica that does not answer would hold up those that do.
func othersOnly(self policy.Identity) admissionregistrationv1.MatchCondition {
	return condition("others-only", "!(has(request.userInfo.username) && request.userInfo.username == "+strconv.QuoteToASCII(self.Username)+
		" && (request.operation == 'CREATE' || has(request.subResource) && request.subResource == 'status'))")
}

func everything() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       rule("*", "*", "*/*"),
	}}
}

func rule(group, version, resource string) admissionregistrationv1.Rule {
	return admissionregistrationv1.Rule{
		APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource},
		Scope: ptr.To(admissionregistrationv1.AllScopes),
	}
}

func condition(name, expression string) admissionregistrationv1.MatchCondition {
	return admissionregistrationv1.MatchCondition{Name: name, Expression: expression}
}

// entry spells every field out, defaults included, so that comparing it with what is stored finds drift and
// nothing else. It has no selectors: whoever could label an object or namespace could step around them.
func entry(name string, client admissionregistrationv1.WebhookClientConfig, failure admissionregistrationv1.FailurePolicyType,
	rules []admissionregistrationv1.RuleWithOperations, effects admissionregistrationv1.SideEffectClass,
	conditions ...admissionregistrationv1.MatchCondition,
) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: name + "." + v1alpha1.GroupName, ClientConfig: client, Rules: rules,
		FailurePolicy: &failure, SideEffects: &effects, MatchConditions: conditions,
		MatchPolicy:       ptr.To(admissionregistrationv1.Equivalent),
		NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
		TimeoutSeconds:          ptr.To[int32](webhookTimeout),
		AdmissionReviewVersions: []string{"v1"},
	}
}
