package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

//go:embed policy.yaml
var policyText []byte

// stage is where a drill takes place.
type stage struct{ *testbed.Testbed }

func newStage(ctx context.Context, b *measure.Run, options controlplane.Options) (*stage, error) {
	t, err := testbed.New(ctx, b, testbed.Options{Plane: options, Namespaces: []string{"shop", "counted", "once", "run"}})
	if err != nil {
		return nil, err
	}
	return &stage{t}, nil
}

// govern starts replicas and puts the policy of the drills in force.
func (s *stage) govern(ctx context.Context, replicas int) error {
	if err := s.Serve(ctx, replicas); err != nil {
		return err
	}
	policy := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict(policyText, policy); err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	err := measure.Wait(ctx, "the policy is accepted", time.Minute, func(ctx context.Context) error {
		policy.ResourceVersion = ""
		return client.IgnoreAlreadyExists(s.Admin.Create(ctx, policy))
	})
	if err != nil {
		return err
	}
	return s.waitInForce(ctx)
}

// waitInForce waits until the policy is enforced and an agent feels it: the API server follows what is stored a moment later.
func (s *stage) waitInForce(ctx context.Context) error {
	err := measure.Wait(ctx, "the policy is in force", time.Minute, func(ctx context.Context) error {
		var policy v1alpha1.AgentActionPolicy
		if err := s.Admin.Get(ctx, client.ObjectKey{Name: "drills"}, &policy); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.PolicyEnforced); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("its condition is %+v", c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	probe, err := s.Agent(ctx, "probe")
	if err != nil {
		return err
	}
	return measure.Wait(ctx, "an agent is refused what is out of scope", time.Minute, func(ctx context.Context) error {
		err := probe.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "probe"}}, client.DryRunAll)
		if apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("the answer is %w", errors.Join(errors.New("no refusal"), err))
	})
}
