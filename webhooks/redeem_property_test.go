package webhooks_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestRedeemNothingElse has consent to one change, and tries many others: whatever passes has exactly the result that was
// approved. The tries are dry runs, which are judged as what they try and spend nothing.
func TestRedeemNothingElse(t *testing.T) {
	s := newStory(t, newEnvironment(t), consentToAll)
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	const seed, tries = 20261125, 150
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // it is to be repeated
	passed := 0
	for range tries {
		if random.IntN(5) == 0 {
			byPerson(elsewhere(random))(t, s)
		}
		if body := randomEdit(random); s.passesExactly(t, body) {
			passed++
		}
	}
	if passed == 0 {
		t.Error("not even what was approved passes")
	}
	s.wantUses(t, approval, 0)
	redeem(t, act)
	s.wantUses(t, approval, 1)
}

// passesExactly tries an edit and says whether it passes. What passes must differ from the live object by 5 replicas only.
func (s *story) passesExactly(t *testing.T, body string) bool {
	t.Helper()
	allowed(t, s.there(t.Context(), s.web))
	want, got := s.web.DeepCopy(), s.web.DeepCopy()
	want.Spec.Replicas = ptr.To[int32](5)
	err := s.agent.Patch(t.Context(), got, client.RawPatch(types.StrategicMergePatchType, []byte(body)), client.DryRunAll)
	if err != nil {
		return false
	}
	if got.Generation == s.web.Generation && *s.web.Spec.Replicas == *got.Spec.Replicas {
		want.Spec.Replicas = s.web.Spec.Replicas // it changes nothing, which needs no consent
	}
	if diff := cmp.Diff(content(want), content(got)); diff != "" {
		t.Errorf("the edit %s passes, and makes (-approved +made)\n%s", body, diff)
	}
	return got.Generation != s.web.Generation
}

// content is what an object says, without what the server counts and controllers report.
func content(o *appsv1.Deployment) *appsv1.Deployment {
	o = o.DeepCopy()
	o.ManagedFields, o.ResourceVersion, o.Generation, o.Status = nil, "", 0, appsv1.DeploymentStatus{}
	delete(o.Annotations, "deployment.kubernetes.io/revision")
	return o
}

type fields = map[string]any

// randomEdit changes some fields to some values. Every third time it is what was approved, but for what is added to it.
func randomEdit(random *rand.Rand) string {
	container := fields{"name": "web"}
	template, spec, metadata := fields{}, fields{}, fields{}
	edits := []func(){
		func() { spec["replicas"] = random.IntN(4) + 3 },
		func() { spec["paused"] = random.IntN(2) == 0 },
		func() { container["image"] = fmt.Sprintf("web:%d", random.IntN(3)) },
		func() { container["args"] = []string{"--five"} },
		func() { template["serviceAccountName"] = "deployer" },
		func() { metadata["labels"] = fields{"app": nil} },
		func() { metadata["annotations"] = fields{"a": fmt.Sprint(random.IntN(3))} },
		func() { metadata["finalizers"] = []string{"example.com/hold"} },
		func() { spec["minReadySeconds"] = random.IntN(2) },
	}
	for range random.IntN(3) {
		edits[random.IntN(len(edits))]()
	}
	if random.IntN(3) == 0 {
		spec["replicas"] = 5
	}
	if len(container) > 1 {
		template["containers"] = []fields{container}
	}
	if len(template) > 0 {
		spec["template"] = fields{"spec": template}
	}
	return marshal(fields{"spec": spec, "metadata": metadata})
}

// elsewhere is a change that leaves the number of replicas alone.
func elsewhere(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return marshal(fields{"metadata": fields{"annotations": fields{"a": fmt.Sprint(random.IntN(3))}}})
	}
	image := fmt.Sprintf("web:%d", random.IntN(3))
	return marshal(fields{"spec": fields{"template": fields{"spec": fields{"containers": []fields{{"name": "web", "image": image}}}}}})
}

func marshal(o fields) string {
	text, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
