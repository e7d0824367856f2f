package main

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

const (
	homepage  = "https://github.com/countersign-dev/countersign"
	shortText = "Decide what agents may do in a cluster"
	longText  = `Shows what AI agents and service accounts ask for in a cluster that Countersign guards,
approves or denies it, asks ahead, and tests policies without a cluster.
`
	caveats = `For completion, put kubectl_complete-countersign of the repository on your PATH.
`
)

// manifest is what krew reads: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/.
func manifest(version string, sums map[platform]string) ([]byte, error) {
	entries := make([]map[string]any, len(platforms))
	for i, p := range platforms {
		if sums[p] == "" {
			return nil, fmt.Errorf("no archive was built for %s/%s", p.os, p.arch)
		}
		entries[i] = map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"os": p.os, "arch": p.arch}},
			"uri":      homepage + "/releases/download/" + version + "/" + p.archive(version),
			"sha256":   sums[p],
			"bin":      p.binary(),
		}
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "krew.googlecontainertools.github.com/v1alpha2", "kind": "Plugin",
		"metadata": map[string]any{"name": "countersign"},
		"spec": map[string]any{
			"version": version, "homepage": homepage, "shortDescription": shortText, "description": longText, "caveats": caveats,
			"platforms": entries,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return text, nil
}
