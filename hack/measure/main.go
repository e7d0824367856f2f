package measure

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

// settings are those of the command line.
type settings struct {
	noun, only, document, profiles string
	// pace is more than zero.
	pace float64
}

// Main is the main function of a command that carries out experiments, and ends the process with an error where one fails.
// The noun is what the command calls them.
func Main(noun string, all []Experiment) {
	only := flag.String("only", "", "names of what is carried out, separated by commas; empty: all")
	document := flag.String("document", "", "file between whose markers the figures are written; empty: none")
	pace := flag.Float64("pace", 1, "how long phases under load take, in relation to a whole run; less than 1 is for trying out")
	profiles := flag.String("profiles", "", "directory for profiles of the operator at rest, where an experiment takes them; empty: none")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := carryOut(ctx, settings{noun: noun, only: *only, document: *document, profiles: *profiles, pace: *pace}, all)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", noun, err)
		os.Exit(1)
	}
}

// carryOut carries out experiments one after the other, and writes down what was measured where all that is claimed holds.
func carryOut(ctx context.Context, s settings, all []Experiment) (err error) {
	chosen, err := choose(all, s.noun, s.only)
	if err != nil {
		return err
	}
	if s.pace <= 0 {
		return fmt.Errorf("--pace must be more than zero, not %v", s.pace)
	}
	b := &Run{Screen: os.Stdout, Profiles: s.profiles, pace: s.pace}
	defer func() { b.close(err == nil) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	began, failed := time.Now(), []string{}
	var reports []*Report
	for _, e := range chosen {
		r := b.play(ctx, e)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		reports = append(reports, r)
		if !r.holds() {
			failed = append(failed, e.Name)
		}
	}
	fmt.Fprintf(b.Screen, "\n%d carried out in %s\n", len(reports), time.Since(began).Round(time.Second))
	if len(failed) > 0 {
		return fmt.Errorf("claims do not hold: %s", strings.Join(failed, ", "))
	}
	if s.document == "" {
		return nil
	}
	return WriteDocument(s.document, b.machine(), reports)
}

// choose finds experiments by their names.
func choose(all []Experiment, noun, only string) ([]Experiment, error) {
	if only == "" {
		return all, nil
	}
	var chosen []Experiment
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(e Experiment) bool { return e.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no %s %q; there are %s", noun, name, names(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func names(all []Experiment) string {
	var list []string
	for _, e := range all {
		list = append(list, e.Name)
	}
	return strings.Join(list, ", ")
}
