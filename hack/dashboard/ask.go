package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prometheus is asked by its HTTP API.
type prometheus struct{ url string }

// series are the points of one line, NaN where there is none. One point where the query was for an instant.
type series struct {
	name   string
	points []float64
}

// span is what a page shows.
type span struct {
	from, to time.Time
	// step is between two points, scrape is how often Prometheus reads.
	step, scrape time.Duration
}

// maxPoints is how many points a panel shows at most. Grafana asks for one for each pixel; so many are seen as well.
const maxPoints = 200

func newSpan(to time.Time, length, scrape time.Duration) span {
	step := max(scrape, (length/maxPoints + time.Second - 1).Truncate(time.Second))
	to = to.Truncate(step)
	return span{from: to.Add(-length.Truncate(step)), to: to, step: step, scrape: scrape}
}

func (s *span) points() int { return int(s.to.Sub(s.from)/s.step) + 1 }

// rateInterval is what Grafana makes of $__rate_interval: four scrapes at least, so that two are in it though one is late.
func (s *span) rateInterval() time.Duration { return max(s.step+s.scrape, 4*s.scrape) }

// resolve puts in Grafana's variables.
func (s *span) resolve(expr string) string {
	return strings.NewReplacer("$__rate_interval", duration(s.rateInterval()), "$__interval", duration(s.step),
		"$__range", duration(s.to.Sub(s.from))).Replace(expr)
}

func duration(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// ask answers all queries of a panel, in the order of its targets and sorted by name.
func (p *prometheus) ask(ctx context.Context, s *span, panel *panel) ([]series, error) {
	var all []series
	for i := range panel.Targets {
		target := &panel.Targets[i]
		query := url.Values{"query": {s.resolve(target.Expr)}}
		path := "query_range"
		if target.Instant {
			path = "query"
			query.Set("time", stamp(s.to))
		} else {
			query.Set("start", stamp(s.from))
			query.Set("end", stamp(s.to))
			query.Set("step", duration(s.step))
		}
		results, err := p.query(ctx, path, query)
		if err != nil {
			return nil, fmt.Errorf("panel %q, query %d: %w", panel.Title, i+1, err)
		}
		var found []series
		for _, r := range results {
			found = append(found, r.series(s, target))
		}
		slices.SortFunc(found, func(a, b series) int { return strings.Compare(a.name, b.name) })
		all = append(all, found...)
	}
	return all, nil
}

func stamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// result is one series as Prometheus writes it: Values of a range, Value of an instant.
type result struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"`
	Value  [2]any            `json:"value"`
}

func (r *result) series(s *span, t *target) series {
	out := series{name: t.legend(r.Metric)}
	if t.Instant {
		_, out.points = 0, []float64{number(r.Value[1])}
		return out
	}
	out.points = make([]float64, s.points())
	for i := range out.points {
		out.points[i] = math.NaN()
	}
	for _, v := range r.Values {
		at, ok := v[0].(float64)
		if i := int(math.Round((at - float64(s.from.Unix())) / s.step.Seconds())); ok && i >= 0 && i < len(out.points) {
			out.points[i] = number(v[1])
		}
	}
	return out
}

// number reads a value, which Prometheus writes as a string. What is none, such as the quantile of nothing, is no point.
func number(v any) float64 {
	text, _ := v.(string)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// query asks for series.
func (p *prometheus) query(ctx context.Context, path string, values url.Values) ([]result, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/"+path+"?"+values.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking Prometheus: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking Prometheus: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          struct{ Result []result }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("reading the answer of Prometheus, %s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return nil, errors.New("Prometheus answers: " + answer.Error)
	}
	return answer.Data.Result, nil
}

// empty says whether there is no point at all.
func empty(all []series) bool {
	for i := range all {
		for _, v := range all[i].points {
			if !math.IsNaN(v) {
				return false
			}
		}
	}
	return true
}
