package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

// An API server with 60 seats gives 25 of them to accounts outside of kube-system. Two cores cannot fill the 245 that it
// gives by default; what a full level does is the same.
var fewSeats = []string{"--max-requests-inflight=40", "--max-mutating-requests-inflight=20"}

// crowd is how many agents write at all times, each by itself: those of one agent would wait for each other, as they are
// counted together.
const crowd = 60

// starved is what came of one run.
type starved struct {
	redeemed, crowd measure.Series
	undecided       int // refusals because the operator did not get its answers
	first           string
}

func playStarve(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b, controlplane.Options{Flags: map[string][]string{controlplane.APIServer: fewSeats}})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := errors.Join(s.Install(ctx, "replicas=2,apiPriority.enabled=false"), s.govern(ctx, 2)); err != nil {
		return err
	}
	without, err := s.starve(ctx)
	if err != nil {
		return err
	}
	if err := s.Install(ctx, "replicas=2"); err != nil {
		return err
	}
	// The API server follows new priority levels within seconds.
	if err := measure.Pause(ctx, 5*time.Second); err != nil {
		return err
	}
	with, err := s.starve(ctx)
	if err != nil {
		return err
	}
	r := b.Report
	r.Settingf("two replicas, an API server with 60 seats; %d agents that write without a pause, counted by budgets: %d writes without the "+
		"chart's FlowSchema, %d with it", crowd, without.crowd.N(), with.crowd.N())
	r.Claim(with.undecided == 0 && with.crowd.N() > 0, "with the FlowSchema each action is decided in time", "%d of %d not decided%s",
		with.undecided, with.crowd.N()+with.redeemed.N(), with.first)
	r.None("and no use of an approval is refused", with.redeemed)
	r.Figure("not decided in time, without the FlowSchema", "%d of %d%s", without.undecided,
		without.crowd.N()+without.redeemed.N(), without.first)
	r.Figure("uses of an approval, without", "%d of %d refused; p50 %s, max %s", len(without.redeemed.Failures), without.redeemed.N(),
		measure.Duration(without.redeemed.P50()), measure.Duration(without.redeemed.Max()))
	r.Figure("uses of an approval, with", "p50 %s, max %s", measure.Duration(with.redeemed.P50()), measure.Duration(with.redeemed.Max()))
	r.Figure("the crowd's admitted writes, without", "%d; %s", len(without.crowd.Took), measure.Spread([]measure.Series{without.crowd}))
	r.Figure("the crowd's admitted writes, with", "%d; %s", len(with.crowd.Took), measure.Spread([]measure.Series{with.crowd}))
	return nil
}

// starve has a crowd of agents write while another one uses an approval again and again.
func (s *stage) starve(ctx context.Context) (*starved, error) {
	alice, err := s.Person()
	if err != nil {
		return nil, err
	}
	redeemer, err := s.Agent(ctx, "redeemer")
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	if err := s.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "run", Name: "settings"}}); err != nil {
		return nil, err
	}
	use := func(ctx context.Context) error {
		settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "run", Name: "settings"}}
		return redeemer.Patch(ctx, settings, client.RawPatch(types.MergePatchType,
			fmt.Appendf(nil, `{"data":{"n":"%d-%d"}}`, time.Now().UnixNano(), count.Add(1))))
	}
	// A second run needs no new consent as long as the first one is good.
	if err := use(ctx); err != nil {
		key, err := ask(ctx, use)
		if err != nil {
			return nil, err
		}
		if err := approve(ctx, alice, key); err != nil {
			return nil, err
		}
	}
	crowded, err := s.crowd(ctx)
	if err != nil {
		return nil, err
	}
	crowded.Begin(ctx)
	redeeming := (&measure.Load{Workers: 1, Every: 100 * time.Millisecond, Write: func(ctx context.Context, _, _ int) error {
		return use(ctx)
	}}).Begin(ctx)
	began := time.Now()
	err = measure.Pause(ctx, s.Run.Phase(20*time.Second))
	redeeming.End()
	crowded.End()
	result := &starved{redeemed: redeeming.Between(began, time.Now()), crowd: crowded.Between(began, time.Now())}
	for _, f := range append(result.crowd.Failures, result.redeemed.Failures...) {
		if !decided(f) {
			result.undecided++
			if result.first == "" {
				result.first = ": " + f[:min(len(f), 200)]
			}
		}
	}
	return result, err
}

// crowd is many agents that write without a pause, each a ConfigMap of its own.
func (s *stage) crowd(ctx context.Context) (*measure.Load, error) {
	var accounts []client.Client
	for i := range crowd {
		c, err := s.Agent(ctx, fmt.Sprintf("crowd-%d", i))
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, c)
	}
	l, err := s.writer(ctx, accounts[0], "counted", "crowd", crowd, time.Millisecond)
	if err != nil {
		return nil, err
	}
	l.Write = func(ctx context.Context, worker, n int) error {
		target := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "counted", Name: fmt.Sprintf("crowd-%d", worker)}}
		patch := fmt.Appendf(nil, `{"data":{"n":"%d-%d"}}`, time.Now().UnixNano(), n)
		return accounts[worker].Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
	}
	return l, nil
}

// decided says whether a refusal is a decision about the action. What is not: that the operator did not answer, or that
// what it had to read or write did not come in time.
func decided(refusal string) bool {
	for _, reason := range []string{"failed calling webhook", "InternalError", "HistoryUnknown", "TargetUnknown", "NotReady"} {
		if strings.Contains(refusal, reason) {
			return false
		}
	}
	return true
}
