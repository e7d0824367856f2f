package webhooks

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/certificate"
	"github.com/countersign-dev/countersign/internal/policy"
)

var (
	// decisions counts decisions. Labels: outcome is Allow, Deny or RequireApproval; reason is the first obstacle's
	// reason or "None"; operation is CREATE, UPDATE, DELETE, CONNECT or "Other".
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_admission_decisions_total",
		Help: "Decisions on actions of governed or observed subjects, by outcome (Allow, Deny, RequireApproval), " +
			"reason (of the first obstacle, or None) and operation (CREATE, UPDATE, DELETE, CONNECT, Other).",
	}, []string{"outcome", "reason", "operation"})

	// decisionSeconds measures decisions from the decoded review to the verdict. Label: outcome. The smallest
	// buckets are for decisions in memory, the larger ones for those that read the API server.
	decisionSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "countersign_admission_decision_duration_seconds",
		Help: "Time from the decoded review to the verdict, by outcome (Allow, Deny, RequireApproval).",
		Buckets: []float64{
			.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3,
		},
	}, []string{"outcome"})

	// observations counts what Warn and Audit policies would have decided otherwise. Labels: enforcement is Warn or
	// Audit; outcome is what the policy would have made of it.
	observations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_admission_observations_total",
		Help: "Actions that a Warn or Audit policy would have decided otherwise, by enforcement (Warn, Audit) and the " +
			"outcome it would have had (Allow, Deny, RequireApproval).",
	}, []string{"enforcement", "outcome"})

	// unusual counts reviews in a form in which no API server is known to send them.
	unusual = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_admission_unusual_reviews_total",
		Help: "Reviews of agents' actions in another form than that of known API servers: they are judged as well, but it takes longer.",
	})
)

// certificateExpiry is the metric of a certificateCollector.
var certificateExpiry = prometheus.NewDesc("countersign_webhook_certificate_expiry_timestamp_seconds",
	"When the certificate expires that this replica serves, in seconds since 1970. Absent before there is one.", nil, nil)

// certificateCollector reads the certificate when it is asked.
type certificateCollector struct{ certs certificate.Dir }

// Describe implements prometheus.Collector.
func (c certificateCollector) Describe(descs chan<- *prometheus.Desc) { descs <- certificateExpiry }

// Collect implements prometheus.Collector.
func (c certificateCollector) Collect(out chan<- prometheus.Metric) {
	switch at, err := c.certs.NotAfter(); {
	case err != nil:
		out <- prometheus.NewInvalidMetric(certificateExpiry, err)
	case !at.IsZero():
		out <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, float64(at.Unix()))
	}
}

// RegisterMetrics adds the metrics of this package to the manager's registry. Call it once.
func RegisterMetrics(certs certificate.Dir) error {
	for _, c := range []prometheus.Collector{decisions, decisionSeconds, observations, unusual, certificateCollector{certs}} {
		if err := metrics.Registry.Register(c); err != nil {
			return err
		}
	}
	beginAtZero()
	return nil
}

// asked are the reasons that people can be asked about. With the outcome Allow they were asked, and consented.
var asked = []policy.Reason{
	policy.ChangeWindowClosed, policy.FreezeActive, policy.ActionOutOfScope, policy.NamespaceOutOfScope, policy.ObjectOutOfScope,
	policy.FieldOutOfScope, policy.ServiceAccountOutOfScope, policy.BudgetExceeded, policy.ApprovalRequired, policy.GuardViolated,
}

// beginAtZero has the series served before anything is counted in them. Alerts and the dashboard ask how much they grow, and
// Prometheus does not see a counter grow that appears with its first count: what is refused once would never be shown.
func beginAtZero() {
	for _, operation := range operations {
		decisions.WithLabelValues(string(policy.Allow), noReason, operation)
		for _, reason := range policy.AllReasons() {
			decisions.WithLabelValues(string(policy.Deny), string(reason), operation)
		}
		for _, reason := range asked {
			decisions.WithLabelValues(string(policy.Ask), string(reason), operation)
			decisions.WithLabelValues(string(policy.Allow), string(reason), operation)
		}
	}
	for _, outcome := range []policy.Outcome{policy.Allow, policy.Deny, policy.Ask} {
		decisionSeconds.WithLabelValues(string(outcome))
		for _, enforcement := range []v1alpha1.Enforcement{v1alpha1.Warn, v1alpha1.Audit} {
			observations.WithLabelValues(string(enforcement), string(outcome))
		}
	}
}

func observe(v *verdict, took time.Duration) {
	d := &v.decision
	decisions.WithLabelValues(string(d.Outcome), firstReason(d), operationLabel(v)).Inc()
	decisionSeconds.WithLabelValues(string(d.Outcome)).Observe(took.Seconds())
	for i := range d.Shadows {
		observations.WithLabelValues(string(d.Shadows[i].Enforcement), string(d.Shadows[i].Decision.Outcome)).Inc()
	}
}

// noReason stands for no obstacle.
const noReason = "None"

func firstReason(d *policy.Decision) string {
	if len(d.Obstacles) == 0 {
		return noReason
	}
	return string(d.Obstacles[0].Reason)
}

// otherOperation stands for an operation that is none.
const otherOperation = "Other"

// operations are the values of the label.
var operations = []string{"CREATE", "UPDATE", "DELETE", "CONNECT", otherOperation}

// operationLabel keeps the label bounded whatever a review says.
func operationLabel(v *verdict) string {
	if op := string(v.request.Operation); slices.Contains(operations, op) {
		return op
	}
	return otherOperation
}
