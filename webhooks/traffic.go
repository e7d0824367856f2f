package webhooks

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// traffic counts requests to webhooks in the metrics that controller-runtime's own server has of them. That looks up how a
// response can be written for each request anew, before anything is decided.
type traffic struct {
	inFlight *prometheus.GaugeVec
	total    *prometheus.CounterVec
	latency  *prometheus.HistogramVec
}

// newTraffic finds the metrics where controller-runtime has registered them (pkg/webhook/internal/metrics), or registers them.
// It fails where they are of another form there.
func newTraffic() (t traffic, err error) {
	path := []string{"webhook"}
	t.inFlight, err = registered(prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "controller_runtime_webhook_requests_in_flight",
		Help: "Current number of admission requests being served.",
	}, path))
	if err != nil {
		return t, err
	}
	t.total, err = registered(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_webhook_requests_total",
		Help: "Total number of admission requests by HTTP status code.",
	}, []string{"webhook", "code"}))
	if err != nil {
		return t, err
	}
	t.latency, err = registered(prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "controller_runtime_webhook_latency_seconds",
		Help:    "Histogram of the latency of processing admission requests",
		Buckets: prometheus.ExponentialBuckets(10e-9, 10, 12),
	}, path))
	return t, err
}

// registered registers a metric, or returns the one that is registered as the same.
func registered[T prometheus.Collector](metric T) (T, error) {
	err := metrics.Registry.Register(metric)
	var same prometheus.AlreadyRegisteredError
	if !errors.As(err, &same) {
		return metric, err
	}
	known, isSame := same.ExistingCollector.(T)
	if !isSame {
		return metric, fmt.Errorf("it is registered as a %T", same.ExistingCollector)
	}
	return known, nil
}

// count serves as another handler does, and counts when that is done.
func (t traffic) count(path string, next http.Handler) http.Handler {
	inFlight, latency := t.inFlight.WithLabelValues(path), t.latency.WithLabelValues(path)
	for _, code := range []int{http.StatusOK, http.StatusInternalServerError} {
		t.total.WithLabelValues(path, strconv.Itoa(code))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		inFlight.Inc()
		defer inFlight.Dec()
		counted := &statusWriter{w, http.StatusOK}
		next.ServeHTTP(counted, r)
		latency.Observe(time.Since(began).Seconds())
		t.total.WithLabelValues(path, strconv.Itoa(counted.status)).Inc()
	})
}

// statusWriter notes the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives an http.ResponseController what it needs.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
