package policytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Kind is that of a test file, in the API version of Countersign's own kinds. No cluster serves it.
const Kind = "PolicyTest"

// Suite is one document of a test file. Fields that are not known are errors.
type Suite struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Policies are AgentActionPolicies: in files, folders or by patterns, or written here. At least one.
	Policies []Manifest `json:"policies"`
	// Objects are what the cluster holds, such as Namespaces with labels and what is acted upon.
	Objects []Manifest `json:"objects"`
	// Kinds are those of custom resources without a CustomResourceDefinition among the objects.
	Kinds []CustomKind `json:"kinds"`
	// Operator is what belongs to Countersign itself. Omitted: what the chart installs by default.
	Operator *Operator `json:"operator"`
	// Actor and At are those of cases that do not say.
	Actor *Actor   `json:"actor"`
	At    *Instant `json:"at"`
	// Cases are what is tried. At least one, each with a name of its own.
	Cases []Case `json:"cases"`
}

// Metadata of a test file.
type Metadata struct {
	// Name of the suite. Omitted: the file.
	Name string `json:"name"`
}

// Case is one attempt.
type Case struct {
	Name string `json:"name"`
	// At is the instant of the decision.
	At *Instant `json:"at"`
	// Actor is who acts.
	Actor *Actor `json:"actor"`
	// Action is what is tried, Review an AdmissionReview that was recorded, or its path: one of them.
	Action *Action   `json:"action"`
	Review *Manifest `json:"review"`
	// Objects are there in this case besides those of the suite, or instead of those of the same kind and name.
	Objects []Manifest `json:"objects"`
	// History is what the actor did before.
	History []Past `json:"history"`
	// Expect is what becomes of it.
	Expect Expectation `json:"expect"`
}

// Action is what is tried, as a client would.
type Action struct {
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation v1alpha1.Operation `json:"operation"`
	// Resource is plural, with group and subresource where it has them: pods/exec, deployments.apps/scale. Omitted: that of
	// Object.
	Resource string `json:"resource"`
	// Namespace and Name of the object. Omitted: those of Object.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Object as it is to be, of a CREATE or UPDATE.
	Object *Manifest `json:"object"`
	// OldObject is the object as it is, of an UPDATE or DELETE. Omitted: that among the objects.
	OldObject *Manifest `json:"oldObject"`
	// Set and Unset make the new object out of the old one: values by path, and paths that go. Paths are spelled as in refusals.
	Set   map[string]json.RawMessage `json:"set"`
	Unset []string                   `json:"unset"`
	// Options are those of a DELETE, such as propagationPolicy, or of a CONNECT, such as command.
	Options map[string]any `json:"options"`
	// DryRun says that nothing would be stored.
	DryRun bool `json:"dryRun"`
}

// Past is one action that was admitted.
type Past struct {
	// Ago is how long before the instant of the case that was.
	Ago v1alpha1.Duration `json:"ago"`
	// Operation is CREATE, UPDATE, DELETE or CONNECT; an eviction is a DELETE.
	Operation v1alpha1.Operation `json:"operation"`
	// Resource as in Action.
	Resource string `json:"resource"`
	// Namespace and Name of the object: it is the one of that name which is there now.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Task that covered it, as policy/task: it counts against its budget.
	Task string `json:"task"`
	// Count is how many such actions there were at once. Omitted: one.
	Count int `json:"count"`
}

// Expectation is what becomes of a case. Only the outcome must be said; what is omitted is not compared.
type Expectation struct {
	// Outcome is Allow, Deny or RequireApproval.
	Outcome policy.Outcome `json:"outcome"`
	// Reasons are all of the reasons, in any order. [] says that there are none.
	Reasons *[]policy.Reason `json:"reasons"`
	// Policies are all those that put something in the way.
	Policies *[]string `json:"policies"`
	// Task that covers the action, as policy/task; "" says that none does.
	Task *string `json:"task"`
	// OpensAt is when waiting suffices.
	OpensAt *Instant `json:"opensAt"`
	// Narrow are the fields to which narrowing the action suffices.
	Narrow *[]string `json:"narrow"`
	// Text are parts of the refusal.
	Text []string `json:"text"`
	// Observed are the Warn and Audit policies under which the outcome would be another, with that outcome.
	Observed *map[string]policy.Outcome `json:"observed"`
}

// Actor is who acts: a service account, or a user by name.
type Actor struct {
	// ServiceAccount is namespace/name: user name, UID and groups are then as the API server makes them.
	ServiceAccount string `json:"serviceAccount"`
	// Username of somebody else.
	Username string `json:"username"`
	// UID of the actor. Omitted: one of their own.
	UID string `json:"uid"`
	// Groups besides those that the API server adds.
	Groups []string `json:"groups"`
	// PodName, PodUID and CredentialID are those of the token.
	PodName      string `json:"podName"`
	PodUID       string `json:"podUID"`
	CredentialID string `json:"credentialID"`
}

// Operator is what belongs to Countersign itself.
type Operator struct {
	Namespace        string `json:"namespace"`
	ServiceAccount   string `json:"serviceAccount"`
	OwnerClusterRole string `json:"ownerClusterRole"`
}

// CustomKind is what must be known about a custom resource.
type CustomKind struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Kind     string `json:"kind"`
	Resource string `json:"resource"`
	// ClusterScoped says that its objects are in no namespace.
	ClusterScoped bool `json:"clusterScoped"`
	// Status says that it has a status subresource.
	Status bool `json:"status"`
	// SpecReplicasPath is where it keeps the number of a scale subresource, such as .spec.replicas. Omitted: it has none.
	SpecReplicasPath string `json:"specReplicasPath"`
}

// Manifest is an object, or the path of a file that holds it.
type Manifest struct {
	Path   string
	Object map[string]any
}

// UnmarshalJSON reads a path or an object.
func (m *Manifest) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte(`"`)) {
		return json.Unmarshal(text, &m.Path)
	}
	object, err := action.DecodeObject(text)
	if err != nil {
		return fmt.Errorf("neither a path nor an object: %w", err)
	}
	m.Object = object
	return nil
}

// Instant is a moment with its offset: 2026-11-24T22:30:00+01:00.
type Instant struct{ time.Time }

// UnmarshalJSON reads RFC 3339.
func (i *Instant) UnmarshalJSON(text []byte) (err error) {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("an instant is a text such as 2026-11-24T22:30:00+01:00: %w", err)
	}
	if i.Time, err = time.Parse(time.RFC3339, s); err != nil {
		return fmt.Errorf("%q is no instant such as 2026-11-24T22:30:00+01:00", s)
	}
	return nil
}
