// Package webhooks answers the API server: it judges the actions of governed subjects and validates policies.
//
// A request takes one way: request.go turns the AdmissionReview into an action.Request, target.go and kinds.go
// read the few facts about the cluster that it needs, internal/action and internal/policy decide, approvals.go,
// redeem.go and openings.go ask people where the decision does, response.go says the answer, and record.go writes it
// down.
package webhooks
