package approval

import (
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// imageUpdate sets the image of container web from web:1 to web:2.
func imageUpdate() *action.Action {
	a := scaleUp()
	a.New = deployment(3, "web:2", "10", 7)
	keyed := action.Segment{Keys: []action.Key{{Name: "name", Value: "web"}}}
	a.Changes = []action.Change{{
		Path: action.Path{{Field: "spec"}, {Field: "template"}, {Field: "spec"}, {Field: "containers"}, keyed, {Field: "image"}},
		From: action.Value{Present: true, V: "web:1"}, To: action.Value{Present: true, V: "web:2"},
	}}
	return a
}

// portUpdate changes the target of port http of a service.
func portUpdate() *action.Action {
	ports := func(target string) map[string]any {
		return map[string]any{"spec": map[string]any{"ports": []any{
			map[string]any{"port": int64(80), "targetPort": target}, map[string]any{"port": int64(81), "targetPort": "b"},
		}}}
	}
	keyed := action.Segment{Keys: []action.Key{{Name: "port", Value: int64(80)}}}
	return &action.Action{
		Operation: v1alpha1.OperationUpdate, Resource: "services", Old: ports("a"), New: ports("c"),
		Changes: []action.Change{{Path: action.Path{{Field: "spec"}, {Field: "ports"}, keyed, {Field: "targetPort"}}}},
	}
}

func TestDriftSince(t *testing.T) {
	firstPort := func(o map[string]any) map[string]any {
		return o["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)
	}
	for name, tc := range map[string]struct {
		act  func() *action.Action
		edit func(old map[string]any)
		want Drift
	}{
		"nothing":                  {imageUpdate, func(o map[string]any) {}, DriftNone},
		"bookkeeping":              {imageUpdate, func(o map[string]any) { m := metadata(o); m["resourceVersion"], m["generation"] = "99", int64(9) }, DriftNone},
		"ownership":                {imageUpdate, func(o map[string]any) { delete(metadata(o), "managedFields") }, DriftNone},
		"status":                   {imageUpdate, func(o map[string]any) { delete(o, "status") }, DriftNone},
		"a label":                  {imageUpdate, func(o map[string]any) { metadata(o)["labels"] = nil }, DriftElsewhere},
		"replicas":                 {imageUpdate, func(o map[string]any) { o["spec"].(map[string]any)["replicas"] = int64(9) }, DriftElsewhere},
		"the container itself":     {imageUpdate, func(o map[string]any) { container(o)["command"] = []any{"sh"} }, DriftNear},
		"its environment":          {imageUpdate, func(o map[string]any) { delete(container(o), "env") }, DriftNear},
		"elsewhere in the pod":     {imageUpdate, func(o map[string]any) { podSpec(o)["hostNetwork"] = true }, DriftNear},
		"the template, of a scale": {scaleUp, func(o map[string]any) { podSpec(o)["hostNetwork"] = true }, DriftElsewhere},
		"the same element":         {portUpdate, func(o map[string]any) { firstPort(o)["name"] = "http" }, DriftNear},
		"another element": {portUpdate, func(o map[string]any) {
			o["spec"].(map[string]any)["ports"].([]any)[1].(map[string]any)["name"] = "b"
		}, DriftElsewhere},
		"the element is gone": {portUpdate, func(o map[string]any) { o["spec"].(map[string]any)["ports"] = []any{} }, DriftNear},
	} {
		t.Run(name, func(t *testing.T) {
			then, now := tc.act(), tc.act()
			tc.edit(now.Old)
			if got := BaseOf(now, hasher).Since(BaseOf(then, hasher)); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

// An element that is found only by a key's default is judged by its whole list.
func TestDriftOfElementsWithDefaultKeys(t *testing.T) {
	then, now := portUpdate(), portUpdate()
	for _, a := range []*action.Action{then, now} {
		a.Changes[0].Path[2].Keys = append(a.Changes[0].Path[2].Keys, action.Key{Name: "protocol", Value: "TCP"})
	}
	now.Old["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["name"] = "http"
	if got := BaseOf(now, hasher).Since(BaseOf(then, hasher)); got != DriftNear {
		t.Errorf("%d, want %d", got, DriftNear)
	}
}

func podSpec(o map[string]any) map[string]any {
	return o["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
}

func container(o map[string]any) map[string]any {
	return podSpec(o)["containers"].([]any)[0].(map[string]any)
}

func TestBaseHidesSecrets(t *testing.T) {
	a := imageUpdate()
	other := action.Hasher{KeyID: "k1", Key: []byte("another key")}
	if BaseOf(a, hasher) == BaseOf(a, other) {
		t.Error("the base does not depend on the key, so short secrets could be guessed")
	}
	if got := BaseOf(a, hasher).Since("b1.k2:x:y"); got != DriftUnknown {
		t.Errorf("bases of two keys compare as %d", got)
	}
	r := request(1)
	if got := BaseKeyID(build(t, r)); got != "k1" {
		t.Errorf("key %q", got)
	}
	if got := BaseOf(&action.Action{Operation: v1alpha1.OperationCreate}, hasher); got != "" {
		t.Errorf("a create has base %s", got)
	}
}

func TestSuperseded(t *testing.T) {
	again := func(change func(*action.Action)) *Request {
		r := request(1)
		change(r.Action)
		r.Hash, r.Base = hasher.Hash(r.Action), BaseOf(r.Action, hasher)
		return r
	}
	for name, tc := range map[string]struct {
		now  *Request
		want string
	}{
		"the same action":     {again(func(*action.Action) {}), ""},
		"from another number": {again(func(a *action.Action) { a.Changes[0].From.V = int64(4) }), "object changed since approval: spec.replicas"},
		"to another number":   {again(func(a *action.Action) { a.Changes[0].To.V = int64(9) }), ""},
		"both":                {again(func(a *action.Action) { a.Changes[0].From.V, a.Changes[0].To.V = int64(4), int64(9) }), ""},
		"another object":      {again(func(a *action.Action) { a.UID = "new" }), "object was deleted and created again"},
		"another name":        {again(func(a *action.Action) { a.Name = "db"; a.UID = "new" }), ""},
		"a task":              {taskRequest(1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, gone := Superseded(approved(t, request(1)), tc.now, tc.now.Base)
			if gone != (tc.want != "") || !strings.HasPrefix(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestSupersededDelete(t *testing.T) {
	ask := func(change func(*action.Action)) *Request {
		r := request(1)
		r.Action = deletion(change)
		r.Hash, r.Base = hasher.Hash(r.Action), BaseOf(r.Action, hasher)
		return r
	}
	a := approved(t, ask(nil))
	relabelled := ask(func(a *action.Action) { a.Old = with(a.Old, "labels", map[string]any{"a": "b"}) })
	if got, gone := Superseded(a, relabelled, relabelled.Base); !gone || got != changedSince {
		t.Errorf("a changed object: %q", got)
	}
	now := int64(0)
	forced := ask(func(a *action.Action) { a.Delete = &action.DeleteOptions{GracePeriodSeconds: &now} })
	if got, gone := Superseded(a, forced, forced.Base); gone {
		t.Errorf("other options: %q", got)
	}
}

func TestDisturbs(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*action.Action)
		hash   string
		want   bool
	}{
		"another update of the object": {hash: "v1:other", want: true},
		"the approved action":          {hash: hasher.Hash(scaleUp())},
		"an update of another object":  {hash: "v1:other", change: func(a *action.Action) { a.UID = "x" }},
		"an update of nothing":         {hash: "v1:other", change: func(a *action.Action) { a.Changes = nil }},
		"a session":                    {hash: "v1:other", change: func(a *action.Action) { a.Operation = v1alpha1.OperationConnect }},
	} {
		t.Run(name, func(t *testing.T) {
			act := scaleUp()
			call(tc.change, act)
			if got := Disturbs(approved(t, request(1)), act, tc.hash); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
	if Disturbs(approved(t, taskRequest(1)), scaleUp(), "v1:other") {
		t.Error("a run of a task is not for one state of an object")
	}
}
