package definitions

import "github.com/prometheus/client_golang/prometheus"

var intactDesc = prometheus.NewDesc("countersign_definition_intact",
	"1 while a resource definition of Countersign, or the APIService of its version, is as it was installed, else 0, by name.",
	[]string{"name"}, nil)

// Describe implements prometheus.Collector.
func (w *Watch) Describe(descs chan<- *prometheus.Desc) { descs <- intactDesc }

// Collect implements prometheus.Collector.
func (w *Watch) Collect(out chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.names() {
		intact := 0.0
		if w.problems[name] == "" {
			intact = 1
		}
		out <- prometheus.MustNewConstMetric(intactDesc, prometheus.GaugeValue, intact, name)
	}
}
