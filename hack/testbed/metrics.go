package testbed

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
)

// Metrics are what a process counts of itself at one moment, by series: its name and its labels as they are written.
type Metrics map[string]float64

// Sum adds up the series of a name that have all of these labels, each as name="value". Zero where there is none.
func (m Metrics) Sum(name string, labels ...string) float64 {
	var sum float64
	for series, value := range m {
		called, rest, _ := strings.Cut(series, "{")
		if called != name {
			continue
		}
		has := true
		for _, l := range labels {
			// A label begins after the brace or a comma, so that operation="UPDATE" is not found in suboperation="UPDATE".
			has = has && (strings.HasPrefix(rest, l) || strings.Contains(rest, ","+l))
		}
		if has {
			sum += value
		}
	}
	return sum
}

// Since says by how much each grew since an earlier moment. What was not there then was zero.
func (m Metrics) Since(earlier Metrics) Metrics {
	grown := Metrics{}
	for series, value := range m {
		grown[series] = value - earlier[series]
	}
	return grown
}

// APIServerMetrics are those of the first API server.
func (s *Testbed) APIServerMetrics(ctx context.Context) (Metrics, error) {
	set, err := kubernetes.NewForConfig(s.Plane.AdminConfig())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	stream, err := set.RESTClient().Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	defer func() { _ = stream.Close() }()
	return parseMetrics(stream)
}

// ReadMetrics reads those of a replica.
func (r *Replica) ReadMetrics(ctx context.Context) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Metrics+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	return parseMetrics(answer.Body)
}

// parseMetrics reads the text format of Prometheus, without timestamps, which neither process writes.
func parseMetrics(text io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("reading metrics: %q has no value", line)
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("reading metrics: %q: %w", line, err)
		}
		m[line[:at]] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return m, nil
}
