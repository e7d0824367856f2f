// Package controlplane builds and runs a real Kubernetes control plane on
// loopback, for tests and for the demo: etcd, kube-apiserver and, on request,
// kube-controller-manager, kube-scheduler and kwok nodes, so that Deployments
// really roll out. Everything is compiled from pinned Go modules; no container
// engine and no downloaded binary is involved.
//
// Ensure builds what is missing into a cache outside the checkout. Start runs a
// Plane. Main and Shared give a test package one Plane, started when the first
// test asks for it:
//
//	func TestMain(m *testing.M) { controlplane.Main(m, controlplane.Options{Nodes: 2}) }
//
//	func TestX(t *testing.T) { plane := controlplane.Shared(t) }
//
// With Options.APIServers a plane has several API servers on its etcd, and Through
// sends an identity to one of them.
//
// Another version of Kubernetes is pinned once with "controlplane pin 1.35.4" and
// chosen with K8S=1.35.4 or Options.
//
// The first build takes many minutes, more than the ten a test binary gets by
// default: run "go run ./hack/controlplane/cmd/controlplane build" before.
package controlplane
