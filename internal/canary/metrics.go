package canary

import "github.com/prometheus/client_golang/prometheus"

var (
	upDesc = prometheus.NewDesc("countersign_enforcement_up",
		"1 while the canary is refused by Countersign through the API server, 0 while nobody knows that agents are.", nil, nil)
	attemptsDesc = prometheus.NewDesc("countersign_canary_attempts_total",
		"Attempts of the canary, by outcome (Refused, Passed, Unanswered, Forbidden, Unreachable).", []string{"outcome"}, nil)
	lastDesc = prometheus.NewDesc("countersign_canary_last_success_timestamp_seconds",
		"When the canary was last refused, in seconds since 1970; 0 if it never was.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *Canary) Describe(descs chan<- *prometheus.Desc) {
	descs <- upDesc
	descs <- attemptsDesc
	descs <- lastDesc
}

// Collect implements prometheus.Collector.
func (c *Canary) Collect(out chan<- prometheus.Metric) {
	s := c.Status()
	var up, last float64
	if s.Up {
		up = 1
	}
	if !s.RefusedAt.IsZero() {
		last = float64(s.RefusedAt.Unix())
	}
	out <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up)
	out <- prometheus.MustNewConstMetric(lastDesc, prometheus.GaugeValue, last)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range Outcomes {
		out <- prometheus.MustNewConstMetric(attemptsDesc, prometheus.CounterValue, float64(c.attempts[o]), string(o))
	}
}
