package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/testbed"
	"github.com/countersign-dev/countersign/internal/approval"
)

const (
	// subjectsInAll is how many service accounts the policies name together, as the target says: several policies
	// are about each.
	subjectsInAll = 1000
	// namespacesInAll is over how many namespaces approvals and accounts are spread.
	namespacesInAll = 100
	storedPrefix    = "/registry/" + v1alpha1.GroupName + "/"
)

// policyYAML is a policy of the kind that people write: windows, a freeze, a task with a budget, a guard. What stands in
// capitals differs between policies.
const policyYAML = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: policy-NUMBER}
spec:
  enforcement: Enforce
  subjects:
  - {kind: ServiceAccount, namespace: team-SPACE, name: agent-for-releases-ACCOUNT}
  outOfScope: Deny
  timeZone: Europe/Berlin
  windows:
  - {name: always, weekly: {days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun], start: "00:00", end: "00:00"}}
  - {name: year-end, once: {from: "2036-12-18T17:00:00+01:00", to: "2037-01-04T08:00:00+01:00"}}
  changeWindows: {allowed: [always]}
  freezes:
  - {window: year-end, reason: Year-end close}
  tasks:
  - name: roll-images
    description: Roll new images of the shop's services.
    scope:
      resourceRules:
      - {apiGroups: [apps], resources: [deployments], operations: [UPDATE]}
      namespaces: [team-SPACE]
      fields: ["spec.template.spec.containers[*].image", spec.replicas]
    budget: {maxActions: 10, per: 1h}
  guards:
  - name: small-steps
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    expression: "object.spec.replicas - oldObject.spec.replicas <= 1NUMBER"
    messageExpression: "'scaling by ' + string(object.spec.replicas - oldObject.spec.replicas) + ' replicas at once'"
`

// approvalYAML is an approval as the operator opens one for an update of a Deployment.
const approvalYAML = `
apiVersion: countersign.dev/v1alpha1
kind: ActionApproval
metadata: {name: web-NAME, namespace: team-SPACE}
spec:
  requester:
    username: system:serviceaccount:team-SPACE:agent-for-releases-ACCOUNT
    uid: 0e8f1f7c-53a2-4f0e-9d1e-0000000ACCOUNT
    podName: agent-for-releases-7c5d8f9b6d-x2x7k
    podUID: 3d8c2a4e-9f0b-4c6e-8a1d-5b7e9c1f2a3d
    credentialID: JTI=6d1b7a52-63a9-4d8e-b2c1-8f7e6d5c4b3a
  action:
    operation: UPDATE
    group: apps
    version: v1
    resource: deployments
    namespace: team-SPACE
    name: web
    uid: TARGETID
    hash: v1:1a2b3c4d:HASH
    changes:
    - path: "spec.template.spec.containers[name=web].image"
      from: '"registry.example.com/shop/web:1.41.0"'
      to: '"registry.example.com/shop/web:1.42.0"'
    - {path: spec.replicas, from: "3", to: "12"}
  reasons:
  - {type: GuardViolated, policy: policy-00001, name: small-steps}
  - {type: ChangeWindowClosed, policy: policy-00001, name: always}
  requirements:
  - name: sre
    minApprovals: 1
    approvers: [{kind: Group, name: sre}]
    policy:
      name: policy-00001
      uid: 7b1e3c52-0d4f-4a5b-8c6d-7e8f9a0b1c2d
      hash: "v1:9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab"
  requestExpiresAt: "EXPIRES"
  validFor: 1h
  bindTo: User
`

// diffText is as long as the diff of a small change.
var diffText = "--- web\n+++ web\n" + strings.Repeat("@@ -21,7 +21,7 @@ spec:\n         image: registry.example.com/shop/web:1.41.0\n", 12)

// Values that templates are stored with, of the same shape as those that take their places.
const (
	markedUID    = "00000000-0000-4000-8000-000000000000"
	markedHash   = "0000000000000000000000000000000000000000000000000000000000000000"
	markedName   = "00000000000000000000"
	markedTarget = "11111111-1111-4111-8111-111111111111"
)

// population fills the storage.
type population struct {
	bed     *testbed.Testbed
	storage *storage
	// endedSize and pendingSize are the bytes that one approval takes in the storage.
	endedSize, pendingSize int
}

// template is an object as an API server has stored it, and what differs in its copies.
type template struct {
	key   string
	value []byte
}

// store creates an object through the API, reads what was stored, and removes it.
func (b *population) store(ctx context.Context, o client.Object, prefix string, status func()) (template, error) {
	if err := b.bed.Admin.Create(ctx, o); err != nil {
		return template{}, fmt.Errorf("creating %s: %w", o.GetName(), err)
	}
	if status != nil {
		status()
		if err := b.bed.Admin.Status().Update(ctx, o); err != nil {
			return template{}, fmt.Errorf("writing the status of %s: %w", o.GetName(), err)
		}
	}
	key := prefix + strings.Trim(o.GetNamespace()+"/"+o.GetName(), "/")
	value, err := b.storage.get(ctx, key)
	if err != nil {
		return template{}, err
	}
	value = bytes.ReplaceAll(value, []byte(o.GetUID()), []byte(markedUID))
	if err := b.bed.Admin.Delete(ctx, o); err != nil {
		return template{}, fmt.Errorf("removing %s: %w", o.GetName(), err)
	}
	return template{key, value}, nil
}

// copy is the template with other words in it, in pairs.
func (t template) copy(words ...string) pair {
	replacer := strings.NewReplacer(words...)
	return pair{Key: []byte(replacer.Replace(t.key)), Value: []byte(replacer.Replace(string(t.value)))}
}

func uid(kind, i int) string {
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", i*2654435761&0xffffffff, kind, i)
}

func accountOf(i int) (space, account string) {
	account = fmt.Sprintf("%05d", i%subjectsInAll)
	return fmt.Sprintf("%03d", i%subjectsInAll%namespacesInAll), account
}

const policiesPrefix = storedPrefix + "agentactionpolicies/"

// fillPolicies stores n policies.
func (b *population) fillPolicies(ctx context.Context, n int) error {
	text := strings.NewReplacer("NUMBER", "99999", "SPACE", "999", "ACCOUNT", "99999").Replace(policyYAML)
	p := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	stored, err := b.store(ctx, p, policiesPrefix, nil)
	if err != nil {
		return err
	}
	return b.storage.fill(ctx, n, func(i int) pair {
		space, account := accountOf(i)
		number := fmt.Sprintf("%05d", i)
		return stored.copy("policy-99999", "policy-"+number, "199999", "1"+number,
			"team-999", "team-"+space, "releases-99999", "releases-"+account, markedUID, uid(1, i))
	})
}

const approvalsPrefix = storedPrefix + "actionapprovals/"

// ending is how some of the approvals have ended.
type ending struct {
	share   int // of ten
	verdict v1alpha1.DecisionVerdict
	used    bool
	reason  string
}

var endings = []ending{
	{share: 6, verdict: v1alpha1.VerdictApprove, used: true, reason: v1alpha1.ReasonSpent},
	{share: 2, reason: v1alpha1.ReasonExpired},
	{share: 1, verdict: v1alpha1.VerdictDeny, reason: v1alpha1.ReasonDenied},
	{share: 1, verdict: v1alpha1.VerdictApprove, reason: v1alpha1.ReasonVoid},
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// fillApprovals stores ended and pending approvals.
func (b *population) fillApprovals(ctx context.Context, ended, pending int) error {
	var shares []template
	for _, e := range endings {
		t, err := b.storeApproval(ctx, &e)
		if err != nil {
			return err
		}
		for range e.share {
			shares = append(shares, t)
		}
	}
	waiting, err := b.storeApproval(ctx, nil)
	if err != nil {
		return err
	}
	b.endedSize, b.pendingSize = len(shares[0].value), len(waiting.value)
	now := time.Now()
	err = b.storage.fill(ctx, ended, func(i int) pair {
		at := now.Add(-time.Duration(i) * 29 * 24 * time.Hour / time.Duration(ended+1)).Add(-6 * time.Hour)
		return b.approvalCopy(shares[i%len(shares)], 2, i, at)
	})
	if err != nil {
		return err
	}
	return b.storage.fill(ctx, pending, func(i int) pair { return b.approvalCopy(waiting, 3, i, now) })
}

func (b *population) approvalCopy(t template, kind, i int, at time.Time) pair {
	space, account := accountOf(i)
	words := []string{
		"team-999", "team-" + space, "releases-99999", "releases-" + account, "000000099999", "0000000" + account,
		markedName, fmt.Sprintf("%020d", kind*10_000_000+i), markedUID, uid(kind, i), markedTarget, uid(kind+10, i%5000),
		markedHash, fmt.Sprintf("%064x", kind*10_000_000+i),
	}
	for hours, marked := range markedTimes {
		words = append(words, instant(marked), instant(at.Add(time.Duration(hours)*time.Hour)))
	}
	return t.copy(words...)
}

// markedTimes are creation, end and expiry of a template, in hours after its creation.
var markedTimes = map[int]time.Time{
	0: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
	1: time.Date(2001, 1, 1, 1, 0, 0, 0, time.UTC),
	4: time.Date(2001, 1, 1, 4, 0, 0, 0, time.UTC),
}

// storeApproval stores one approval that has ended, or is pending where e is nil.
func (b *population) storeApproval(ctx context.Context, e *ending) (template, error) {
	text := strings.NewReplacer("NAME", markedName, "SPACE", "999", "ACCOUNT", "99999", "TARGETID", markedTarget, "HASH", markedHash,
		"EXPIRES", instant(markedTimes[4])).Replace(approvalYAML)
	a := &v1alpha1.ActionApproval{}
	if err := yaml.UnmarshalStrict([]byte(text), a); err != nil {
		return template{}, fmt.Errorf("reading the approval: %w", err)
	}
	end := metav1.NewTime(markedTimes[1])
	if e == nil {
		a.Spec.Action.Diff = diffText
	} else if e.verdict != "" {
		a.Spec.Decisions = []v1alpha1.RecordedDecision{{
			Verdict: e.verdict, Comment: "Looks right, the load test of this morning says twelve will do.", Time: end,
			Approver: v1alpha1.ApproverIdentity{
				Username: "alice@example.com", Groups: []string{"sre", "platform", "oncall", "system:authenticated"},
				CredentialID: "X509SHA256=0f5e3d0f0f0e4d8c9b7a6f5e4d3c2b1a0f5e3d0f0f0e4d8c9b7a6f5e4d3c2b1a",
			},
		}}
	}
	if e == nil {
		expires := metav1.NewTime(time.Now().Add(4 * time.Hour).Truncate(time.Second))
		a.Spec.RequestExpiresAt = &expires
	}
	t, err := b.store(ctx, a, approvalsPrefix, func() {
		if e == nil {
			a.Status = approval.StatusOf(a, time.Now())
			return
		}
		a.Status = endedStatus(e)
		a.Status = approval.StatusOf(a, markedTimes[1]) // as the operator would leave it
	})
	if err != nil {
		return template{}, err
	}
	created := a.CreationTimestamp.UTC().Format(time.RFC3339)
	t.value = bytes.ReplaceAll(t.value, []byte(`"creationTimestamp":"`+created), []byte(`"creationTimestamp":"`+instant(markedTimes[0])))
	return t, nil
}

// endedStatus is the status of an approval that has ended.
func endedStatus(e *ending) v1alpha1.ActionApprovalStatus {
	end := metav1.NewTime(markedTimes[1])
	approved := metav1.Condition{
		Type: v1alpha1.ApprovalApproved, Status: metav1.ConditionFalse, Reason: e.reason,
		Message: "the approval has ended", LastTransitionTime: end, ObservedGeneration: 1,
	}
	decided := approved
	decided.Type = v1alpha1.ApprovalDecided
	if e.verdict != "" {
		decided.Status, decided.Reason = metav1.ConditionTrue, v1alpha1.ReasonApproved
	}
	status := v1alpha1.ActionApprovalStatus{Conditions: []metav1.Condition{approved, decided}}
	if e.used {
		status.Uses = []v1alpha1.ApprovalUse{{
			Key: "update:" + markedTarget + ":7:" + markedHash[:32], Time: end, Since: "123456", Outcome: v1alpha1.UseStored, SettledAt: &end,
			Object: &v1alpha1.UsedObject{
				Group: "apps", Version: "v1", Resource: "deployments", Name: "web", UID: markedTarget, ResourceVersion: "123455", Generation: 7,
			},
		}}
	}
	return status
}
