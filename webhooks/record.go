package webhooks

import (
	"fmt"
	"io"
	"sync"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/decisionlog"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Recorder writes one JSON line for each decision on a governed or observed action: a CloudEvents 1.0 envelope
// around a decisionlog.Record. docs/reference/decision-log.md describes the lines. It is safe for concurrent use.
type Recorder struct {
	source string
	mu     sync.Mutex
	out    io.Writer
}

// NewRecorder writes to out and names source, such as the pod, in every line.
func NewRecorder(out io.Writer, source string) *Recorder {
	return &Recorder{out: out, source: source}
}

// maxChanges bounds how many changes one line holds.
const maxChanges = 64

// Record writes the line of one decision. Actors whom nothing governs or observes leave none.
func (r *Recorder) Record(v *verdict) error {
	if !v.decision.Governed && len(v.decision.Shadows) == 0 && len(v.decision.Obstacles) == 0 {
		return nil
	}
	policies := writtenPolicies.texts(&v.decision)
	if policies.err != nil {
		return fmt.Errorf("encoding policies: %w", policies.err)
	}
	buf := takeBuffer()
	defer buffers.Put(buf)
	event := r.event(v)
	line, err := event.AppendLine((*buf)[:0], policies.record)
	if err != nil {
		return fmt.Errorf("encoding decision: %w", err)
	}
	*buf = line
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.out.Write(line); err != nil {
		return fmt.Errorf("writing decision: %w", err)
	}
	return nil
}

func (r *Recorder) event(v *verdict) decisionlog.Event {
	return decisionlog.Event{
		SpecVersion: "1.0", ID: v.request.ID, Source: r.source, Type: decisionlog.EventType,
		Subject: v.request.Actor.Username, Time: v.now.UTC(), DataContentType: "application/json",
		Data: recordOf(v),
	}
}

// recordOf is the record of a decision, but for its policies.
func recordOf(v *verdict) decisionlog.Record {
	d := &v.decision
	record := decisionlog.Record{
		Actor: decisionlog.Actor(v.request.Actor), Action: actionRecord(v), Outcome: d.Outcome,
		Obstacles: obstacleRecords(d.Obstacles), Task: d.TaskName(), Approval: d.Approval,
	}
	for i := range d.Waived {
		record.Waived = append(record.Waived, decisionlog.Waiver(d.Waived[i]))
	}
	if wait := d.Remedy.Wait; !wait.IsZero() {
		record.OpensAt = &wait
	}
	for i := range d.Shadows {
		s := &d.Shadows[i]
		record.Observed = append(record.Observed, decisionlog.Observed{
			Policy: s.Policy, Enforcement: string(s.Enforcement), Outcome: s.Decision.Outcome,
			Obstacles: obstacleRecords(s.Decision.Obstacles),
		})
	}
	return record
}

func obstacleRecords(obstacles []policy.Obstacle) []decisionlog.Obstacle {
	var records []decisionlog.Obstacle
	for i := range obstacles {
		o := &obstacles[i]
		records = append(records, decisionlog.Obstacle{
			Reason: o.Reason, Verdict: string(o.Verdict), Policy: o.Policy, Task: o.Task, Name: o.Name, Detail: o.Detail,
		})
	}
	return records
}

// actionRecord describes the normal form or, where there is none, what arrived.
func actionRecord(v *verdict) decisionlog.Action {
	r, a := &v.request, v.action
	if a == nil {
		return decisionlog.Action{
			Operation: string(r.Operation), Group: r.Group, Version: r.Version, Resource: r.Resource,
			Subresource: r.Subresource, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, DryRun: r.DryRun,
		}
	}
	record := decisionlog.Action{
		Operation: string(a.Operation), Group: a.Group, Version: a.Version, Resource: a.Resource,
		Subresource: a.Subresource, Kind: a.Kind, Namespace: a.Namespace, Name: a.Name, UID: a.UID,
		DryRun: a.DryRun, Hash: v.hash,
	}
	addChanges(&record, a)
	return record
}

func addChanges(r *decisionlog.Action, a *action.Action) {
	shown := a.Changes[:min(len(a.Changes), maxChanges)]
	for _, c := range shown {
		from, to := a.Render(c)
		r.Changes = append(r.Changes, decisionlog.Change{Path: c.Path.String(), From: from, To: to})
	}
	r.MoreChanges = len(a.Changes) - len(shown)
}
