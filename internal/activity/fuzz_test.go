package activity

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// FuzzRecord notes an action in an activity of any form. Nothing panics, and no entry that may be asked for is lost.
func FuzzRecord(f *testing.F) {
	seeds := [][]byte{
		[]byte(`{"username":"bot","admitted":2,"lastAdmittedAt":"2026-11-25T12:00:00Z","recent":[` +
			`{"key":"update.a","time":"2026-11-25T11:59:30Z","operation":"UPDATE","resource":"deployments","name":"web","task":"p/t"},` +
			`{"key":"session.b","time":"2026-11-25T12:00:00Z","operation":"CONNECT","resource":"pods","subresource":"exec","name":"web-0"}]}`),
		[]byte(`{"recent":[{"key":"update.a","time":null},{"key":"update.a"}]}`), []byte(`{}`),
	}
	for i, status := range append(seeds, reviewtest.Mutants(f, seeds, 1000)...) {
		f.Add(status, []string{"update.a", "session.b", "", "new"}[i%4], i%2 == 0)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte, key string, session bool) {
		var status v1alpha1.AgentActivityStatus
		if json.Unmarshal(text, &status) != nil {
			return
		}
		act := &action.Action{Operation: v1alpha1.OperationUpdate, Resource: "deployments", Name: "web"}
		if session {
			act.Operation, act.Resource, act.Subresource = v1alpha1.OperationConnect, "pods", "exec"
		}
		at := Attempt{Action: act, Key: key, Task: "p/t"}
		_ = Before(&status, at, now)
		next, already, err := Record(&status, at, Demand{LookBack: time.Hour}, now)
		switch {
		case err != nil:
			return
		case already && len(next.Recent) != len(status.Recent):
			t.Error("a repeated attempt changes what is recorded")
		case already:
			return
		}
		if at.find(next.Recent, now) < 0 {
			t.Error("the action is not recorded")
		}
		for i := range status.Recent {
			if old := &status.Recent[i]; within(old, now, time.Hour) && old.Key != key && (Attempt{Action: &action.Action{}, Key: old.Key}).find(next.Recent, now) < 0 {
				t.Errorf("%+v is lost", old)
			}
		}
	})
}
