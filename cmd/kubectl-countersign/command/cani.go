package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/window"
)

const canIHelp = `Say what would become of an action, without trying it.

The answer is the whole decision: every obstacle, the task that covers the action or comes
nearest, when it would pass, and approvals that would be redeemed. The policies, the object
and what else counts are read from the cluster, and judged by the code of the operator.
RBAC is not asked: what it forbids, "kubectl auth can-i" says.

--as names the agent whose action is judged. Unlike elsewhere in kubectl nobody is
impersonated: all requests are yours, and you need rights to read only.

VERB is create, update, apply, delete, evict, scale, exec, attach, port-forward or proxy.
An update takes what is to be from -f as "kubectl apply" would: what the file leaves out
stays as it is. With --replace the file is the whole object. --set and --unset change
single fields, spelled as in refusals. What the API server fills in by default, what other
webhooks change, and that a server-side apply takes fields over from others, is not known.

--at travels in time: the windows are those of that moment, objects and policies of now.

Exit codes: 0 it would pass, 1 it would be refused or needs consent, 2 that cannot be said.`

const canIExamples = `  # Would this manifest pass on Saturday night?
  kubectl countersign can-i update deploy/web -n shop -f new.yaml \
    --as system:serviceaccount:ci:deploy-bot --at "Sat 23:00"

  # Everything in a folder, as kubectl apply sends it
  kubectl countersign can-i apply -f manifests/ --as system:serviceaccount:ci:deploy-bot

  # One field; a scale; a delete; a session
  kubectl countersign can-i update deploy/web --set spec.paused=true --as system:serviceaccount:ci:deploy-bot
  kubectl countersign can-i scale deploy/web --replicas 9 --as system:serviceaccount:ci:deploy-bot
  kubectl countersign can-i delete pod/web-0 --as robot --as-group ai-agents
  kubectl countersign can-i exec pod/web-0 --as robot`

// exitNoAnswer says that a question could not be answered.
const exitNoAnswer = 2

type canIOptions struct {
	*Environment
	as, asUID string
	asGroups  []string
	at, zone  string
	files     []string
	replace   bool
	set       []string
	unset     []string
	replicas  int64
	grace     int64
	output    string
	quiet     bool
}

func newCanI(e *Environment) *cobra.Command {
	o := &canIOptions{Environment: e, replicas: -1, grace: -1}
	c := &cobra.Command{
		Use: "can-i VERB [TYPE/NAME] --as AGENT", Short: "Say what would become of an agent's action", Long: canIHelp, Example: canIExamples,
		Args: cobra.RangeArgs(1, 3), //nolint:mnd // verb, type and name
		RunE: func(c *cobra.Command, args []string) error { return o.runCanI(c.Context(), args) },
	}
	f := c.Flags()
	// These three stand in front of the flags of all commands that impersonate.
	f.StringVar(&o.as, "as", "", "the agent whose action is judged; nobody is impersonated")
	f.StringSliceVar(&o.asGroups, "as-group", nil, "groups of the agent, besides those that follow from its name")
	f.StringVar(&o.asUID, "as-uid", "", "UID of the agent; omitted: of a service account its own")
	f.StringSliceVarP(&o.files, "filename", "f", nil, "files or folders with the objects as they are to be")
	f.BoolVar(&o.replace, "replace", false, "take the file of an update for the whole object")
	f.StringArrayVar(&o.set, "set", nil, "change one field of an update: PATH=VALUE, the value as JSON or text")
	f.StringArrayVar(&o.unset, "unset", nil, "take one field away in an update")
	f.Int64Var(&o.replicas, "replicas", -1, "the number of a scale")
	f.Int64Var(&o.grace, "grace-period", -1, "seconds of grace of a delete or an eviction; negative: not said")
	f.StringVar(&o.at, "at", "", `when: an instant, "Sat 23:00", 23:00 or +3h; omitted: now`)
	f.StringVar(&o.zone, "tz", "", "the zone of --at and of the answer; omitted: that of the agent's first policy with one")
	f.StringVarP(&o.output, "output", "o", "", "how it is written: json or yaml; omitted: for people")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing, only end with the exit code")
	return c
}

func (o *canIOptions) runCanI(ctx context.Context, args []string) error {
	if o.as == "" {
		return usageError{fmt.Errorf("--as: say whose action is judged, such as system:serviceaccount:ci:deploy-bot")}
	}
	forecasts, err := o.forecasts(ctx, args)
	if err != nil {
		if exitCode(err) == exitUsage {
			return err
		}
		return exitWith(exitNoAnswer, o.explain(err)) // 1 says that it would be refused
	}
	if !o.quiet {
		if err := o.report(forecasts, o.output); err != nil {
			return exitWith(exitNoAnswer, o.explain(err))
		}
	}
	for _, f := range forecasts {
		if f.outcome() != policy.Allow {
			return exitWith(exitFailed, "")
		}
	}
	return nil
}

func (o *canIOptions) forecasts(ctx context.Context, args []string) ([]*forecast, error) {
	q, err := o.question(args)
	if err != nil {
		return nil, err
	}
	j, err := o.newJudge(ctx)
	if err != nil {
		return nil, err
	}
	user, err := j.user(ctx, o.as, o.asUID, o.asGroups)
	if err != nil {
		return nil, err
	}
	at, err := o.instant(j, o.at, o.zone, user.Username)
	if err != nil {
		return nil, err
	}
	acts, err := q.acts(ctx, j)
	if err != nil {
		return nil, err
	}
	forecasts := make([]*forecast, 0, len(acts))
	for _, act := range acts {
		act.Actor, act.At = user, at
		review, err := act.Review()
		if err != nil {
			return nil, err
		}
		f, err := j.decide(ctx, review, at)
		if err != nil {
			return nil, err
		}
		f.notes = append(append(f.notes, q.notes...), j.notes...)
		forecasts = append(forecasts, f)
	}
	return forecasts, nil
}

// instant is when the action is judged, in the zone in which it is shown.
func (e *Environment) instant(j *judge, text, zoneName, username string) (time.Time, error) {
	zone := j.zoneOf(username)
	if zoneName != "" {
		var err error
		if zone, err = window.LoadZone(zoneName); err != nil {
			return time.Time{}, usageError{fmt.Errorf("--tz: %w", err)}
		}
	}
	now := e.Now().Truncate(time.Second).In(zone)
	if text == "" {
		return now, nil
	}
	at, err := parseInstant(text, now, zone)
	return at.In(zone), err
}

// zoneOf is the zone of the first policy of the agent that has one, and UTC where none has.
func (j *judge) zoneOf(username string) *time.Location {
	for _, p := range j.set.Policies() {
		if zone := p.Timing().Zone; zone != nil && p.NamesUser(username) {
			return zone
		}
	}
	return time.UTC
}
