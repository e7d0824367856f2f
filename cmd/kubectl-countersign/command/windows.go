package command

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/timetable"
	"github.com/countersign-dev/countersign/internal/window"
)

const windowsHelp = `Show when policies let their agents act: a calendar of the next days, with every
opening, closing and freeze, what lies over what, and the days on which clocks change.

It warns of policies that are never or always open. What is shown follows from the same
code by which actions are decided. Without POLICY all policies are shown.

With -o ics it is a calendar to subscribe to: an event for each time at which a window
is open and no freeze active, and one for each freeze.`

const windowsExamples = `  # The next two weeks of all policies
  kubectl countersign windows

  # The next month of one, on the clocks of another place
  kubectl countersign windows shop-deploy-bot --next 30d --tz America/New_York

  # Of a policy that is not applied yet, around the night when clocks change
  kubectl countersign windows -f policy.yaml --from 2026-10-24T12:00:00+02:00 --next 2d

  # For a calendar
  kubectl countersign windows -o ics --next 90d > windows.ics`

type windowsOptions struct {
	*Environment
	file, next, zone, from, output string
}

func newWindows(e *Environment) *cobra.Command {
	o := &windowsOptions{Environment: e}
	c := &cobra.Command{
		Use: "windows [POLICY...]", Short: "Show when policies let their agents act", Long: windowsHelp, Example: windowsExamples,
		RunE: func(c *cobra.Command, args []string) error { return o.runWindows(c.Context(), args) },
	}
	c.Flags().StringVar(&o.next, "next", "14d", "how far ahead to look: days (14d), or hours and minutes (36h)")
	c.Flags().StringVar(&o.zone, "tz", "", "show the times of this zone, such as Europe/Berlin; omitted: of each policy's own")
	c.Flags().StringVar(&o.from, "from", "", "begin at this instant, such as 2026-10-24T12:00:00+02:00; omitted: now")
	c.Flags().StringVarP(&o.file, "filename", "f", "",
		"read policies from this file or folder, or with - from the standard input, not from the cluster")
	c.Flags().StringVarP(&o.output, "output", "o", "table", "how it is written: table, json, yaml or ics")
	return c
}

func (o *windowsOptions) runWindows(ctx context.Context, names []string) error {
	from, until, zone, err := o.stretch()
	if err != nil {
		return err
	}
	write, err := o.writer(from)
	if err != nil {
		return err
	}
	stored, err := o.policiesFrom(ctx, o.file)
	if err != nil {
		return err
	}
	policies, err := selectPolicies(stored, names)
	if err != nil {
		return err
	}
	return write(func(yield func(*sheet) bool) {
		for _, p := range policies {
			s := sheetOf(p, from, until, zone)
			if text := o.laterText(p.Name); text != "" {
				s.Warnings = append(s.Warnings, text)
			}
			if !yield(s) {
				return
			}
		}
	})
}

func sheetOf(p *v1alpha1.AgentActionPolicy, from, until time.Time, zone *time.Location) *sheet {
	compiled := policy.Compile(p, policy.Identity{})
	s := &sheet{policy: compiled, Timetable: timetable.Of(compiled, from, until, zone)}
	for _, e := range compiled.Errors {
		s.Warnings = append(s.Warnings, "the policy is not valid, and refuses its subjects everything it governs: "+e.Error())
	}
	return s
}

// sheet is what is shown of one policy.
type sheet struct {
	policy *policy.Policy
	timetable.Timetable
}

// selectPolicies picks policies by name, in order of their names.
func selectPolicies(all []*v1alpha1.AgentActionPolicy, names []string) ([]*v1alpha1.AgentActionPolicy, error) {
	slices.SortFunc(all, func(a, b *v1alpha1.AgentActionPolicy) int { return strings.Compare(a.Name, b.Name) })
	if len(names) == 0 {
		return all, nil
	}
	var picked []*v1alpha1.AgentActionPolicy
	for _, name := range names {
		i := slices.IndexFunc(all, func(p *v1alpha1.AgentActionPolicy) bool { return p.Name == name })
		if i < 0 {
			return nil, exitWith(exitFailed, fmt.Sprintf("there is no policy %q", name))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// mostAhead bounds how far ahead one looks.
const mostAhead = 400 * 24 * time.Hour

// stretch is what the flags say about time.
func (o *windowsOptions) stretch() (from, until time.Time, zone *time.Location, err error) {
	from = o.Now().Truncate(time.Second)
	if o.from != "" {
		if from, err = time.Parse(time.RFC3339, o.from); err != nil {
			return from, until, nil, usageError{fmt.Errorf("--from %q: write an instant such as 2026-10-24T12:00:00+02:00", o.from)}
		}
	}
	if o.zone != "" {
		if zone, err = window.LoadZone(o.zone); err != nil {
			return from, until, nil, usageError{fmt.Errorf("--tz: %w", err)}
		}
	}
	ahead, err := parseSpan(o.next)
	if err != nil || ahead <= 0 || ahead > mostAhead {
		return from, until, nil, usageError{fmt.Errorf("--next %q: write days, such as 14d, or hours, such as 36h; at most 400d", o.next)}
	}
	return from, from.Add(ahead), zone, nil
}

// parseSpan reads 14d, 36h or 90m.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("reading %q: %w", text, err)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

// writer writes in the form that is asked for. Events are said to be made at an instant, so that the same call writes the same.
// A sheet is made when it is its turn: of many, the first ones stand there at once.
func (o *windowsOptions) writer(from time.Time) (func(iter.Seq[*sheet]) error, error) {
	switch o.output {
	case "table", "":
		return o.calendar, nil
	case "json", "yaml":
		return o.data, nil
	case "ics":
		return func(sheets iter.Seq[*sheet]) error {
			var tables []timetable.Timetable
			for s := range sheets {
				tables = append(tables, s.Timetable)
			}
			o.Printf("%s", timetable.ICS(tables, from))
			return nil
		}, nil
	default:
		return nil, usageError{fmt.Errorf("-o %s: write table, json, yaml or ics", o.output)}
	}
}

// policyWindows is what -o json and -o yaml write of a policy. Fields may be added.
type policyWindows struct {
	Policy   string           `json:"policy"`
	Zone     string           `json:"timeZone"`
	From     time.Time        `json:"from"`
	Until    time.Time        `json:"until"`
	State    string           `json:"state"`
	Reason   string           `json:"reason,omitempty"`
	NextOpen time.Time        `json:"nextOpen,omitzero"`
	Spans    []timetable.Span `json:"spans"`
	Tasks    []timetable.Task `json:"tasks,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
}

func (o *windowsOptions) data(sheets iter.Seq[*sheet]) error {
	all := []policyWindows{}
	for s := range sheets {
		all = append(all, policyWindows{
			Policy: s.Policy, Zone: s.Zone.String(), From: s.From, Until: s.Until, State: string(s.State.Window), Reason: s.State.Reason,
			NextOpen: s.State.NextOpen, Spans: slices.Concat([]timetable.Span{}, s.Spans), Tasks: s.Tasks, Warnings: s.Warnings,
		})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil && o.output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("writing the windows: %w", err)
	}
	o.Printf("%s\n", strings.TrimRight(string(text), "\n"))
	return nil
}
