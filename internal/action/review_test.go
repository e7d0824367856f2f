package action

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// review is a file of testdata/reviews: what a real API server sent, and what the cluster said at that moment.
type review struct {
	Request struct {
		UID             string
		Kind            struct{ Kind string }
		Resource        struct{ Group, Version, Resource string }
		SubResource     string
		Name, Namespace string
		Operation       v1alpha1.Operation
		UserInfo        struct {
			Username, UID string
			Groups        []string
		}
		Object, OldObject, Options json.RawMessage
		DryRun                     bool
	}
	Facts  KindFacts
	Target json.RawMessage
}

// readReview reads a review by the name of its file.
func readReview(tb testing.TB, name string) (Request, Facts) {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "reviews", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var file review
	if err := json.Unmarshal(raw, &file); err != nil {
		tb.Fatal(err)
	}
	in := file.Request
	request := Request{
		ID: in.UID, Operation: in.Operation,
		Group: in.Resource.Group, Version: in.Resource.Version, Resource: in.Resource.Resource, Subresource: in.SubResource,
		Kind: in.Kind.Kind, Namespace: in.Namespace, Name: in.Name,
		Actor:  Actor{Username: in.UserInfo.Username, UID: in.UserInfo.UID, Groups: in.UserInfo.Groups},
		Object: notNull(in.Object), OldObject: notNull(in.OldObject), Options: notNull(in.Options),
		DryRun: in.DryRun,
	}
	facts := Facts{Kind: file.Facts}
	if file.Target != nil {
		facts.Target = mustDecode(tb, string(file.Target))
	}
	return request, facts
}

func notNull(raw json.RawMessage) []byte {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func normalised(tb testing.TB, name string) *Action {
	tb.Helper()
	a, err := Normalise(readReview(tb, name))
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return a
}

func reviewNames(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "reviews", "*.json"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no reviews: %v", err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".json")
	}
	return paths
}

// objects are those of all reviews.
func objects(tb testing.TB) [][]byte {
	tb.Helper()
	var all [][]byte
	for _, r := range reviewtest.All(tb) {
		for _, object := range [][]byte{r.Object, r.OldObject} {
			if object != nil {
				all = append(all, object)
			}
		}
	}
	return all
}
