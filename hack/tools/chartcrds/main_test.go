package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
)

const definition = `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.0.0
  name: samples.countersign.dev
spec:
  description: 'braces {{ .Values.x }} {{{ and }} {{- end }} "{{"'
`

func TestWrapRendersTheDefinition(t *testing.T) {
	bare := strings.TrimPrefix(definition, "---\n")
	tests := map[string]struct {
		install, keep bool
		want          string
	}{
		"not installed":      {keep: true, want: "\n"},
		"installed":          {install: true, want: bare},
		"installed and kept": {install: true, keep: true, want: strings.Replace(bare, "  annotations:\n", "  annotations:\n    helm.sh/resource-policy: keep\n", 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wrapped, err := wrap([]byte(definition))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := template.New("").Parse(string(wrapped))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			values := map[string]any{"Values": map[string]any{"crds": map[string]any{"install": tc.install, "keep": tc.keep}}}
			if err := parsed.Execute(&got, values); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(tc.want), strings.TrimSpace(got.String())); diff != "" {
				t.Errorf("rendered definition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrapRefuses(t *testing.T) {
	for name, crd := range map[string]string{
		"no annotations": "kind: CustomResourceDefinition\nmetadata:\n  name: x\n",
		"two documents":  definition + definition,
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := wrap([]byte(crd)); err == nil {
				t.Errorf("wrap accepted it:\n%s", out)
			}
		})
	}
}

func TestRunRemovesStaleTemplates(t *testing.T) {
	definitions, templates := t.TempDir(), t.TempDir()
	write := func(dir, name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(definitions, "new.yaml", definition)
	write(templates, "old.yaml", header)
	write(templates, "by-hand.yaml", "kind: ConfigMap\n")

	if err := run(definitions, templates); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(templates)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff([]string{"by-hand.yaml", "new.yaml"}, got); diff != "" {
		t.Errorf("templates (-want +got):\n%s", diff)
	}
}

func TestRunWithoutDefinitions(t *testing.T) {
	if err := run(t.TempDir(), t.TempDir()); err == nil {
		t.Error("run accepted a directory without definitions")
	}
}
