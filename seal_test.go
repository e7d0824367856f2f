package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sealPolicies = `
apiVersion: v1
kind: Namespace
metadata: {name: ignored}
---
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: enforced}
spec: {enforcement: Enforce, subjects: [{kind: ServiceAccount, namespace: ci, name: enforced}, {kind: Governed}]}
---
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: observed}
spec: {enforcement: Audit, subjects: [{kind: ServiceAccount, namespace: ci, name: observed}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: countersign.dev/v1alpha1
  kind: AgentActionPolicy
  metadata: {name: listed}
  spec: {enforcement: Enforce, subjects: [{kind: Group, name: listed}]}
`

func TestSealSubjects(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policies := write("policies.yaml", sealPolicies)
	tests := map[string]struct {
		args    []string
		input   string
		wantErr string
		want    []string // texts in the output
		without string   // text that is not in it
	}{
		"nobody":               {wantErr: "nobody is named"},
		"a file":               {args: []string{"-f", policies}, want: []string{`in ["ci:enforced"`, `["listed"]`}, without: "observed"},
		"standard input":       {args: []string{"-f", "-"}, input: sealPolicies, want: []string{`in ["ci:enforced"`}, without: "observed"},
		"the canary":           {args: []string{"--user", "u", "--namespace", "cs"}, want: []string{`in ["cs:countersign-canary"]`}},
		"another canary":       {args: []string{"--user", "u", "--canary", "gate-canary"}, want: []string{`in ["countersign-system:gate-canary"]`}},
		"flags":                {args: []string{"--user", "u1", "--user", "u2", "--group", "g", "--service-account", "ns/*"}, want: []string{`"u1", "u2"`, `["g"]`, `["ns"]`}},
		"no Secrets":           {args: []string{"--user", "u", "--deny-secrets"}, want: []string{"'secrets'"}},
		"Secrets":              {args: []string{"--user", "u"}, want: []string{"countersign-seal"}, without: "'secrets'"},
		"another directory":    {args: []string{"--user", "u", "--directory", "/srv/seal"}, want: []string{"# /srv/seal/admission.yaml", "staticManifestsDir: /srv/seal/manifests"}},
		"a relative directory": {args: []string{"--user", "u", "--directory", "seal"}, wantErr: "clean absolute path"},
		"no slash":             {args: []string{"--service-account", "bot"}, wantErr: "must be NAMESPACE/NAME"},
		"a missing file":       {args: []string{"-f", filepath.Join(dir, "none")}, wantErr: "no such file"},
		"no policy in a file":  {args: []string{"-f", write("other.yaml", "kind: Namespace\n")}, wantErr: "holds no AgentActionPolicy"},
		"no YAML":              {args: []string{"-f", write("broken.yaml", "a: [")}, wantErr: "reading YAML"},
		"only observed":        {args: []string{"-f", write("observed.yaml", strings.ReplaceAll(sealPolicies, "Enforce", "Warn"))}, wantErr: "nobody is named"},
		"the operator":         {args: []string{"--service-account", "countersign-system/*"}, wantErr: "would govern Countersign itself"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			command := newCommand(io.Discard)
			command.SetArgs(append([]string{"seal"}, tc.args...))
			command.SetIn(strings.NewReader(tc.input))
			command.SetOut(&out)
			err := command.ExecuteContext(t.Context())
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("the error is %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("the output lacks %q:\n%s", want, &out)
				}
			}
			if tc.without != "" && strings.Contains(text, tc.without) {
				t.Errorf("the output has %q:\n%s", tc.without, &out)
			}
		})
	}
}
