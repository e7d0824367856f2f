package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/privilege"
)

// encode writes a value as JSON or YAML.
func (o *reviewOptions) encode(value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if o.form == "yaml" {
		if text, err = asYAML(text); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	o.Printf("%s\n", strings.TrimRight(string(legible.JSON(nil, text)), "\n"))
	return nil
}

// asYAML is JSON as YAML. What holds characters that cannot be seen stays JSON, which is YAML too and can escape them.
func asYAML(text []byte) ([]byte, error) {
	written, err := yaml.JSONToYAML(text)
	if err != nil {
		return nil, err
	}
	if _, hidden := legible.Hidden(strings.ReplaceAll(string(written), "\n", "")); hidden {
		return legible.JSON(nil, text), nil
	}
	return written, nil
}

// manifests writes what could replace the roles and policies of subjects, to be piped to kubectl apply.
func (o *reviewOptions) manifests(reports []*privilege.Report) error {
	for _, r := range reports {
		p := &r.Replacement
		if refused := "no replacement for " + r.Subject.String() + ": " + p.Refused; p.Refused != "" {
			if len(reports) == 1 {
				return errors.New(refused)
			}
			o.comment(refused)
			continue
		}
		o.comment("Replaces what RBAC grants " + r.Subject.String() + ", as of " + r.At.Format(stampFormat) + ".")
		if len(p.Left) > 0 {
			o.comment("Left out:")
			for _, text := range p.Left {
				o.comment("- " + text)
			}
		}
		if len(p.Then) > 0 {
			o.comment("Once it is applied and the agent works:")
			for _, step := range p.Then {
				o.comment("  " + step)
			}
		}
		for _, object := range p.Objects() {
			text, err := json.Marshal(object)
			if err == nil {
				text, err = asYAML(text)
			}
			if err != nil {
				return fmt.Errorf("writing the manifests: %w", err)
			}
			o.Printf("---\n%s\n", strings.TrimRight(string(text), "\n"))
		}
	}
	return nil
}

func (o *reviewOptions) comment(text string) { o.Printf("# %s\n", terminal.Clean(text)) }
