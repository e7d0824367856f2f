// Package approval is what an ActionApproval means: how one is named and written, who may decide it, in which state
// it is, and when it lets an action pass.
//
// The package is pure. It has no client, no clock and no logger; time is passed in, and so is everything that must be
// asked of the API server.
//
// Instants are exact: what expires at t can be used before t, and not at t.
package approval
