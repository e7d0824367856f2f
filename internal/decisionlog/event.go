// Package decisionlog has the lines of the decision log, as docs/reference/decision-log.md describes them: the operator
// writes them, the kubectl plugin reads them.
package decisionlog

import (
	"time"

	"github.com/countersign-dev/countersign/internal/policy"
)

// EventType is the CloudEvents type of a decision.
const EventType = "dev.countersign.decision.v1"

// Event is the CloudEvents envelope of one decision.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Record    `json:"data"`
}

// Record is what was decided, and on what grounds. It holds no secret value.
type Record struct {
	Actor     Actor          `json:"actor"`
	Action    Action         `json:"action"`
	Outcome   policy.Outcome `json:"outcome"`
	Obstacles []Obstacle     `json:"obstacles,omitempty"`
	Waived    []Waiver       `json:"waived,omitempty"`
	Policies  []Policy       `json:"policies,omitempty"`
	Task      string         `json:"task,omitempty"`
	Approval  string         `json:"approval,omitempty"`
	OpensAt   *time.Time     `json:"opensAt,omitempty"`
	Observed  []Observed     `json:"observed,omitempty"`
}

// Actor is who acted.
type Actor struct {
	Username     string   `json:"username"`
	UID          string   `json:"uid,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	PodName      string   `json:"podName,omitempty"`
	PodUID       string   `json:"podUID,omitempty"`
	CredentialID string   `json:"credentialID,omitempty"`
}

// Action is what was to be done.
type Action struct {
	Operation   string   `json:"operation"`
	Group       string   `json:"group,omitempty"`
	Version     string   `json:"version,omitempty"`
	Resource    string   `json:"resource"`
	Subresource string   `json:"subresource,omitempty"`
	Kind        string   `json:"kind,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Name        string   `json:"name,omitempty"`
	UID         string   `json:"uid,omitempty"`
	DryRun      bool     `json:"dryRun,omitempty"`
	Hash        string   `json:"hash,omitempty"`
	Changes     []Change `json:"changes,omitempty"`
	// MoreChanges counts changes beyond the first ones.
	MoreChanges int `json:"moreChanges,omitempty"`
}

// Change is one changed field, its values as JSON text, secret ones as "***".
type Change struct {
	Path string `json:"path"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Obstacle is one obstacle.
type Obstacle struct {
	Reason  policy.Reason `json:"reason"`
	Verdict string        `json:"verdict"`
	Policy  string        `json:"policy,omitempty"`
	Task    string        `json:"task,omitempty"`
	Name    string        `json:"name,omitempty"`
	Detail  string        `json:"detail"`
}

// Waiver is an obstacle that grace took away.
type Waiver struct {
	Reason policy.Reason `json:"reason"`
	Policy string        `json:"policy"`
	Task   string        `json:"task,omitempty"`
	Name   string        `json:"name"`
	Until  time.Time     `json:"until"`
	Detail string        `json:"detail"`
}

// Policy is one state of a policy that governed the action, with what its windows said.
type Policy struct {
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
	Hash       string `json:"hash"`
	Window     string `json:"window"`
}

// Observed is a Warn or Audit policy that would have decided otherwise.
type Observed struct {
	Policy      string         `json:"policy"`
	Enforcement string         `json:"enforcement"`
	Outcome     policy.Outcome `json:"outcome"`
	Obstacles   []Obstacle     `json:"obstacles,omitempty"`
}
