package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/internal/registry"
)

// configurationWrites counts writes of webhook configurations. Label: configuration is its name.
var configurationWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "countersign_webhook_configuration_writes_total",
	Help: "Writes of webhook configurations, because policies changed or to repair a foreign change, by configuration.",
}, []string{"configuration"})

// configurationDrift counts changes by others. Labels: kind is that of the object and name its name.
var configurationDrift = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "countersign_admission_drift_total",
	Help: "Changes by others of the operator's webhook configurations and admission policy, by kind and name. They are repaired.",
}, []string{"kind", "name"})

var (
	policiesDesc = prometheus.NewDesc("countersign_policies",
		"Number of policies, by enforcement (Enforce, Warn, Audit) and state (Ready, Invalid).",
		[]string{"enforcement", "state"}, nil)
	windowDesc = prometheus.NewDesc("countersign_policy_window_state",
		"State of a policy's change windows: 1 for the state that holds (Open, Closed, Frozen), 0 for the others, by policy. "+
			"None for a policy that is not ready.",
		[]string{"policy", "state"}, nil)
)

// policyCollector computes metrics of the policies when they are read, so that they are never stale.
type policyCollector struct {
	registry *registry.Registry
	clock    clock.PassiveClock
}

// RegisterMetrics adds the metrics of this package to the manager's registry. Call it once.
func RegisterMetrics(r *registry.Registry, c clock.PassiveClock) error {
	for _, collector := range []prometheus.Collector{configurationWrites, configurationDrift, &policyCollector{r, c}} {
		if err := metrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	// Served before the first write: Prometheus does not see a counter grow that appears with its first count.
	for _, name := range []string{ActionsConfiguration, PoliciesConfiguration, ApprovalsConfiguration, protection.PolicyName} {
		configurationWrites.WithLabelValues(name)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (c *policyCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- policiesDesc
	descs <- windowDesc
}

// Collect implements prometheus.Collector.
func (c *policyCollector) Collect(out chan<- prometheus.Metric) {
	set := c.registry.Set()
	if set == nil {
		return
	}
	now := c.clock.Now()
	counts := map[[2]string]int{}
	for _, p := range set.Policies() {
		counts[[2]string{string(p.Enforcement), readiness(p)}]++
		if len(p.Errors) > 0 {
			continue // what its windows are nobody knows, and it refuses at any time
		}
		current := p.WindowAt(now)
		for _, s := range []v1alpha1.WindowState{v1alpha1.WindowOpen, v1alpha1.WindowClosed, v1alpha1.WindowFrozen} {
			out <- prometheus.MustNewConstMetric(windowDesc, prometheus.GaugeValue, oneIf(s == current), p.Name, string(s))
		}
	}
	for labels, n := range counts {
		out <- prometheus.MustNewConstMetric(policiesDesc, prometheus.GaugeValue, float64(n), labels[0], labels[1])
	}
}

func readiness(p *policy.Policy) string {
	condition := ready(p)
	if condition.Reason == v1alpha1.ReasonCompiled {
		return v1alpha1.PolicyReady
	}
	return condition.Reason
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
