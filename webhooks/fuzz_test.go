package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// pipeline answers reviews as the operator does, with what the captured reviews know of the cluster instead of an API server.
type pipeline struct {
	set   *policy.Set
	facts map[[2]string]action.Facts
	// recorded is the line of the decision log, reached whether a decision was made.
	recorded bytes.Buffer
	reached  bool
}

// fuzzedPolicies govern the account of the captured reviews, and use everything that reads content.
const fuzzedPolicies = `
- metadata: {name: all, uid: u1, generation: 1}
  spec:
    enforcement: Enforce
    subjects: [{kind: ServiceAccount, namespace: ci, name: bot}]
    outOfScope: RequireApproval
    tasks:
    - name: images
      scope:
        resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
        namespaces: ["sh*"]
        objectSelector: {matchLabels: {app: web}}
        fields: ["spec.template.spec.containers[*].image", 'metadata.annotations["a/b"]']
        serviceAccounts: [default]
    - name: pods
      scope: {resourceRules: [{apiGroups: [""], resources: [pods, pods/exec], operations: ["*"]}], namespaces: [shop]}
      budget: {maxActions: 5, per: 1h}
    guards:
    - {name: steps, expression: "!has(object.spec.replicas) || int(object.spec.replicas) < 5", messageExpression: "'replicas: ' + string(object.spec.replicas)"}
    - {name: changed, expression: "changes.all(c, !c.path.contains('secret'))", messageExpression: "changes.map(c, c.path + '=' + c.to).join(', ')"}
    approval: {requirements: [{name: sre, minApprovals: 1}]}
- metadata: {name: seen, uid: u2, generation: 1}
  spec:
    enforcement: Warn
    subjects: [{kind: Group, name: "system:serviceaccounts:ci"}]
    guards: [{name: named, expression: "object.metadata.name.startsWith('x')", messageExpression: "string(object.metadata.name)"}]
`

func newPipeline(tb testing.TB) *pipeline {
	tb.Helper()
	var stored []*v1alpha1.AgentActionPolicy
	if err := yaml.UnmarshalStrict([]byte(fuzzedPolicies), &stored); err != nil {
		tb.Fatal(err)
	}
	compiled := make([]*policy.Policy, len(stored))
	for i, p := range stored {
		if compiled[i] = policy.Compile(p, policy.Identity{Username: "operator"}); len(compiled[i].Errors) > 0 {
			tb.Fatal(compiled[i].Errors.ToAggregate())
		}
	}
	p := &pipeline{set: policy.NewSet(compiled, policy.Operator{Namespace: "countersign-system"}), facts: map[[2]string]action.Facts{}}
	for _, r := range reviewtest.All(tb) {
		var review admissionv1.AdmissionReview
		var facts action.Facts
		for into, text := range map[any][]byte{&review: r.Body, &facts.Kind: r.Facts} {
			if err := json.Unmarshal(text, into); err != nil {
				tb.Fatal(err)
			}
		}
		if r.Target != nil {
			target, err := action.DecodeObject(r.Target)
			if err != nil {
				tb.Fatal(err)
			}
			facts.Target = target
		}
		p.facts[[2]string{review.Request.Resource.Resource, review.Request.SubResource}] = facts
	}
	return p
}

// handle is what ActionWebhook does with a review, without what it asks the API server.
func (p *pipeline) handle(_ context.Context, r admission.Request) admission.Response {
	p.reached = true
	hasher := action.Hasher{KeyID: "k", Key: []byte("key")}
	v := verdict{request: intake.RequestOf(&r.AdmissionRequest), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	a, err := action.Normalise(v.request, p.facts[[2]string{r.Resource.Resource, r.SubResource}])
	if err != nil {
		v.decision = policy.Failure(intake.ReasonOf(err), err.Error())
	} else {
		v.action, v.hash = a, hasher.Hash(a)
		v.decision = p.set.Decide(policy.Input{Action: a, Now: v.now, NamespaceLabels: map[string]string{"team": "shop"}})
	}
	observe(&v, time.Millisecond)
	if err := NewRecorder(&p.recorded, "test").Record(&v); err != nil {
		v.decision = policy.Failure(policy.InternalError, err.Error())
	}
	return respond(&v)
}

// FuzzReview posts reviews of any form. The answer is one that the API server understands, in time, and neither it nor the
// decision log holds anything that cannot be seen.
func FuzzReview(f *testing.F) {
	var bodies [][]byte
	for _, r := range reviewtest.All(f) {
		bodies = append(bodies, r.Body)
	}
	for _, body := range append(bodies, reviewtest.Mutants(f, bodies, 2000)...) {
		f.Add(body)
	}
	shared := newPipeline(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		p := &pipeline{set: shared.set, facts: shared.facts}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/enforce", bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		began := time.Now()
		LimitSize(&admission.Webhook{Handler: admission.HandlerFunc(p.handle)}).ServeHTTP(answer, request)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s for %d bytes", took, len(body))
		}
		checkAnswer(t, answer.Body.Bytes(), body, p.reached)
		checkLine(t, p.recorded.Bytes())
	})
}

// checkAnswer wants an answer to the review that was asked about.
func checkAnswer(t *testing.T, answer, body []byte, reached bool) {
	t.Helper()
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &got); err != nil || got.Response == nil {
		t.Fatalf("the answer is %q: %v", answer, err)
	}
	r := got.Response
	if r.Allowed && !reached {
		t.Error("what was not decided is allowed")
	}
	if !reached {
		return // controller-runtime says what cannot be decoded, to whoever has sent it
	}
	var asked admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &asked); err == nil && asked.Request != nil && asked.Request.UID != r.UID && r.UID != "" {
		t.Errorf("the answer is to %q, not %q", r.UID, asked.Request.UID)
	}
	texts := append([]string{}, r.Warnings...)
	for key, value := range r.AuditAnnotations {
		texts = append(texts, key, value)
	}
	if !r.Allowed {
		if r.Result == nil || r.Result.Code != http.StatusForbidden || r.Result.Reason != metav1.StatusReasonForbidden {
			t.Fatalf("the refusal is %+v", r.Result)
		}
		texts = append(texts, checkMessage(t, r.Result.Message)...)
		for _, c := range r.Result.Details.Causes {
			texts = append(texts, c.Message, c.Field)
		}
	}
	for _, text := range texts {
		checkSeen(t, text)
	}
}

// checkMessage wants a headline, obstacles, what is next and the tail, each on a line of its own.
func checkMessage(t *testing.T, message string) []string {
	t.Helper()
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		var want string
		switch i {
		case 0:
			continue
		case len(lines) - 2:
			want = "next: "
		case len(lines) - 1:
			want = "[countersign decision="
		default:
			want = "  - "
		}
		if !strings.HasPrefix(line, want) {
			t.Errorf("line %d of %q does not begin with %q", i, message, want)
		}
	}
	if len(message) > 64<<10 {
		t.Errorf("the refusal has %d bytes", len(message))
	}
	return lines
}

func checkSeen(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if !legible.Visible(r) {
			t.Errorf("%U is left in %q", r, text)
			return
		}
	}
}

// checkLine wants at most one line, of JSON.
func checkLine(t *testing.T, line []byte) {
	t.Helper()
	if len(line) == 0 {
		return
	}
	text, ended := strings.CutSuffix(string(line), "\n")
	if !ended || !json.Valid([]byte(text)) {
		t.Errorf("the line is %q", line)
	}
	checkSeen(t, text)
	if len(line) > 1<<20 {
		t.Errorf("the line has %d bytes", len(line))
	}
}

// FuzzActivity has anything written of what agents did. Only what leaves that alone passes.
func FuzzActivity(f *testing.F) {
	seeds := [][]byte{
		[]byte(`{"metadata":{"name":"bot-1"},"status":{"username":"system:serviceaccount:ci:bot","admitted":3,"recent":[{"key":"update.x","time":"2026-11-25T12:00:00Z","operation":"UPDATE"}]}}`),
		[]byte(`{"metadata":{"name":"bot-1","labels":{"a":"b"}}}`), []byte(`{}`), []byte(`null`),
	}
	for i, old := range append(seeds, reviewtest.Mutants(f, seeds, 500)...) {
		f.Add(i%2 == 0, old, seeds[i%len(seeds)])
	}
	f.Fuzz(func(t *testing.T, update bool, old, updated []byte) {
		operation := admissionv1.Create
		if update {
			operation = admissionv1.Update
		}
		var r admission.Request
		r.Operation, r.OldObject.Raw, r.Object.Raw = operation, old, updated
		if got := ActivityHandler().Handle(t.Context(), r); !got.Allowed {
			return
		}
		var before, after v1alpha1.AgentActivity
		for into, raw := range map[*v1alpha1.AgentActivity][]byte{&before: old, &after: updated} {
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatalf("what cannot be read passes: %v", err)
			}
		}
		if !update || before.Status.Username != after.Status.Username || before.Status.Admitted != after.Status.Admitted ||
			len(before.Status.Recent) != len(after.Status.Recent) {
			t.Errorf("%s becomes %s", old, updated)
		}
	})
}

// TestPipeline sees to it that the pipeline decides about the captured reviews, and not that none can be read.
func TestPipeline(t *testing.T) {
	p := newPipeline(t)
	outcomes := map[string]int{}
	for _, r := range reviewtest.All(t) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/enforce", bytes.NewReader(r.Body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		LimitSize(&admission.Webhook{Handler: admission.HandlerFunc(p.handle)}).ServeHTTP(answer, request)
		var got admissionv1.AdmissionReview
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		outcomes[got.Response.AuditAnnotations["decision"]+" "+got.Response.AuditAnnotations["reasons"]]++
	}
	t.Log(outcomes)
	if outcomes["Allow "] < 3 || outcomes["RequireApproval ActionOutOfScope"] < 10 || outcomes["Deny RequestUnreadable"] > 3 {
		t.Errorf("the outcomes are %v", outcomes)
	}
}
