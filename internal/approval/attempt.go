package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

const (
	// sessionSpan is how long one session may connect again under one use: clients connect twice.
	sessionSpan = 30 * time.Second
	// continuationSpan is how long the reviews of an admitted delete may follow.
	continuationSpan = 60 * time.Second
)

// Kinds of attempts, the first part of their keys.
const (
	kindUpdate  = "update"
	kindDelete  = "delete"
	kindCreate  = "create"
	kindSession = "session"
	kindRequest = "request"
)

var errNoIdentity = errors.New("keying an attempt: the review does not say which object it is about")

// AttemptKey identifies an attempt that can be stored at most once, however often the API server has it reviewed:
//
//   - an update that moves the generation: UID, old generation and action; of a scale the parent's, where the parent
//     is as the review shows it;
//   - every other update: UID, old resourceVersion and action;
//   - a delete or eviction: the UID;
//   - a create: the UID of the new object, which is another one at every attempt;
//   - a session: pod, action and credential. What tells one session from the next is time: see find;
//   - a token, a binding and what else is not stored as itself: the review.
//
// Two keys are equal only for the same approval: they stand in its status.
func AttemptKey(a *action.Action, hash, requestID string) (string, error) {
	kind, parts := attempt(a, hash, requestID)
	if slices.Contains(parts, "") {
		return "", errNoIdentity
	}
	return keyOf(kind, parts), nil
}

func keyOf(kind string, parts []string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return kind + "." + hex.EncodeToString(h.Sum(nil))
}

// UsedBy is what an action acts upon, as its use is recorded: what became of it is found out by that.
func UsedBy(a *action.Action) v1alpha1.UsedObject {
	o := v1alpha1.UsedObject{
		Group: a.Group, Version: a.Version, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name, UID: a.UID,
	}
	switch a.Operation {
	case v1alpha1.OperationCreate:
		if a.Subresource == "" {
			o.Name, o.UID = text(a.New, "name"), text(a.New, "uid")
		}
	case v1alpha1.OperationUpdate:
		o.ResourceVersion, o.Generation = text(a.Old, "resourceVersion"), movedGeneration(a)
	default:
	}
	return o
}

// attempt is what a key is made of.
func attempt(a *action.Action, hash, requestID string) (kind string, parts []string) {
	switch {
	case a.Operation == v1alpha1.OperationUpdate:
		return kindUpdate, append(revision(a), a.UID, hash)
	case a.Operation == v1alpha1.OperationDelete:
		return kindDelete, []string{a.UID}
	case a.Operation == v1alpha1.OperationConnect && a.UID != "":
		return kindSession, []string{a.UID, hash, "credential:" + a.Actor.CredentialID}
	case a.Operation == v1alpha1.OperationCreate && a.Subresource == "":
		return kindCreate, []string{text(a.New, "uid")}
	default:
		return kindRequest, []string{requestID}
	}
}

// revision is the state of the object from which an update starts: a write from any other does not land.
func revision(a *action.Action) []string {
	if moved := movedGeneration(a); moved > 0 {
		return byGeneration(moved)
	}
	return byVersion(a)
}

func byGeneration(generation int64) []string {
	return []string{"generation", strconv.FormatInt(generation, 10)}
}

func byVersion(a *action.Action) []string {
	return []string{"resourceVersion", text(a.Old, "resourceVersion")}
}

// movedGeneration is the generation that an update moves, 0 where it moves none, or where that is not known.
func movedGeneration(a *action.Action) int64 {
	before, after := generation(a.Old), generation(a.New)
	if a.Target != nil { // a scale: old and new are the parent, whose generation a Scale does not show
		version := text(a.Old, "resourceVersion")
		if version == "" || text(a.Target, "resourceVersion") != version {
			return 0
		}
		before = generation(a.Target)
		after = before + 1
	}
	if before > 0 && after == before+1 {
		return before
	}
	return 0
}

func generation(object map[string]any) int64 {
	n, _ := metadata(object)["generation"].(int64)
	return n
}

func text(object map[string]any, field string) string {
	s, _ := metadata(object)[field].(string)
	return s
}

func metadata(object map[string]any) map[string]any {
	m, _ := object["metadata"].(map[string]any)
	return m
}

// find looks the use of an attempt up. It returns the key under which the attempt is recorded, or is to be: a session
// is the first one's own for sessionSpan, and another one after that, which gets the next number. Nothing is read off
// the clock but the age of what is recorded, so two replicas that see the same uses agree.
func find(uses []v1alpha1.ApprovalUse, key string, now time.Time) (found *v1alpha1.ApprovalUse, as string) {
	if !isKind(key, kindSession) {
		return lookUp(uses, key), key
	}
	earlier := 0
	for i := range uses {
		if !strings.HasPrefix(uses[i].Key, key+".") {
			continue
		}
		earlier++
		if now.Before(uses[i].Time.Add(sessionSpan)) {
			return &uses[i], uses[i].Key
		}
	}
	return nil, key + "." + strconv.Itoa(earlier+1)
}

func lookUp(uses []v1alpha1.ApprovalUse, key string) *v1alpha1.ApprovalUse {
	for i := range uses {
		if uses[i].Key == key {
			return &uses[i]
		}
	}
	return nil
}

func isKind(key, kind string) bool {
	return strings.HasPrefix(key, kind+".")
}

// Continuation says whether a DELETE goes on with one that was admitted under this approval: the object is being
// deleted already, and the use is not older than a minute. It is never refused, or the object would stay half deleted.
func Continuation(a *v1alpha1.ActionApproval, act *action.Action, now time.Time) bool {
	if !act.GoesOn() || !isRequester(&act.Actor, a.Spec.Requester) {
		return false
	}
	key, err := AttemptKey(act, "", "")
	if err != nil {
		return false
	}
	use := lookUp(a.Status.Uses, key)
	return use != nil && use.Outcome != v1alpha1.UseReturned && Continues(use, now)
}

// Continues says whether reviews that go on with an admitted delete may still come.
func Continues(use *v1alpha1.ApprovalUse, now time.Time) bool {
	return now.Before(use.Time.Add(continuationSpan))
}
