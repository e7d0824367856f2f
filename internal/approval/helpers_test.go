package approval

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// noon is when every test begins.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var hasher = action.Hasher{KeyID: "k1", Key: []byte("a key for tests")}

const botName = "system:serviceaccount:ci:deploy-bot"

func bot() action.Actor {
	return action.Actor{
		Username: botName, UID: "bot-uid", PodName: "bot-0", PodUID: "pod-uid", CredentialID: "JTI=bot",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"},
	}
}

// person is somebody of group sre with the verb.
func person(name string) Caller {
	return Caller{
		Actor: action.Actor{
			Username: name, UID: "uid-" + name, CredentialID: "JTI=" + name, Groups: []string{"sre", "system:authenticated"},
		},
		MayApprove: true,
	}
}

func deployment(replicas int64, image, resourceVersion string, generation int64) map[string]any {
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"name": "web", "namespace": "shop", "uid": "web-uid", "resourceVersion": resourceVersion, "generation": generation,
			"labels":        map[string]any{"app": "web"},
			"managedFields": []any{map[string]any{"manager": "kubectl"}},
		},
		"spec": map[string]any{
			"replicas": replicas,
			"template": map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "web", "image": image, "env": []any{map[string]any{"name": "KEY", "value": "canary-" + image}}},
			}}},
		},
		"status": map[string]any{"replicas": replicas},
	}
}

// scaleUp is the update of shop/web from 3 to 5 replicas, at generation 6 and resourceVersion 10.
func scaleUp() *action.Action {
	return &action.Action{
		Actor: bot(), Operation: v1alpha1.OperationUpdate, Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment",
		Namespaced: true, Namespace: "shop", Name: "web", UID: "web-uid",
		Old: deployment(3, "web:1", "10", 6), New: deployment(5, "web:1", "10", 7),
		Changes: []action.Change{{
			Path: action.Path{{Field: "spec"}, {Field: "replicas"}},
			From: action.Value{Present: true, V: int64(3)}, To: action.Value{Present: true, V: int64(5)},
		}},
	}
}

func sre(minApprovals int32) v1alpha1.StampedRequirement {
	return v1alpha1.StampedRequirement{
		Policy: v1alpha1.PolicyReference{Name: "shop", UID: "policy-uid", Hash: "p1:abc"}, Name: "sre",
		Approvers: []v1alpha1.Approver{{Kind: v1alpha1.ApproverGroup, Name: "sre"}}, MinApprovals: minApprovals,
	}
}

var windowClosed = v1alpha1.ApprovalReason{Type: "ChangeWindowClosed", Policy: "shop", Name: "weeknights"}

// request asks for scaleUp with the consent of so many of group sre, for an hour, within four.
func request(minApprovals int32) *Request {
	act := scaleUp()
	return &Request{
		Action: act, Hash: hasher.Hash(act), Base: BaseOf(act, hasher), Requester: bot(),
		Reasons: []v1alpha1.ApprovalReason{windowClosed}, Requirements: []v1alpha1.StampedRequirement{sre(minApprovals)},
		ValidFor: time.Hour, RequestExpiresAfter: 4 * time.Hour, OperatorNamespace: "countersign-system",
	}
}

// taskRequest asks for a run of at most so many actions.
func taskRequest(actions int32) *Request {
	r := request(1)
	r.Action, r.Hash, r.Base = nil, "", ""
	r.Task = &Task{Policy: "shop", Name: "roll-images", Namespace: "shop", MaxActions: actions}
	return r
}

func build(tb testing.TB, r *Request) *v1alpha1.ActionApproval {
	tb.Helper()
	a, err := r.Build(noon)
	if err != nil {
		tb.Fatal(err)
	}
	a.CreationTimestamp = metav1.NewTime(noon)
	a.Status = StatusOf(a, noon)
	return a
}

// decide lets somebody patch a verdict in, as the API server would: the mutating webhook, then the validating one. The
// approval is the stored one afterwards.
func decide(a *v1alpha1.ActionApproval, who Caller, d v1alpha1.Decision, now time.Time) error {
	updated := a.DeepCopy()
	updated.Spec.Decision = &d
	Stamp(a, updated, who, now)
	if errs := ValidateUpdate(a, updated, who, now, time.Second); len(errs) > 0 {
		return errs.ToAggregate()
	}
	*a = *updated
	a.Status = StatusOf(a, now)
	return nil
}

func mustDecide(tb testing.TB, a *v1alpha1.ActionApproval, who string, verdict v1alpha1.DecisionVerdict, now time.Time) {
	tb.Helper()
	if err := decide(a, person(who), v1alpha1.Decision{Verdict: verdict}, now); err != nil {
		tb.Fatal(err)
	}
}

func approved(tb testing.TB, r *Request) *v1alpha1.ActionApproval {
	tb.Helper()
	a := build(tb, r)
	mustDecide(tb, a, "alice", v1alpha1.VerdictApprove, noon)
	return a
}

// attemptNow is the attempt of an action as nothing has changed.
func attemptNow(act *action.Action) Attempt {
	return Attempt{
		Action: act, Hash: hasher.Hash(act), RequestID: "review-1", Reasons: []v1alpha1.ApprovalReason{windowClosed},
		Policies: []v1alpha1.PolicyReference{sre(1).Policy}, Base: BaseOf(act, hasher),
	}
}

// captured normalises a review that a real API server sent; package action keeps them.
func captured(tb testing.TB, name string) *action.Action {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "action", "testdata", "reviews", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var file struct {
		Request struct {
			UID                        string
			Kind                       struct{ Kind string }
			Resource                   struct{ Group, Version, Resource string }
			SubResource                string
			Name, Namespace            string
			Operation                  v1alpha1.Operation
			UserInfo                   struct{ Username, UID string }
			Object, OldObject, Options json.RawMessage
		}
		Facts  action.KindFacts
		Target json.RawMessage
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		tb.Fatal(err)
	}
	in, facts := file.Request, action.Facts{Kind: file.Facts}
	if len(file.Target) > 0 && string(file.Target) != "null" {
		if facts.Target, err = action.DecodeObject(file.Target); err != nil {
			tb.Fatal(err)
		}
	}
	act, err := action.Normalise(action.Request{
		ID: in.UID, Operation: in.Operation, Kind: in.Kind.Kind, Namespace: in.Namespace, Name: in.Name,
		Group: in.Resource.Group, Version: in.Resource.Version, Resource: in.Resource.Resource, Subresource: in.SubResource,
		Actor:  action.Actor{Username: in.UserInfo.Username, UID: in.UserInfo.UID},
		Object: orNil(in.Object), OldObject: orNil(in.OldObject), Options: orNil(in.Options),
	}, facts)
	if err != nil {
		tb.Fatal(err)
	}
	return act
}

func orNil(raw json.RawMessage) []byte {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
