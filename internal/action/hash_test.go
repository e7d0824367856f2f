package action

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

var hasher = Hasher{KeyID: "k1", Key: []byte("of the tests")}

// TestGolden pins what every recorded review becomes: the action, what is hashed, and the hash. A difference in what is
// hashed means that pending approvals cannot be used any more: see hashVersion.
func TestGolden(t *testing.T) {
	for _, name := range reviewNames(t) {
		if !strings.HasSuffix(name, ".1") {
			continue // the further reviews of one action: see TestAttemptsHashEqual
		}
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "golden", strings.TrimSuffix(name, ".1")+".txt")
			got := describe(Normalise(readReview(t, name)))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("run with -update if this is meant:\n%s", d)
			}
		})
	}
}

func describe(a *Action, err error) string {
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var b strings.Builder
	line := func(name string, v any) {
		if text := fmt.Sprint(v); text != "" && text != "[]" {
			_, _ = fmt.Fprintf(&b, "%s: %s\n", name, text)
		}
	}
	line("operation", a.Operation)
	line("resource", strings.Join([]string{a.Group, a.Version, a.Resource, a.Subresource}, "|"))
	line("kind", a.Kind)
	line("namespace", a.Namespace)
	line("name", a.Name)
	line("generateName", a.GenerateName)
	line("uid", a.UID)
	line("address", a.Address)
	if a.Delete != nil {
		line("forced", a.Delete.Forced())
	}
	before, after := a.ServiceAccounts()
	line("accounts before", before)
	line("accounts after", after)
	for _, c := range a.Changes {
		from, to := a.Render(c)
		line("change", fmt.Sprintf("%s: %s -> %s", c.Path, from, to))
	}
	for _, g := range a.Grants() {
		line("grant", g.Field)
	}
	document, _ := hasher.document(a)
	line("hashed", string(document))
	line("hash", hasher.Hash(a))
	return b.String()
}

// TestAttemptsHashEqual holds together what the API server sent for one action: the reviews of its retries, and those
// of a second attempt after a refusal.
func TestAttemptsHashEqual(t *testing.T) {
	groups := map[string]map[string][]string{}
	for _, name := range reviewNames(t) {
		step, _, _ := strings.Cut(name, ".")
		if _, err := Normalise(readReview(t, name)); err != nil {
			continue
		}
		if groups[step] == nil {
			groups[step] = map[string][]string{}
		}
		hash := hasher.Hash(normalised(t, name))
		groups[step][hash] = append(groups[step][hash], name)
	}
	several := []string{
		"collection-delete", // one action for each object
	}
	for step, hashes := range groups {
		if want := slices.Contains(several, step); len(hashes) > 1 != want {
			t.Errorf("%s: %d hashes: %v", step, len(hashes), hashes)
		}
	}
}

// TestRoutesHashEqual holds together different ways of doing one thing.
func TestRoutesHashEqual(t *testing.T) {
	for name, tc := range map[string][2]string{
		"scale and patch":                      {"deployment-scale.1", "deployment-patch-replicas.1"},
		"scale and patch of a custom resource": {"gadget-scale.1", "gadget-patch.1"},
		"create and apply":                     {"deployment-create.1", "deployment-apply.1"},
		"delete and evict":                     {"pod-delete-evict.1", "pod-delete-evict.2"},
	} {
		t.Run(name, func(t *testing.T) {
			one, other := normalised(t, tc[0]), normalised(t, tc[1])
			left, _ := hasher.document(one)
			right, _ := hasher.document(other)
			if d := cmp.Diff(string(left), string(right)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestHashTellsApart checks that nothing which makes another action is missing in the hash.
func TestHashTellsApart(t *testing.T) {
	base := func() *Action { return normalised(t, "pod-delete.1") }
	thirty, forced := int64(30), int64(0)
	hashes := map[string]string{hasher.Hash(base()): "base"}
	for name, change := range map[string]func(a *Action){
		"username":     func(a *Action) { a.Actor.Username = "system:serviceaccount:ci:other" },
		"user UID":     func(a *Action) { a.Actor.UID = "other" },
		"split names":  func(a *Action) { a.Actor.Username, a.Actor.UID = a.Actor.Username+`","`, "" },
		"operation":    func(a *Action) { a.Operation = v1alpha1.OperationUpdate },
		"group":        func(a *Action) { a.Group = "apps" },
		"version":      func(a *Action) { a.Version = "v2" },
		"resource":     func(a *Action) { a.Resource = "nodes" },
		"subresource":  func(a *Action) { a.Subresource = "status" },
		"namespace":    func(a *Action) { a.Namespace = "other" },
		"name":         func(a *Action) { a.Name = "other" },
		"generateName": func(a *Action) { a.GenerateName = "other" },
		"UID":          func(a *Action) { a.UID = "other" },
		"address":      func(a *Action) { a.Address = "https:x:1" },
		"forced":       func(a *Action) { a.Delete.GracePeriodSeconds = &forced },
		"no grace":     func(a *Action) { a.Delete.GracePeriodSeconds = nil },
		"orphan":       func(a *Action) { a.Delete.PropagationPolicy = "Orphan" },
		"read error":   func(a *Action) { a.Delete.IgnoreReadError = true },
		"labels":       func(a *Action) { a.Old = with(a.Old, "x", "metadata", "labels", "x") },
	} {
		a := base()
		change(a)
		hash := hasher.Hash(a)
		if other, taken := hashes[hash]; taken {
			t.Errorf("%s hashes as %s", name, other)
		}
		hashes[hash] = name
	}
	for name, change := range map[string]func(a *Action){
		"groups":           func(a *Action) { a.Actor.Groups = nil },
		"the same grace":   func(a *Action) { a.Delete.GracePeriodSeconds = &thirty },
		"dry run":          func(a *Action) { a.DryRun = true },
		"resourceVersion":  func(a *Action) { a.Old = with(a.Old, "1", "metadata", "resourceVersion") },
		"generation":       func(a *Action) { a.Old = with(a.Old, int64(9), "metadata", "generation") },
		"managedFields":    func(a *Action) { a.Old = without(a.Old, "metadata", "managedFields") },
		"status":           func(a *Action) { a.Old = without(a.Old, "status") },
		"is being deleted": func(a *Action) { a.Old = with(a.Old, "2026-01-01T00:00:00Z", "metadata", "deletionTimestamp") },
	} {
		a := base()
		change(a)
		if hasher.Hash(a) != hasher.Hash(base()) {
			t.Errorf("%s changes the hash", name)
		}
	}
}

// TestEveryChangeHashesDifferently mutates a recorded Deployment at random: another governed result is another action,
// TestHashReused has many hash at once, again and again, by what earlier hashes left.
func TestHashReused(t *testing.T) {
	reused, want := hasher.Reused(), map[*Action]string{}
	for _, name := range reviewNames(t) {
		if a, err := Normalise(readReview(t, name)); err == nil {
			want[a] = hasher.Hash(a)
		}
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				for a, hash := range want {
					if got := reused.Hash(a); got != hash {
						t.Errorf("%s %s has the hash %s, want %s", a.Operation, a.Name, got, hash)
					}
				}
			}
		})
	}
	group.Wait()
}

// and the same result the same.
func TestEveryChangeHashesDifferently(t *testing.T) {
	r := randomiser{rand.New(rand.NewPCG(5, 6))}
	request, facts := readReview(t, "deployment-set-image.1")
	old := mustDecode(t, string(request.OldObject))
	rounds := 20_000
	if testing.Short() {
		rounds = 1_000
	}
	seen := map[string]string{}
	for range rounds {
		object, ok := r.mutate(old).(map[string]any)
		if !ok || !equal(at(object, "metadata", "name"), at(old, "metadata", "name")) {
			continue
		}
		request.Object = []byte(canonicalText(object))
		a, err := Normalise(request, facts)
		if err != nil {
			continue // it is no longer the object that the review names
		}
		end := canonicalText(withoutUngoverned(object))
		hash := hasher.Hash(a)
		if other, again := seen[hash]; again && other != end {
			t.Fatalf("one hash for\n%s\nand\n%s", other, end)
		}
		seen[hash] = end
		if a.Empty() != (end == canonicalText(withoutUngoverned(old))) {
			t.Fatalf("empty: %t for\n%s", a.Empty(), changesText(a.Changes))
		}
	}
}

// withoutUngoverned drops what the API server would never take from a write of a Deployment.
func withoutUngoverned(object map[string]any) map[string]any {
	for _, name := range []string{"resourceVersion", "generation", "creationTimestamp"} {
		if _, ok := object["metadata"].(map[string]any); ok {
			object = without(object, "metadata", name)
		}
	}
	return without(object, "status")
}

func TestHashHoldsNoSecrets(t *testing.T) {
	for _, name := range []string{"secret-apply.1", "secret-apply-change.1", "deployment-create.1", "deployment-delete.1", "deployment-serverside.1"} {
		t.Run(name, func(t *testing.T) {
			a := normalised(t, name)
			text, secrets := hasher.document(a)
			checkNoSecrets(t, string(text))
			if !secrets || !strings.HasPrefix(hasher.Hash(a), "v1.k1:") {
				t.Errorf("the key is not named: %s", hasher.Hash(a))
			}
			if other := (Hasher{KeyID: "k1", Key: []byte("another")}); other.Hash(a) == hasher.Hash(a) {
				t.Error("the key does not matter")
			}
		})
	}
}

// checkNoSecrets looks for the secrets that stand in the recorded reviews, as they are and in base64.
func checkNoSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"open-sesame", "hunter2", "hunter3", "aHVudGVyM", "b3Blbi1zZXNhbWU"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in %.300s", secret, text)
		}
	}
}

func TestRestartTimes(t *testing.T) {
	path := fields("spec", "template", "metadata", "annotations", restartedAtKey)
	hash := func(path Path, to string) string {
		return hasher.Hash(&Action{Operation: v1alpha1.OperationUpdate, Changes: []Change{{Path: path, To: Value{Present: true, V: to}}}})
	}
	first := hash(path, "2026-11-22T20:00:00Z")
	if hash(path, "2026-11-22T21:30:00+01:00") != first {
		t.Error("the time of a restart is part of the hash")
	}
	if hash(path, "$(rm -rf /)") == first || hash(path, "true") == first {
		t.Error("a text that is no time is not part of the hash")
	}
	other := fields("spec", "template", "metadata", "annotations", "example.com/restartedAt")
	if hash(other, "2026-11-22T20:00:00Z") == hash(other, "2026-11-22T20:00:01Z") {
		t.Error("a time in another annotation is not part of the hash")
	}
}

// TestExposedService checks that what the server allocates for a Service of another type is not part of the hash, and
// that a port which the requester chose is.
func TestExposedService(t *testing.T) {
	hash := func(port, set string) string {
		before := `{"metadata":{},"spec":{"ports":[{"port":80,"protocol":"TCP"}]}}`
		after := `{"metadata":{"managedFields":[` + entry("agent", "Update", "", set) + `]},"spec":{"clusterIP":"10.0.0.` + port +
			`","clusterIPs":["10.0.0.` + port + `"],"ports":[{"port":80,"protocol":"TCP","nodePort":` + port + `},{"port":81,"protocol":"TCP","nodePort":1` + port + `}]}}`
		a := updateOf(t, Request{Resource: "services"}, KindFacts{}, before, after)
		a.Changes = slices.DeleteFunc(a.Changes, func(c Change) bool { return c.Path.compare(managedFieldsPath) == 0 })
		return hasher.Hash(a)
	}
	for name, tc := range map[string]struct {
		set  string
		same bool
	}{
		"all allocated":     {set: `{"f:spec":{"f:type":{}}}`, same: true},
		"a port sent":       {set: `{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}}}}}`},
		"a new port sent":   {set: `{"f:spec":{"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}}}}}`},
		"a new port added":  {set: `{"f:spec":{"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`, same: true},
		"an address sent":   {set: `{"f:spec":{"f:clusterIP":{}}}`},
		"the addresses too": {set: `{"f:spec":{"f:clusterIPs":{}}}`},
		"nothing is known":  {set: `{"x:":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hash("3", tc.set) == hash("4", tc.set); got != tc.same {
				t.Errorf("the same hash: %t", got)
			}
		})
	}
}

// TestMovedOwnership checks that a change of managedFields is hashed by what moves: neither by its time, nor by what
// controllers own in between.
func TestMovedOwnership(t *testing.T) {
	hash := func(controller, agent, set string) string {
		left := entry("controller", "Update", controller, `{"f:status":{"f:`+controller+`":{}}}`)
		return hasher.Hash(updateOf(t, ofDeployment, hasStatus, owning("1", `[`+left+`]`), owning("1", `[`+left+`,`+entry("agent", "Apply", agent, set)+`]`)))
	}
	first := hash("a", "2026-01-01T00:00:00Z", `{"f:spec":{"f:replicas":{}}}`)
	if hash("b", "2026-01-02T00:00:00Z", `{"f:spec":{"f:replicas":{}}}`) != first {
		t.Error("times or other owners are part of the hash")
	}
	if hash("a", "2026-01-01T00:00:00Z", `{"f:spec":{"f:paused":{}}}`) == first {
		t.Error("what moves is not part of the hash")
	}
	junk := func(list string) string {
		return hasher.Hash(updateOf(t, ofDeployment, hasStatus, owning("1", `[]`), owning("1", list)))
	}
	if junk(`{"a":1}`) == junk(`{"a":2}`) {
		t.Error("what is no list is not part of the hash")
	}
}

func TestOrderOfAddedElements(t *testing.T) {
	hash := func(env string) string {
		return hasher.Hash(updateOf(t, ofDeployment, hasStatus, `{"env":[{"name":"a"}]}`, `{"env":[{"name":"a"},`+env+`]}`))
	}
	if hash(`{"name":"b"},{"name":"c"}`) == hash(`{"name":"c"},{"name":"b"}`) {
		t.Error("two orders have one hash")
	}
}

// TestNumbersOfLiveObjects checks that a live object hashes as the same object in a review, whichever decoder read it.
func TestNumbersOfLiveObjects(t *testing.T) {
	of := func(number any) string {
		return hasher.Hash(&Action{Operation: v1alpha1.OperationDelete, Old: map[string]any{"a": number}})
	}
	review := mustDecode(t, `{"a":1.5}`)
	if of(1.5) != of(review["a"]) {
		t.Error("a number has two hashes")
	}
	if of(int32(1)) == of(int32(2)) {
		t.Error("numbers of an unknown type are one")
	}
}
