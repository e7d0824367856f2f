package approval

import (
	"encoding/json"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// stepOf is the action that makes one version of a Deployment of another, as the settlement takes it apart.
func stepOf(t *testing.T, a *v1alpha1.ActionApproval, o *v1alpha1.UsedObject, from, to map[string]any) *action.Action {
	t.Helper()
	step, err := action.Between(Step(a, o), action.KindFacts{Kind: "Deployment", Namespaced: true, PreferredVersion: "v1", HasStatus: true}, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func TestFateOf(t *testing.T) {
	start := deployment(3, "web:1", "10", 6)
	for name, tc := range map[string]struct {
		to   map[string]any
		want Fate
	}{
		"what was approved":                    {deployment(5, "web:1", "11", 7), Landed},
		"something else that is reconciled":    {deployment(4, "web:1", "11", 7), Failed},
		"the same with more":                   {deployment(5, "web:2", "11", 7), Landed},
		"a label, which moves no generation":   {with(deployment(3, "web:1", "11", 6), "labels", map[string]any{"a": "b"}), Unproven},
		"what a controller writes of a status": {deployment(3, "web:1", "11", 6), Unproven},
		"its removal":                          {nil, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(1))
			act := scaleUp()
			used := UsedBy(act)
			key, err := AttemptKey(act, hasher.Hash(act), "1")
			if err != nil {
				t.Fatal(err)
			}
			var step *action.Action
			if tc.to != nil {
				step = stepOf(t, a, &used, start, tc.to)
			}
			if got := FateOf(a, &v1alpha1.ApprovalUse{Key: key, Object: &used}, step, hasher); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

// TestFateOfUnderPreviousKey has a variable, whose value is secret, be set under a key that is replaced before that is stored.
func TestFateOfUnderPreviousKey(t *testing.T) {
	set := func(value, version string, generation int64) map[string]any {
		object := deployment(3, "web:1", version, generation)
		object["spec"].(map[string]any)["env"] = []any{map[string]any{"name": "TOKEN", "value": value}}
		return object
	}
	a := build(t, request(1)) // for something else, so that only the hash says that this landed
	start, used := set("a", "10", 6), UsedBy(scaleUp())
	step := stepOf(t, a, &used, start, set("b", "11", 7))
	key, err := AttemptKey(step, hasher.Hash(step), "1")
	if err != nil {
		t.Fatal(err)
	}
	use := &v1alpha1.ApprovalUse{Key: key, Object: &used}
	next := action.Hasher{KeyID: "k2", Key: []byte("another key")}
	if next.Hash(step) == hasher.Hash(step) {
		t.Fatal("the hash does not depend on the key")
	}
	if got := FateOf(a, use, step, next); got != Failed {
		t.Errorf("without the previous key it is %d, want that it failed", got)
	}
	next.Previous = &hasher
	if got := FateOf(a, use, step, next); got != Landed {
		t.Errorf("with the previous key it is %d, want that it landed", got)
	}
}

func TestPassed(t *testing.T) {
	byGeneration := UsedBy(scaleUp())
	byVersion := byGeneration
	byVersion.Generation = 0
	for name, tc := range map[string]struct {
		object                      map[string]any
		wantGeneration, wantVersion bool
	}{
		"as it was":        {deployment(3, "web:1", "10", 6), false, false},
		"as it was before": {deployment(2, "web:1", "9", 5), false, false},
		"a status later":   {deployment(3, "web:1", "11", 6), false, true},
		"a change later":   {deployment(4, "web:1", "12", 7), true, true},
		"another object":   {with(deployment(3, "web:1", "10", 6), "uid", "other"), true, true},
		"nothing is there": {nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Passed(&byGeneration, tc.object); got != tc.wantGeneration {
				t.Errorf("by generation: %t", got)
			}
			if got := Passed(&byVersion, tc.object); got != tc.wantVersion {
				t.Errorf("by version: %t", got)
			}
		})
	}
}

func TestEvidenceOf(t *testing.T) {
	for name, tc := range map[string]struct {
		key     string
		outcome v1alpha1.UseOutcome
		uid     string
		want    Evidence
	}{
		"update":           {"update.1", v1alpha1.UseAdmitted, "u", ByVersions},
		"create":           {"create.1", v1alpha1.UseAdmitted, "u", ByAppearance},
		"a closed create":  {"create.1", v1alpha1.UseClosed, "u", ByAppearance},
		"delete":           {"delete.1", v1alpha1.UseAdmitted, "u", ByDisappearance},
		"session":          {"session.1.1", v1alpha1.UseAdmitted, "u", NoEvidence},
		"token":            {"request.1", v1alpha1.UseAdmitted, "u", NoEvidence},
		"unknown":          {"", v1alpha1.UseAdmitted, "u", NoEvidence},
		"stored":           {"update.1", v1alpha1.UseStored, "u", NoEvidence},
		"returned":         {"update.1", v1alpha1.UseReturned, "u", NoEvidence},
		"without identity": {"update.1", v1alpha1.UseAdmitted, "", NoEvidence},
	} {
		t.Run(name, func(t *testing.T) {
			use := &v1alpha1.ApprovalUse{Key: tc.key, Outcome: tc.outcome, Object: &v1alpha1.UsedObject{UID: tc.uid, Resource: "x"}}
			if got := EvidenceOf(use); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

func TestUsedBy(t *testing.T) {
	for name, tc := range map[string]struct {
		review string
		want   v1alpha1.UsedObject
	}{
		"a scale is an update of its parent": {"deployment-scale.1", v1alpha1.UsedObject{Group: "apps", Version: "v1", Resource: "deployments", Name: "web"}},
		"a generated name is known":          {"job-generated.1", v1alpha1.UsedObject{Group: "batch", Version: "v1", Resource: "jobs"}},
		"an eviction is of the pod":          {"pod-evict.1", v1alpha1.UsedObject{Version: "v1", Resource: "pods"}},
	} {
		t.Run(name, func(t *testing.T) {
			act := captured(t, tc.review)
			got := UsedBy(act)
			if got.UID == "" || got.Name == "" {
				t.Errorf("nothing is known of %+v", got)
			}
			if tc.want.Name != "" && got.Name != tc.want.Name || got.Group != tc.want.Group || got.Version != tc.want.Version || got.Resource != tc.want.Resource {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if act.Operation == v1alpha1.OperationUpdate && (got.Generation == 0) == (got.ResourceVersion == "") {
				t.Errorf("the state from which it starts is not known: %+v", got)
			}
		})
	}
}

// TestPossible has reviews show what the API server can have stored, and what it cannot.
func TestPossible(t *testing.T) {
	stored := func(uid, version string, generation int64, replicas any) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"uid": uid, "resourceVersion": version, "generation": generation, "managedFields": []any{"x"}},
			"spec":     map[string]any{"replicas": replicas},
		}
	}
	now := stored("u", "100", 5, int64(2))
	for name, tc := range map[string]struct {
		review action.Action
		stored map[string]any
		want   bool
	}{
		"as it is":                      {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "100", 5, json.Number("2"))}, now, true},
		"as it was":                     {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "99", 4, int64(1))}, now, true},
		"before a status was written":   {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "99", 5, int64(2))}, now, true},
		"a deletion":                    {action.Action{Operation: v1alpha1.OperationDelete, Old: stored("u", "100", 5, int64(2))}, now, true},
		"a creation":                    {action.Action{Operation: v1alpha1.OperationCreate}, nil, true},
		"a scale":                       {action.Action{Operation: v1alpha1.OperationUpdate, Target: now}, nil, true},
		"another object":                {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("v", "100", 5, int64(2))}, now, false},
		"no object":                     {action.Action{Operation: v1alpha1.OperationDelete, Old: stored("", "", 0, nil)}, stored("", "", 0, nil), false},
		"nothing is stored":             {action.Action{Operation: v1alpha1.OperationDelete, Old: stored("u", "100", 5, int64(2))}, nil, false},
		"of the future":                 {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "101", 5, int64(2))}, now, false},
		"of a future generation":        {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "99", 6, int64(2))}, now, false},
		"of an incomparable version":    {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "x", 5, int64(2))}, now, false},
		"of no version":                 {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "", 5, int64(2))}, now, false},
		"other content at this version": {action.Action{Operation: v1alpha1.OperationUpdate, Old: stored("u", "100", 5, int64(3))}, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Possible(&tc.review, tc.stored); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
