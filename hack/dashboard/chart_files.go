package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/countersign-dev/countersign/hack/testbed"
)

// rendered are the dashboard and the alerts as the chart renders them.
type rendered struct {
	dashboard []byte
	alerts    []alert
	rules     []byte
}

type alert struct{ name, expr string }

// hurry is by how much shorter alerts wait here than in a cluster, before they fire; so do requests, before an alert tells.
const hurry = 30

// waiting ends the expression of an alert about requests: for how many seconds one has waited, and how long is long.
const waiting = "countersign_approval_oldest_pending_timestamp_seconds) > 3600"

// render has Helm render the chart.
func (s *stage) render(ctx context.Context) (*rendered, error) {
	command := exec.CommandContext(ctx, s.Plane.Binaries().Helm,
		"template", testbed.Release, filepath.Join(s.Run.Root, "charts", "countersign"), "--namespace", testbed.Namespace,
		"--set", "metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true")
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("rendering the chart: %w", err)
	}
	r := &rendered{}
	for documents := yaml.NewDecoder(bytes.NewReader(out)); ; {
		var o struct {
			Kind string
			Data map[string]string
			Spec struct{ Groups []map[string]any }
		}
		if err := documents.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			continue // of another form, and no concern of this
		}
		if text := o.Data["countersign.json"]; o.Kind == "ConfigMap" && text != "" {
			r.dashboard = []byte(text)
		}
		if o.Kind == "PrometheusRule" {
			if err := r.readRules(o.Spec.Groups); err != nil {
				return nil, err
			}
		}
	}
	if r.dashboard == nil || len(r.alerts) == 0 {
		return nil, errors.New("rendering the chart: it has no dashboard, or no alerts")
	}
	return r, nil
}

// readRules makes a file for Prometheus of the groups of a PrometheusRule, with alerts that wait less.
func (r *rendered) readRules(groups []map[string]any) error {
	for _, group := range groups {
		rules, _ := group["rules"].([]any)
		for _, each := range rules {
			rule, _ := each.(map[string]any)
			name, _ := rule["alert"].(string)
			expr, _ := rule["expr"].(string)
			if before, found := strings.CutSuffix(expr, waiting); found {
				expr = before + strings.Replace(waiting, "3600", fmt.Sprint(3600/hurry), 1)
				rule["expr"] = expr
			}
			r.alerts = append(r.alerts, alert{name, expr})
			if text, ok := rule["for"].(string); ok {
				whole, err := time.ParseDuration(text)
				if err != nil {
					return fmt.Errorf("reading how long %s waits: %w", name, err)
				}
				rule["for"] = (whole / hurry).String()
			}
		}
	}
	var err error
	r.rules, err = yaml.Marshal(map[string]any{"groups": groups})
	return err
}
