package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// habit is what an agent does again and again.
type habit struct {
	agent   string
	workers int
	every   time.Duration
	does    func(ctx context.Context, c client.Client, n int) error
}

// habits are the life of the agents. Whether they may, and what they hear, is what the page is to show.
func (s *stage) habits() []habit {
	return []habit{
		{"deploy-bot", 3, 600 * time.Millisecond, func(ctx context.Context, c client.Client, n int) error {
			if n%9 == 8 {
				return set(ctx, c, "other", "deploy-bot", n) // beyond its namespaces
			}
			return set(ctx, c, "shop", "deploy-bot", n)
		}},
		{"deploy-bot", 1, 7 * time.Second, func(ctx context.Context, c client.Client, _ int) error {
			return c.Create(ctx, &rbacv1.RoleBinding{ // which is reserved
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: "more-"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testbed.Agents, Name: "deploy-bot"}},
			})
		}},
		{"deploy-bot", 1, 5 * time.Second, func(ctx context.Context, c client.Client, _ int) error {
			return c.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: "token-"}})
		}},
		{"tuner", 1, 1500 * time.Millisecond, func(ctx context.Context, c client.Client, n int) error {
			return set(ctx, c, "shop", "tuner", n)
		}},
		{"reporter", 1, 900 * time.Millisecond, func(ctx context.Context, c client.Client, n int) error {
			return set(ctx, c, []string{"other", "shop"}[n%2], "reporter", n)
		}},
		{"newcomer", 1, 1700 * time.Millisecond, func(ctx context.Context, c client.Client, n int) error {
			return set(ctx, c, "shop", "newcomer", n)
		}},
		{"janitor", 1, 3 * time.Second, s.consent},
	}
}

// set changes a ConfigMap, which is the agent's own so that writes do not conflict.
func set(ctx context.Context, c client.Client, namespace, name string, n int) error {
	patch := fmt.Appendf(nil, `{"data":{"n":"%d-%d"}}`, n, rand.IntN(1e9))
	return c.Patch(ctx, configMap(namespace, name), client.RawPatch(types.MergePatchType, patch))
}

// named finds the approval that a refusal names.
var named = regexp.MustCompile(`approval=([a-z0-9-]+)/([a-z0-9.-]+)`)

// consent has an agent ask for something. Alice looks at it after a while, and mostly approves; then it does it.
func (s *stage) consent(ctx context.Context, c client.Client, n int) error {
	o := configMap("shop", fmt.Sprintf("leftover-%d-%d", n, rand.IntN(1e9)))
	err := c.Create(ctx, o.DeepCopy())
	if err == nil {
		return errors.New("it was created without consent")
	}
	found := named.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	if err := measure.Pause(ctx, time.Duration(1+n%4)*time.Second); err != nil {
		return err
	}
	verdict := `{"spec":{"decision":{"verdict":"Approve"}}}`
	if n%4 == 3 {
		verdict = `{"spec":{"decision":{"verdict":"Deny"}}}`
	}
	request := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: found[1], Name: found[2]}}
	if err := s.alice.Patch(ctx, request, client.RawPatch(types.MergePatchType, []byte(verdict))); err != nil {
		return err
	}
	return c.Create(ctx, o)
}

// live begins what the agents do, until it is ended. There is more of it at some times than at others.
func (s *stage) live(ctx context.Context, length time.Duration) (end func(), err error) {
	began, loads := time.Now(), []*measure.Load{}
	end = func() {
		for _, l := range loads {
			l.End()
		}
	}
	for _, h := range s.habits() {
		for _, namespace := range []string{"shop", "other"} {
			if err := s.Create(ctx, configMap(namespace, h.agent)); err != nil {
				return end, err
			}
		}
		agent, err := s.Agent(ctx, h.agent)
		if err != nil {
			return end, err
		}
		load := &measure.Load{Workers: h.workers, Every: h.every, Write: func(ctx context.Context, _, n int) error {
			if busy := .6 - .4*math.Cos(4*math.Pi*float64(time.Since(began))/float64(length)); rand.Float64() > busy {
				return nil
			}
			return h.does(ctx, agent, n)
		}}
		loads = append(loads, load.Begin(ctx))
	}
	return end, nil
}

// day lets the agents live, and a replica be restarted. Meanwhile somebody governs one more agent.
func (s *stage) day(ctx context.Context, length time.Duration) error {
	if err := measure.Pause(ctx, length*30/100); err != nil {
		return err
	}
	policies, err := readPolicies(laterText)
	if err != nil {
		return err
	}
	if err := errors.Join(s.put(ctx, policies[0]), measure.Pause(ctx, length*25/100)); err != nil {
		return err
	}
	second := s.Replicas[1]
	second.Kill()
	if err := errors.Join(measure.Pause(ctx, 6*scrape), s.restart(ctx, second)); err != nil {
		return err
	}
	return measure.Pause(ctx, length*45/100-6*scrape)
}
