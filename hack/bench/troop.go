package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// troop is how many Deployments are changed at once.
const troop = 50

// Policies of the measurement: one about the agents that have a Deployment each, one about that which changes all of them.
const (
	troopPolicy = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: troop}
spec:
  enforcement: Enforce
  subjects: []
  outOfScope: RequireApproval
  tasks:
  - name: roll
    scope:
      resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
      namespaces: [shop]
      fields: ["spec.template.spec.containers[*].image"]
  approval:
    requirements: [{name: sre, approvers: [{kind: User, name: alice}], minApprovals: 1}]
`
	fleetPolicy = `
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: fleet}
spec:
  enforcement: Enforce
  subjects: [{kind: ServiceAccount, namespace: ci, name: fleet}]
  tasks:
  - name: roll
    scope:
      resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
      namespaces: [shop]
      fields: [spec.minReadySeconds]
    approval: {when: Always, covers: Task, maxActions: 50}
  approval:
    requirements: [{name: sre, approvers: [{kind: User, name: alice}], minApprovals: 1}]
`
)

// troopers are a control plane with one replica, many agents who have a Deployment each, one that changes all of them, and a person
// who approves.
type troopers struct {
	bed           *testbed.Testbed
	person, fleet client.Client
	agents        []client.Client
	// size is that of a Deployment as it is stored, in bytes.
	size int
}

func newTroopers(ctx context.Context, b *measure.Run) (*troopers, error) {
	texts := []string{troopPolicy, fleetPolicy}
	bed, err := startWith(ctx, b, len(texts), func(i int) (*v1alpha1.AgentActionPolicy, error) {
		p, err := readPolicy(texts[i], i, i)
		if err == nil && len(p.Spec.Subjects) == 0 {
			p.Spec.Subjects = trooperSubjects()
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	t := &troopers{bed: bed}
	if err := t.recruit(ctx); err != nil {
		bed.Close()
		return nil, err
	}
	return t, nil
}

func trooperName(i int) string { return fmt.Sprintf("agent-%d", i) }

func trooperSubjects() []v1alpha1.Subject {
	all := make([]v1alpha1.Subject, troop)
	for i := range all {
		all[i] = v1alpha1.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: testbed.Agents, Name: trooperName(i)}
	}
	return all
}

func (t *troopers) recruit(ctx context.Context) (err error) {
	if t.person, err = t.bed.Person(); err != nil {
		return err
	}
	if t.fleet, err = t.bed.Agent(ctx, "fleet"); err != nil {
		return err
	}
	for i := range troop {
		agent, err := t.bed.Agent(ctx, trooperName(i))
		if err != nil {
			return err
		}
		t.agents = append(t.agents, agent)
	}
	t.size, err = smallDeployment.furnish(ctx, t.bed, troop)
	return err
}

// change patches the Deployment of an agent.
func change(ctx context.Context, who client.Client, i int, body string) error {
	return who.Patch(ctx, smallDeployment.object(i), client.RawPatch(types.MergePatchType, []byte(body)))
}

// covered changes an image, which the tasks of all agents cover.
func (t *troopers) covered(ctx context.Context, i int) error {
	return smallDeployment.update(ctx, t.agents[i], i)
}

// slow is a change that needs consent, another one in each round.
func (t *troopers) slow(round int) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		return change(ctx, t.agents[i], i, fmt.Sprintf(`{"spec":{"minReadySeconds":%d}}`, round+1))
	}
}

// all writes to all Deployments at once.
func (t *troopers) all(ctx context.Context, write func(ctx context.Context, i int) error) measure.Series {
	took, errs := make([]time.Duration, troop), make([]error, troop)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range troop {
		group.Go(func() {
			<-start
			took[i], errs[i] = timed(func() error { return write(ctx, i) })
		})
	}
	close(start)
	group.Wait()
	return seriesOf(took, errs)
}

// inTurn writes to one Deployment after the other.
func (t *troopers) inTurn(ctx context.Context, write func(ctx context.Context, i int) error) measure.Series {
	took, errs := make([]time.Duration, troop), make([]error, troop)
	for i := range troop {
		took[i], errs[i] = timed(func() error { return write(ctx, i) })
	}
	return seriesOf(took, errs)
}

// timed says how long a call took.
func timed(call func() error) (time.Duration, error) {
	began := time.Now()
	err := call()
	return time.Since(began), err
}

func seriesOf(took []time.Duration, errs []error) (s measure.Series) {
	for i, err := range errs {
		if err != nil {
			s.Failures = append(s.Failures, err.Error())
			continue
		}
		s.Took = append(s.Took, took[i])
	}
	slices.Sort(s.Took)
	return s
}

// approved has the first of so many Deployments be written to, which needs consent, and a person consent to what is asked for.
func (t *troopers) approved(ctx context.Context, first int, write func(ctx context.Context, i int) error) error {
	for i := range first {
		if err := write(ctx, i); !isAsked(err) {
			return notAsked(err)
		}
	}
	const decision = `{"spec":{"decision":{"verdict":"Approve"}}}`
	return measure.Wait(ctx, "all that is asked for is approved", time.Minute, func(ctx context.Context) error {
		var list v1alpha1.ActionApprovalList
		if err := t.bed.Admin.List(ctx, &list); err != nil {
			return err
		}
		var waiting []error
		for i := range list.Items {
			a := &list.Items[i]
			switch state := stateOf(a); {
			case state == "Pending" && a.Spec.Decision == nil:
				waiting = append(waiting, fmt.Errorf("approval %s is pending", a.Name),
					t.person.Patch(ctx, a, client.RawPatch(types.MergePatchType, []byte(decision))))
			case state != "Approved" && state != "Spent":
				waiting = append(waiting, fmt.Errorf("approval %s is %q", a.Name, state))
			}
		}
		return errors.Join(waiting...)
	})
}

func notAsked(answer error) error {
	return fmt.Errorf("what needs consent opens no request for it: %w", cmp.Or(answer, errors.New("it passes")))
}

func isAsked(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ASK: approval ")
}

// stateOf is what the column STATE says.
func stateOf(a *v1alpha1.ActionApproval) string {
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved); c != nil {
		return c.Reason
	}
	return ""
}
