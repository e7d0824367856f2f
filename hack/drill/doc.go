// Command drill has things go wrong with Countersign under load, on a real control plane, and measures who notices:
//
//	go run ./hack/drill                    # all drills
//	go run ./hack/drill --only kill        # one
//
// Each drill starts etcd, kube-apiserver and what else it needs on loopback, installs the chart with Helm, runs
// replicas of the operator as the chart's own service account behind a balancer, and puts load on it: a person, controllers
// and agents. Then it kills, restarts, slows down or starves something. It says what it claims, what it saw, and fails
// where these differ. With --document the figures are written between the markers of a document, which is
// docs/reliability.md for make drill.
package main
