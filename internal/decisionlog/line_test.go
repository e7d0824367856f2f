package decisionlog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/legible"
)

func TestAppendLine(t *testing.T) {
	plain := Policy{Name: "shop-deploy-bot", UID: "d091f801-2a72-4616-bdd8-39ec54528a3f", Generation: 7, Hash: "p1:a93d", Window: "Open"}
	hostile := Policy{Name: "a\"}]}\n{\u202e\u007f<é", UID: "\\", Generation: -1}
	for name, policies := range map[string][]Policy{
		"no policy": nil, "one": {plain}, "several": {plain, hostile, {}},
	} {
		t.Run(name, func(t *testing.T) {
			event := Event{
				SpecVersion: "1.0", ID: "1", Subject: "\u202ebot", Time: time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC),
				Data: Record{Actor: Actor{Username: "bot"}, Action: Action{Resource: "pods"}, Policies: policies, Task: "a/b"},
			}
			line, err := event.AppendLine([]byte("before\n"))
			if err != nil {
				t.Fatal(err)
			}
			before, line, _ := bytes.Cut(line, []byte{'\n'})
			if string(before) != "before" || bytes.Count(line, []byte{'\n'}) != 1 || !bytes.HasSuffix(line, []byte{'\n'}) {
				t.Errorf("not one line more: %s", line)
			}
			if shown := strings.TrimSuffix(string(line), "\n"); legible.Escape(shown) != shown {
				t.Errorf("holds what cannot be seen: %q", line)
			}
			var read Event
			if err := json.Unmarshal(line, &read); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if diff := cmp.Diff(event, read); diff != "" {
				t.Errorf("the line says something else: %s", diff)
			}
		})
	}
}
