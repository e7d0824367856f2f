package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// onStage returns a player whose commands run in an empty directory, and what it shows.
func onStage(t *testing.T) (*player, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return &player{
		screen: &screen{out: &out, width: maxWidth},
		stage:  &stage{dir: t.TempDir(), kubeconfigs: map[string]string{admin: "admin.yaml"}},
		memory: map[string]string{},
	}, &out
}

func TestPlay(t *testing.T) {
	p, out := onStage(t)
	p.play(t.Context(), []act{{"First", []step{
		{who: admin, title: "Both outputs.", run: "echo one; echo two >&2; echo three", want: passing("one", "two")},
		{who: admin, title: "Who acts.", run: "echo $KUBECONFIG $HOME/x", want: passing("admin.yaml " + p.stage.dir + "/x")},
	}}, {"Second", []step{
		{who: admin, title: "Refused.", run: "echo no; exit 1", want: want{outcome: refused, says: []string{"no"}}},
		{who: admin, title: "Surprising.", run: "echo yes", want: want{outcome: refused, says: []string{"no"}}},
	}}})
	if n := failures(p.results); len(p.results) != 4 || n != 1 {
		t.Errorf("%d of %d steps failed, want 1 of 4", n, len(p.results))
	}
	for _, text := range []string{
		"\n1  First\n", "\n# Both outputs.\nadmin $ echo one; echo two >&2; echo three\none\ntwo\nthree\n",
		"MISMATCH: exit status 0, not 1 (refused)\nMISMATCH: no \"no\" in the answer\n",
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("no %q in what is shown:\n%s", text, out)
		}
	}
}

func TestPatientStep(t *testing.T) {
	p, out := onStage(t)
	p.play(t.Context(), []act{{"Act", []step{{
		who: admin, title: "The second try.", patient: true, run: "test -e tried && echo yes || touch tried", want: passing("yes"),
	}}}})
	if failures(p.results) != 0 || !strings.Contains(out.String(), "yes\n-- answered so at try 2, after ") {
		t.Errorf("shown:\n%s", out)
	}
}

func TestVitalStepEndsTheStory(t *testing.T) {
	p, _ := onStage(t)
	failing := func(context.Context) error { return errors.New("it does not start") }
	p.play(t.Context(), []act{
		{"First", []step{{who: admin, title: "a", run: "x", do: failing, want: passing(), vital: true}, {who: admin, title: "b", run: "true"}}},
		{"Second", []step{{who: admin, title: "c", run: "true"}}},
	})
	want := []string{"exit status -1, not 0 (passes)"}
	if len(p.results) != 1 || !slices.Equal(p.results[0].problems, want) {
		t.Errorf("results = %v, want one with %q", p.results, want)
	}
}

func TestRemember(t *testing.T) {
	p, _ := onStage(t)
	p.play(t.Context(), []act{{"Act", []step{
		{who: admin, title: "a", run: "echo 16 calls", want: want{outcome: passes, remember: "calls"}},
		{who: admin, title: "b", run: "echo 16 calls", want: want{outcome: passes, same: "calls"}},
		{who: admin, title: "c", run: "echo 17 calls", want: want{outcome: passes, same: "calls"}},
	}}})
	if n := failures(p.results); n != 1 || len(p.results[2].problems) != 1 {
		t.Errorf("%d steps failed, want the last one only: %v", n, p.results)
	}
}

func TestInterruptedStory(t *testing.T) {
	p, out := onStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.play(ctx, []act{{"Act", []step{{who: admin, title: "a", run: "true", want: passing()}}}})
	if len(p.results) != 0 || out.Len() != 0 {
		t.Errorf("an interrupted story goes on: %v\n%s", p.results, out)
	}
}
