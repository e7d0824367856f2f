// Package policytest runs tests of policies without a cluster: files that say who does what, when, and what becomes of
// it. The action is made into the review that the API server would send, and goes the way of every review, by
// internal/intake and internal/policy. What the webhook would read live comes from the objects of the test.
package policytest
