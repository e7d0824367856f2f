// Command demo tells what Countersign does, as a story on a real control plane:
//
//	go run ./hack/demo
//
// It starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and fake nodes on loopback, installs the
// chart with Helm, runs the operator as the chart's own service account, and then plays the steps of story.go: real
// commands of an admin, of a person and of agents, with the answers exactly as kubectl prints them. Every step says
// what it expects; the demo fails where something else happens.
//
// With --keep everything stays up at the end, until Ctrl-C.
package main
