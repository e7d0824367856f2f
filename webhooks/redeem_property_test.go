package webhooks_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// edit is a random change of the Deployment web: what was approved, less or other than that, or more.
type edit struct {
	Metadata fields `json:"metadata,omitempty"`
	Spec     fields `json:"spec,omitempty"`
}

type fields = map[string]any

// TestRedeemNothingElse has consent to one change of three fields, and tries many others: whatever passes has exactly the
// result that was approved. The tries are dry runs, which are judged as what they try and spend nothing.
func TestRedeemNothingElse(t *testing.T) {
	const seed, tries = 20261125, 200
	random := rand.New(rand.NewPCG(seed, seed)) // it is to be repeated
	s := newStory(t, newEnvironment(t), consentToAll)
	whole := newEdit("1", 5, "web:2").text(t)
	act := func() error { return strategicWeb(whole)(t.Context(), s) }
	approval := s.grant(t, act)
	passed := 0
	for range tries {
		if random.IntN(20) == 0 {
			byPerson(elsewhere(random).text(t))(t, s)
		}
		if s.passesExactly(t, randomEdit(random).text(t)) {
			passed++
		}
	}
	if passed == 0 || passed == tries {
		t.Errorf("%d of %d tries pass", passed, tries)
	}
	s.wantUses(t, approval, 0)
	redeem(t, act)
	s.wantUses(t, approval, 1)
}

// passesExactly tries an edit and says whether it passes. What passes must be what was approved, or change nothing.
func (s *story) passesExactly(t *testing.T, body string) bool {
	t.Helper()
	allowed(t, s.there(t.Context(), s.web))
	got := s.web.DeepCopy()
	if s.agent.Patch(t.Context(), got, client.RawPatch(types.StrategicMergePatchType, []byte(body)), client.DryRunAll) != nil {
		return false
	}
	if cmp.Equal(content(s.web), content(got)) {
		return false
	}
	want := s.web.DeepCopy()
	want.Annotations["a"], want.Spec.Replicas, want.Spec.Template.Spec.Containers[0].Image = "1", ptr.To[int32](5), "web:2"
	if diff := cmp.Diff(content(want), content(got)); diff != "" {
		t.Errorf("the edit %s passes, and makes (-approved +made)\n%s", body, diff)
	}
	return true
}

// content is what an object says, without what the server counts and controllers report.
func content(o *appsv1.Deployment) *appsv1.Deployment {
	o = o.DeepCopy()
	o.ManagedFields, o.ResourceVersion, o.Generation, o.Status = nil, "", 0, appsv1.DeploymentStatus{}
	delete(o.Annotations, "deployment.kubernetes.io/revision")
	return o
}

// newEdit sets three fields. What is empty is left alone.
func newEdit(annotation string, replicas int, image string) edit {
	e := edit{Metadata: fields{"annotations": fields{}}, Spec: fields{}}
	if annotation != "" {
		e.annotate("a", annotation)
	}
	if replicas > 0 {
		e.Spec["replicas"] = replicas
	}
	if image != "" {
		e.pods()["containers"] = []fields{{"name": "web", "image": image}}
	}
	return e
}

func (e edit) annotate(key, value string) { e.Metadata["annotations"].(fields)[key] = value }

// pods is what is said about the pods.
func (e edit) pods() fields {
	template, isThere := e.Spec["template"].(fields)
	if !isThere {
		template = fields{"spec": fields{}}
		e.Spec["template"] = template
	}
	return template["spec"].(fields)
}

func (e edit) text(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(e)
	allowed(t, err)
	return string(text)
}

// randomEdit leaves some of the approved values out, takes others, and adds changes of other fields.
func randomEdit(random *rand.Rand) edit {
	e := newEdit(
		[]string{"1", "1", "1", "1", "1", "2", ""}[random.IntN(7)],
		[]int{5, 5, 5, 5, 5, 6, 0}[random.IntN(7)],
		[]string{"web:2", "web:2", "web:2", "web:2", "web:2", "web:3", ""}[random.IntN(7)])
	more := []func(){
		func() { e.annotate("b", "1") },
		func() { e.Metadata["labels"] = fields{"app": nil} },
		func() { e.Metadata["finalizers"] = []string{"example.com/hold"} },
		func() { e.Spec["paused"] = true },
		func() { e.Spec["revisionHistoryLimit"] = 1 },
		func() { e.pods()["serviceAccountName"] = "deployer" },
		func() { e.pods()["hostNetwork"] = true },
		func() {
			e.pods()["containers"] = []fields{{"name": "web", "image": "web:2", "args": []string{"--all"}}}
		},
		func() {
			e.pods()["containers"] = []fields{{"name": "web", "image": "web:2"}, {"name": "side", "image": "side:1"}}
		},
	}
	for range random.IntN(3) {
		more[random.IntN(len(more))]()
	}
	return e
}

// elsewhere is a change that leaves alone what was approved, and what is around it.
func elsewhere(random *rand.Rand) edit {
	e := newEdit("", 0, "")
	if random.IntN(2) == 0 {
		e.annotate("c", []string{"1", "2", "3"}[random.IntN(3)])
	} else {
		e.Spec["minReadySeconds"] = random.IntN(3)
	}
	return e
}
