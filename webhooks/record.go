package webhooks

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Recorder writes one JSON line for each decision on a governed or observed action: a CloudEvents 1.0 envelope
// around a Record. docs/reference/decision-log.md describes the lines. It is safe for concurrent use.
type Recorder struct {
	source string
	mu     sync.Mutex
	out    io.Writer
}

// NewRecorder writes to out and names source, such as the pod, in every line.
func NewRecorder(out io.Writer, source string) *Recorder {
	return &Recorder{out: out, source: source}
}

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
	Actor     ActorRecord      `json:"actor"`
	Action    ActionRecord     `json:"action"`
	Outcome   policy.Outcome   `json:"outcome"`
	Obstacles []ObstacleRecord `json:"obstacles,omitempty"`
	Waived    []WaiverRecord   `json:"waived,omitempty"`
	Policies  []PolicyRecord   `json:"policies,omitempty"`
	Task      string           `json:"task,omitempty"`
	Approval  string           `json:"approval,omitempty"`
	OpensAt   *time.Time       `json:"opensAt,omitempty"`
	Observed  []ObservedRecord `json:"observed,omitempty"`
}

// ActorRecord is who acted.
type ActorRecord struct {
	Username     string   `json:"username"`
	UID          string   `json:"uid,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	PodName      string   `json:"podName,omitempty"`
	PodUID       string   `json:"podUID,omitempty"`
	CredentialID string   `json:"credentialID,omitempty"`
}

// ActionRecord is what was to be done.
type ActionRecord struct {
	Operation   string         `json:"operation"`
	Group       string         `json:"group,omitempty"`
	Version     string         `json:"version,omitempty"`
	Resource    string         `json:"resource"`
	Subresource string         `json:"subresource,omitempty"`
	Kind        string         `json:"kind,omitempty"`
	Namespace   string         `json:"namespace,omitempty"`
	Name        string         `json:"name,omitempty"`
	UID         string         `json:"uid,omitempty"`
	DryRun      bool           `json:"dryRun,omitempty"`
	Hash        string         `json:"hash,omitempty"`
	Changes     []ChangeRecord `json:"changes,omitempty"`
	// MoreChanges counts changes beyond the first ones.
	MoreChanges int `json:"moreChanges,omitempty"`
}

// ChangeRecord is one changed field, its values as JSON text, secret ones as "***".
type ChangeRecord struct {
	Path string `json:"path"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// ObstacleRecord is one obstacle.
type ObstacleRecord struct {
	Reason  policy.Reason `json:"reason"`
	Verdict string        `json:"verdict"`
	Policy  string        `json:"policy,omitempty"`
	Task    string        `json:"task,omitempty"`
	Name    string        `json:"name,omitempty"`
	Detail  string        `json:"detail"`
}

// WaiverRecord is an obstacle that grace took away.
type WaiverRecord struct {
	Reason policy.Reason `json:"reason"`
	Policy string        `json:"policy"`
	Task   string        `json:"task,omitempty"`
	Name   string        `json:"name"`
	Until  time.Time     `json:"until"`
	Detail string        `json:"detail"`
}

// PolicyRecord is one state of a policy that governed the action, with what its windows said.
type PolicyRecord struct {
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
	Hash       string `json:"hash"`
	Window     string `json:"window"`
}

// ObservedRecord is a Warn or Audit policy that would have decided otherwise.
type ObservedRecord struct {
	Policy      string           `json:"policy"`
	Enforcement string           `json:"enforcement"`
	Outcome     policy.Outcome   `json:"outcome"`
	Obstacles   []ObstacleRecord `json:"obstacles,omitempty"`
}

// maxChanges bounds how many changes one line holds.
const maxChanges = 64

// Record writes the line of one decision. Actors whom nothing governs or observes leave none.
func (r *Recorder) Record(v *verdict) error {
	if !v.decision.Governed && len(v.decision.Shadows) == 0 && len(v.decision.Obstacles) == 0 {
		return nil
	}
	line, err := json.Marshal(r.event(v))
	if err != nil {
		return fmt.Errorf("encoding decision: %w", err)
	}
	line = append(legible.JSON(make([]byte, 0, len(line)+1), line), '\n')
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.out.Write(line); err != nil {
		return fmt.Errorf("writing decision: %w", err)
	}
	return nil
}

func (r *Recorder) event(v *verdict) Event {
	return Event{
		SpecVersion: "1.0", ID: v.request.ID, Source: r.source, Type: EventType,
		Subject: v.request.Actor.Username, Time: v.now.UTC(), DataContentType: "application/json",
		Data: recordOf(v),
	}
}

func recordOf(v *verdict) Record {
	d := &v.decision
	record := Record{
		Actor: ActorRecord(v.request.Actor), Action: actionRecord(v), Outcome: d.Outcome,
		Obstacles: obstacleRecords(d.Obstacles), Task: d.TaskName(), Approval: d.Approval,
	}
	for i := range d.Waived {
		record.Waived = append(record.Waived, WaiverRecord(d.Waived[i]))
	}
	for _, p := range d.Policies {
		record.Policies = append(record.Policies, PolicyRecord{
			Name: p.Name, UID: p.UID, Generation: p.Generation, Hash: p.Hash, Window: string(p.WindowAt(v.now)),
		})
	}
	if wait := d.Remedy.Wait; !wait.IsZero() {
		record.OpensAt = &wait
	}
	for i := range d.Shadows {
		s := &d.Shadows[i]
		record.Observed = append(record.Observed, ObservedRecord{
			Policy: s.Policy, Enforcement: string(s.Enforcement), Outcome: s.Decision.Outcome,
			Obstacles: obstacleRecords(s.Decision.Obstacles),
		})
	}
	return record
}

func obstacleRecords(obstacles []policy.Obstacle) []ObstacleRecord {
	var records []ObstacleRecord
	for i := range obstacles {
		o := &obstacles[i]
		records = append(records, ObstacleRecord{
			Reason: o.Reason, Verdict: string(o.Verdict), Policy: o.Policy, Task: o.Task, Name: o.Name, Detail: o.Detail,
		})
	}
	return records
}

// actionRecord describes the normal form or, where there is none, what arrived.
func actionRecord(v *verdict) ActionRecord {
	r, a := &v.request, v.action
	if a == nil {
		return ActionRecord{
			Operation: string(r.Operation), Group: r.Group, Version: r.Version, Resource: r.Resource,
			Subresource: r.Subresource, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, DryRun: r.DryRun,
		}
	}
	record := ActionRecord{
		Operation: string(a.Operation), Group: a.Group, Version: a.Version, Resource: a.Resource,
		Subresource: a.Subresource, Kind: a.Kind, Namespace: a.Namespace, Name: a.Name, UID: a.UID,
		DryRun: a.DryRun, Hash: v.hash,
	}
	record.addChanges(a)
	return record
}

func (r *ActionRecord) addChanges(a *action.Action) {
	shown := a.Changes[:min(len(a.Changes), maxChanges)]
	for _, c := range shown {
		from, to := a.Render(c)
		r.Changes = append(r.Changes, ChangeRecord{Path: c.Path.String(), From: from, To: to})
	}
	r.MoreChanges = len(a.Changes) - len(shown)
}
