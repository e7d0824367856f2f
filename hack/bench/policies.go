package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// governed is the service account whose updates are measured under Countersign.
const governed = "governed"

// matching is a policy about what is measured: a change window that is open, a freeze that is not on, and a task that covers it.
const matching = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: NAME}
spec:
  enforcement: Enforce
  subjects: [{kind: ServiceAccount, namespace: ci, name: governed}]
  timeZone: Europe/Berlin
  windows:
  - {name: always, weekly: {days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun], start: "00:00", end: "00:00"}}
  - {name: year-end, once: {from: "2098-12-18T17:00:00+01:00", to: "2099-01-04T08:00:00+01:00"}}
  changeWindows: {allowed: [always]}
  freezes: [{window: year-end}]
  tasks:
  - name: roll
    scope:
      resourceRules:
      - {apiGroups: [apps], resources: [deployments], operations: [UPDATE]}
      - {apiGroups: [""], resources: [configmaps, secrets], operations: [UPDATE]}
      namespaces: [shop]
      fields: ["spec.template.spec.containers[*].image", data]
`

// otherAccount and otherResource are policies about something else: 500 other accounts, as one in two policies name one, and
// the same account and another kind.
const (
	otherAccount = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: NAME}
spec:
  enforcement: Enforce
  subjects: [{kind: ServiceAccount, namespace: team-NUMBER, name: bot}]
  tasks:
  - name: roll
    scope:
      resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
      namespaces: [team-NUMBER]
`
	otherResource = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: NAME}
spec:
  enforcement: Enforce
  subjects: [{kind: ServiceAccount, namespace: ci, name: governed}]
  governs: {resourceRules: [{apiGroups: [example.com], resources: [kindNUMBERs], operations: ["*"]}]}
  tasks:
  - name: roll
    scope:
      resourceRules: [{apiGroups: [example.com], resources: [kindNUMBERs], operations: [UPDATE]}]
      namespaces: [shop]
`
	otherAccounts = 500
)

// policyOf is the i-th of several of which so many match.
func policyOf(i, match int) (*v1alpha1.AgentActionPolicy, error) {
	text, number := matching, i
	switch {
	case i < match:
	case i%2 == 0:
		text, number = otherAccount, i/2%otherAccounts
	default:
		text = otherResource
	}
	return readPolicy(text, i, number)
}

// accountPolicyOf is the i-th of several that each govern an account of their own.
func accountPolicyOf(i int) (*v1alpha1.AgentActionPolicy, error) {
	return readPolicy(otherAccount, i, i)
}

func readPolicy(text string, i, number int) (*v1alpha1.AgentActionPolicy, error) {
	text = strings.NewReplacer("NAME", fmt.Sprintf("policy-%05d", i), "NUMBER", fmt.Sprint(number)).Replace(text)
	p := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	return p, nil
}

// createPolicies makes policies. Where the operator does not run yet, nobody has to validate them.
func createPolicies(ctx context.Context, s *testbed.Testbed, n int, policy func(i int) (*v1alpha1.AgentActionPolicy, error)) error {
	return atOnce(n, func(i int) error {
		p, err := policy(i)
		if err != nil {
			return err
		}
		return s.Create(ctx, p)
	})
}

// atOnce calls a function for 0 to n-1, some at once.
func atOnce(n int, do func(i int) error) error {
	const workers = 8
	errs := make(chan error, workers)
	var doing sync.WaitGroup
	for w := range workers {
		doing.Go(func() {
			for i := w; i < n; i += workers {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	doing.Wait()
	close(errs)
	return <-errs
}

// waitEnforced waits until all policies say that they are enforced, and so until the operator has nothing to do for them.
func waitEnforced(ctx context.Context, s *testbed.Testbed) error {
	return measure.Wait(ctx, "all policies are enforced", 10*time.Minute, func(ctx context.Context) error {
		var list v1alpha1.AgentActionPolicyList
		if err := s.Admin.List(ctx, &list, client.Limit(0)); err != nil {
			return err
		}
		left := 0
		for i := range list.Items {
			if !meta.IsStatusConditionPresentAndEqual(list.Items[i].Status.Conditions, v1alpha1.PolicyEnforced, metav1.ConditionTrue) {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		// Reading all of them is work for the API server that the operator needs: not too often.
		return fmt.Errorf("%d of %d are not; %w", left, len(list.Items), measure.Pause(ctx, time.Second))
	})
}
