// Package protection says how a cluster keeps agents from what Countersign itself depends on, where its webhooks are not
// asked or not there: by an admission policy in the API (level 3), and by static policies and an authorizer in the
// files of the API server (level 4). It is pure: it makes objects and files, and reads answers.
package protection
