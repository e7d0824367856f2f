package main

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/countersign-dev/countersign/internal/clockskew"
)

// addClock compares the clocks once, so that nothing is served or written by a wrong one, and from then on again and again.
func (op *operator) addClock(ctx context.Context) error {
	config := op.mgr.GetConfig()
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return fmt.Errorf("finding the API server's address: %w", err)
	}
	meter := &clockskew.Meter{Client: op.mgr.GetHTTPClient(), URL: base.JoinPath("version").String(), Clock: op.clock}
	skew, err := meter.Compare(ctx)
	if err != nil {
		return err
	}
	if err := skew.Check(); err != nil {
		return err
	}
	if err := metrics.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_clock_skew_seconds",
		Help: "How far the clock of this process is ahead of the API server's, in seconds; negative: behind. Good to half a " +
			"second and half of the time of an answer. The process ends beyond 30 s.",
	}, meter.Ahead)); err != nil {
		return fmt.Errorf("registering the metric of the clock: %w", err)
	}
	if err := op.mgr.Add(meter); err != nil {
		return fmt.Errorf("adding the comparison of clocks: %w", err)
	}
	return nil
}
