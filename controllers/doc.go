// Package controllers keeps the cluster and this process in step with the policies.
//
//	compilation.go                       policies -> the registry that the webhook decides with; on every replica
//	certificate_controller.go            the Secret -> files that the webhook server reads; on every replica
//	webhookconfiguration_controller.go   the registry -> the webhook configurations of the API server; leader
//	agentactionpolicy_controller.go      policies -> their status, also when a window opens or closes; leader
package controllers
