package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	only := flag.String("only", "", "names of drills, separated by commas; empty: all")
	document := flag.String("document", "", "file between whose markers the figures are written; empty: none")
	pace := flag.Float64("pace", 1, "how long phases under load take, in relation to a whole run; less than 1 is for trying out")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, settings{only: *only, document: *document, pace: *pace})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(1)
	}
}

// settings are those of the command line.
type settings struct {
	only, document string
	// pace is more than zero.
	pace float64
}

// drill is one of the things that go wrong.
type drill struct {
	name, title string
	// plays is the drill: it fills in the report, and returns an error where it could not be carried out.
	plays func(context.Context, *bench) error
}

var drills = []drill{
	{"kill", "The operator is killed under load", playKill},
	{"slow", "etcd is slow", playSlow},
	{"rotate", "Certificates and their authority are replaced", playRotate},
	{"rolling", "Three replicas are restarted one after the other", playRolling},
	{"leader", "The elected replica is killed", playLeader},
	{"outage", "Everything is down, and the operator does not come back", playOutage},
	{"starve", "Agents take all seats of the API server", playStarve},
	{"skew", "Clocks are wrong", playSkew},
	{"noise", "One agent is refused 10,000 times a minute", playNoise},
}

// run carries out drills one after the other; each has a control plane of its own.
func run(ctx context.Context, s settings) (err error) {
	chosen, err := choose(s.only)
	if err != nil {
		return err
	}
	if s.pace <= 0 {
		return fmt.Errorf("--pace must be more than zero, not %v", s.pace)
	}
	b := &bench{screen: os.Stdout, pace: s.pace}
	defer func() { b.close(err == nil) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	began, failed := time.Now(), []string{}
	var reports []*report
	for _, d := range chosen {
		r := b.carryOut(ctx, d)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		reports = append(reports, r)
		if !r.holds() {
			failed = append(failed, d.name)
		}
	}
	fmt.Fprintf(b.screen, "\n%d drills in %s\n", len(reports), time.Since(began).Round(time.Second))
	if len(failed) > 0 {
		return fmt.Errorf("claims do not hold: %s", strings.Join(failed, ", "))
	}
	if s.document == "" {
		return nil
	}
	return writeDocument(s.document, b.machine(), reports)
}

// choose finds drills by their names.
func choose(only string) ([]drill, error) {
	if only == "" {
		return drills, nil
	}
	var chosen []drill
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(drills, func(d drill) bool { return d.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no drill %q; there are %s", name, names())
		}
		chosen = append(chosen, drills[i])
	}
	return chosen, nil
}

func names() string {
	var list []string
	for _, d := range drills {
		list = append(list, d.name)
	}
	return strings.Join(list, ", ")
}
