package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// sameRule is what a ValidatingAdmissionPolicy can say of what the policy "matching" says: whom it is about, where, and which
// fields may change. It cannot say when: an admission policy knows no time.
const sameRule = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: ["*"], resources: [deployments], operations: [UPDATE]}]
  matchConditions:
  - {name: account, expression: "request.userInfo.username == 'system:serviceaccount:ci:governed'"}
  validations:
  - expression: request.namespace == 'shop'
  - expression: >-
      object.metadata.?labels == oldObject.metadata.?labels &&
      object.spec.replicas == oldObject.spec.replicas && object.spec.strategy == oldObject.spec.strategy &&
      object.spec.?revisionHistoryLimit == oldObject.spec.?revisionHistoryLimit &&
      object.spec.?minReadySeconds == oldObject.spec.?minReadySeconds && object.spec.?paused == oldObject.spec.?paused &&
      object.spec.template.metadata == oldObject.spec.template.metadata &&
      object.spec.template.spec.?volumes == oldObject.spec.template.spec.?volumes &&
      object.spec.template.spec.?serviceAccountName == oldObject.spec.template.spec.?serviceAccountName &&
      object.spec.template.spec.?securityContext == oldObject.spec.template.spec.?securityContext
  - expression: >-
      object.spec.template.spec.containers.size() == oldObject.spec.template.spec.containers.size() &&
      object.spec.template.spec.containers.all(c, oldObject.spec.template.spec.containers.exists(o, o.name == c.name &&
      c.?env == o.?env && c.?ports == o.?ports && c.?resources == o.?resources && c.?command == o.?command &&
      c.?args == o.?args && c.?volumeMounts == o.?volumeMounts && c.?securityContext == o.?securityContext))
`

// marker is one that refuses an object of its name, so that it is seen when all before it are in force: the API server
// takes up all that it knows at once.
const marker = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE], resourceNames: [NAME]}]
  validations: [{expression: "false"}]
`

// byAgent and byPerson are who updates.
const byAgent, byPerson = "an agent", "a person"

// ruleTurn is longer than other laps: an update may take a tenth of a second.
const ruleTurn, ruleRounds = 1500 * time.Millisecond, 3

// measureAdmissionPolicies has the same updates judged by both, and the API server say how long each of them took.
func measureAdmissionPolicies(ctx context.Context, b *measure.Run) error {
	laps := b.Rounds(ruleRounds)
	b.Report.Settingf("one replica, reached directly; all policies of both kinds match; 1 client updates a Deployment; %s of %s",
		plural(laps, "lap"), measure.Duration(b.Phase(ruleTurn)))
	s, err := startWith(ctx, b, 1, allMatch)
	if err != nil {
		return err
	}
	defer s.Close()
	agent, err := s.Agent(ctx, governed)
	if err != nil {
		return err
	}
	person, err := s.Person()
	if err != nil {
		return err
	}
	load := workload{smallDeployment, 1}
	if _, err := load.kind.furnish(ctx, s, load.clients+1); err != nil { // one for what is refused
		return err
	}
	var rows [][]string
	for _, n := range []int{1, 100, 1000} {
		if err := enforceBoth(ctx, s, n); err != nil {
			return err
		}
		t := &turns{variants: []variant{
			{name: byAgent, bed: s, client: agent, webhook: enforceName}, {name: byPerson, bed: s, client: person},
		}}
		if err := t.run(ctx, []workload{load}, laps, b.Phase(ruleTurn)); err != nil {
			return err
		}
		calls, _ := t.calls(byAgent)
		_, others := t.calls(byPerson)
		b.Report.Claim(calls >= t.updates(byAgent) && others == 0 && t.updates(byPerson) > 0,
			fmt.Sprintf("%d of each: Countersign is asked about the agent's updates, and about no person's", n),
			"%d by %d, %d by %d", calls, t.updates(byAgent), others, t.updates(byPerson))
		ratios := measure.CompareTimes(t.of(load, byAgent, policies), t.of(load, byAgent, webhooks))
		rows = append(rows, []string{
			thousands(n), t.median(load, byAgent, webhooks), t.median(load, byPerson, webhooks), t.median(load, byAgent, policies),
			t.median(load, byPerson, policies), ratios.String(),
		})
	}
	b.Report.Table("the API server's admission of an update by Countersign (C) and by VAP (V)",
		[]string{"policies", "C, agent", "C, person", "V, agent", "V, person", "agent: V to C"}, rows)
	return nil
}

func allMatch(i int) (*v1alpha1.AgentActionPolicy, error) { return policyOf(i, i+1) }

// enforceBoth makes there be so many policies of both kinds, and waits until they are in force.
func enforceBoth(ctx context.Context, s *testbed.Testbed, n int) error {
	if err := createPolicies(ctx, s, n, allMatch); err != nil {
		return err
	}
	if err := waitEnforced(ctx, s); err != nil {
		return err
	}
	last := fmt.Sprintf("marker-%05d", n)
	err := atOnce(n, func(i int) error { return createRule(ctx, s, sameRule, fmt.Sprintf("rule-%05d", i)) })
	if err != nil {
		return err
	}
	if err := createRule(ctx, s, marker, last); err != nil {
		return err
	}
	err = measure.Wait(ctx, "all admission policies are in force", 5*time.Minute, func(ctx context.Context) error {
		marked := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: last}}
		if err := s.Admin.Create(ctx, marked, client.DryRunAll); err == nil || !strings.Contains(err.Error(), last+"' with binding") {
			return errors.Join(errors.New("the last does not refuse"), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return refusedByRule(ctx, s)
}

// createRule makes an admission policy and puts it in force. The binding comes first, so that whoever sees the policy has seen
// it too.
func createRule(ctx context.Context, s *testbed.Testbed, text, name string) error {
	rule := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(text, "NAME", name)), rule); err != nil {
		return fmt.Errorf("reading an admission policy: %w", err)
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	return s.Create(ctx, binding, rule)
}

// refusedByRule fails unless admission policies refuse an agent what Countersign would refuse.
func refusedByRule(ctx context.Context, s *testbed.Testbed) error {
	agent, err := s.Agent(ctx, governed)
	if err != nil {
		return err
	}
	if err := refusal(ctx, agent); err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'rule-") {
		return errors.Join(errors.New("the admission policies do not refuse what they should"), err)
	}
	return nil
}
