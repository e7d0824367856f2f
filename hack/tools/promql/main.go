// Command promql has Prometheus' own code read alerting rules and queries, and evaluate them on series that are made up. It reads a question in JSON from standard input and writes the answer in JSON to standard output; see
// charts/monitoring_test.go, which asks. It is a module of its own, because nothing that is shipped needs Prometheus.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// question is what is asked.
type question struct {
	// Rules is a file of rules as Prometheus reads it.
	Rules string `json:"rules"`
	// Queries are further expressions, by a name.
	Queries map[string]string `json:"queries"`
	// Scenarios are series by a name, in the notation of Prometheus' tests, beginning with "load 1m".
	Scenarios map[string]string `json:"scenarios"`
	// At is when rules and queries are evaluated, from the beginning of the series; a duration such as 30m.
	At string `json:"at"`
}

// answer is what is said.
type answer struct {
	// Metrics are the names that alerts and queries read, by the name of the alert or query.
	Metrics map[string][]string `json:"metrics"`
	// Firing are the alerts that fire at the given time, by scenario.
	Firing map[string][]string `json:"firing"`
	// Values are the results of the queries at the given time, each as its labels and its value, by scenario and name.
	Values map[string]map[string][]string `json:"values"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var q question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("reading the question: %w", err)
	}
	at, err := time.ParseDuration(q.At)
	if err != nil {
		return fmt.Errorf("reading the time: %w", err)
	}
	p := parser.NewParser(parser.Options{})
	groups, problems := rulefmt.Parse([]byte(q.Rules), false, model.UTF8Validation, p, slog.Default())
	if len(problems) > 0 {
		return fmt.Errorf("reading the rules: %w", errors.Join(problems...))
	}
	a := answer{Metrics: map[string][]string{}, Firing: map[string][]string{}, Values: map[string]map[string][]string{}}
	asked := maps.Clone(q.Queries)
	var alerts []rulefmt.Rule
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				return fmt.Errorf("group %s has a rule without an alert", group.Name)
			}
			alerts = append(alerts, rule)
			q.Queries[rule.Alert] = rule.Expr
		}
	}
	for name, query := range q.Queries {
		if a.Metrics[name], err = metricsOf(p, query); err != nil {
			return fmt.Errorf("reading the query of %s: %w", name, err)
		}
	}
	for name, series := range q.Scenarios {
		if a.Firing[name], err = firing(alerts, series, at); err != nil {
			return fmt.Errorf("evaluating scenario %s: %w", name, err)
		}
		if a.Values[name], err = values(asked, series, at); err != nil {
			return fmt.Errorf("answering in scenario %s: %w", name, err)
		}
	}
	return json.NewEncoder(out).Encode(a)
}

// metricsOf are the names of the metrics in an expression, sorted.
func metricsOf(p parser.Parser, query string) ([]string, error) {
	expression, err := p.ParseExpr(query)
	if err != nil {
		return nil, err
	}
	var names []string
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok && !slices.Contains(names, selector.Name) {
			names = append(names, selector.Name)
		}
		return nil
	})
	slices.Sort(names)
	return names, nil
}

// step is how often rules are evaluated.
const step = time.Minute

// firing are the names of the alerts that fire at an instant: whose expression has had a result with the same labels at
// every step for as long as the rule wants.
func firing(alerts []rulefmt.Rule, series string, at time.Duration) ([]string, error) {
	loader, end, err := load(series, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = loader.Close() }()
	names := []string{}
	for _, alert := range alerts {
		span := time.Duration(alert.For).Truncate(step)
		query, err := loader.QueryEngine().NewRangeQuery(loader.Context(), loader.Queryable(), nil, alert.Expr, end.Add(-span), end, step)
		if err != nil {
			return nil, fmt.Errorf("alert %s: %w", alert.Alert, err)
		}
		matrix, err := query.Exec(loader.Context()).Matrix()
		if err != nil {
			return nil, fmt.Errorf("alert %s: %w", alert.Alert, err)
		}
		if slices.ContainsFunc(matrix, func(s promql.Series) bool { return len(s.Floats) == int(span/step)+1 }) {
			names = append(names, alert.Alert)
		}
		query.Close()
	}
	slices.Sort(names)
	return names, nil
}

// load reads series up to an instant.
func load(series string, at time.Duration) (*promqltest.LazyLoader, time.Time, error) {
	end := time.Unix(0, 0).UTC().Add(at)
	loader, err := promqltest.NewLazyLoader(series, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		return nil, end, err
	}
	loader.WithSamplesTill(end, func(problem error) { err = problem })
	return loader, end, err
}

// values are the results of queries at an instant.
func values(queries map[string]string, series string, at time.Duration) (map[string][]string, error) {
	loader, end, err := load(series, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = loader.Close() }()
	all := map[string][]string{}
	for name, text := range queries {
		query, err := loader.QueryEngine().NewInstantQuery(loader.Context(), loader.Queryable(), nil, text, end)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		vector, err := query.Exec(loader.Context()).Vector()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = []string{}
		for _, s := range vector {
			all[name] = append(all[name], fmt.Sprintf("%s %v", s.Metric, s.F))
		}
		slices.Sort(all[name])
		query.Close()
	}
	return all, nil
}
