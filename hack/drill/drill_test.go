package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/hack/measure"
)

// TestDocument wants the document to have a place for each drill, and what is there to be replaced, not added to.
func TestDocument(t *testing.T) {
	content, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/reliability.md"
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var reports []*measure.Report
	for _, d := range drills {
		r := &measure.Report{Name: d.Name}
		r.Settingf("one replica")
		r.Claim(true, "it | holds", "yes")
		r.Figure("how long", "1 s")
		reports = append(reports, r)
	}
	var written [2]string
	for i := range written {
		if err := measure.WriteDocument(path, "two cores", reports); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(text)
	}
	if diff := cmp.Diff(written[0], written[1]); diff != "" {
		t.Errorf("written twice (-first +second):\n%s", diff)
	}
	if n := strings.Count(written[0], `| it \| holds | yes |`); n != len(drills) {
		t.Errorf("the figures of %d drills are in the document, want %d", n, len(drills))
	}
	if err := measure.WriteDocument(path, "two cores", []*measure.Report{{Name: "other"}}); err == nil {
		t.Error("a drill without a place in the document is written")
	}
}
