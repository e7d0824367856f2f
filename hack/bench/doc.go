// Command bench measures what Countersign costs, on one machine in one run:
//
//	go run ./hack/bench                    # everything
//	go run ./hack/bench --only latency     # one measurement
//
// Each measurement starts etcd and kube-apiserver on loopback, installs the chart with Helm and runs the operator as the
// chart's own service account. What it measures it compares with something else that does the same, in turns: a Go webhook
// that does nothing, or no webhook. It says a figure as the median of all turns and its spread, and whether it is within
// its target; it fails only where something does not hold that must. With --document the figures are written between the
// markers of a document, which is docs/performance.md for make bench.
package main
