package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

//go:embed *.yaml *.json
var manifests embed.FS

// scene is what a manifest may depend on.
type scene struct {
	Zone   string
	Hours  hours
	Freeze *freeze
	// Counted says that the policy has a budget, and a guard that looks back.
	Counted bool
}

// variants are the policy of the shop's agent at different times of the story. The time is real, so it is the
// windows that open and close around it.
func variants(now time.Time) map[string]scene {
	frozen := freezeAround(now)
	return map[string]scene{
		"shop-deploy-bot.yaml": {Zone: zone, Hours: openHours(now)},
		"closed.yaml":          {Zone: zone, Hours: laterHours(now)},
		"frozen.yaml":          {Zone: zone, Hours: openHours(now), Freeze: &frozen},
		"counted.yaml":         {Zone: zone, Hours: openHours(now), Counted: true},
	}
}

// writeManifests writes everything that the story applies into a directory.
func writeManifests(dir string, now time.Time) error {
	for name, s := range variants(now) {
		if err := writeManifest("shop-deploy-bot.yaml", filepath.Join(dir, name), s); err != nil {
			return err
		}
	}
	for _, name := range []string{"shop.yaml", "web.yaml", "newcomers.yaml", "mistakes.yaml", "eviction.json"} {
		if err := writeManifest(name, filepath.Join(dir, name), scene{Zone: zone, Hours: laterHours(now)}); err != nil {
			return err
		}
	}
	return nil
}

func writeManifest(name, path string, s scene) error {
	text, err := render(name, s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func render(name string, s scene) ([]byte, error) {
	source, err := fs.ReadFile(manifests, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(string(source))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", name, err)
	}
	return out.Bytes(), nil
}
