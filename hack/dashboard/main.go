package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "draw" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err := drawFrom(ctx, os.Args[2:])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "dashboard:", err)
			os.Exit(1)
		}
		return
	}
	given := &settings{}
	flag.StringVar(&given.binary, "prometheus-binary", "prometheus", "program that is started as Prometheus")
	given.register(flag.CommandLine)
	measure.Main("dashboard", []measure.Experiment{
		{Name: "dashboard", Title: "The dashboard and the alerts, with what real replicas tell", Plays: given.play},
	})
}

// settings are those of the command line that other experiments do not have.
type settings struct{ binary, out, picture string }

func (given *settings) register(flags *flag.FlagSet) {
	flags.StringVar(&given.out, "out", "dist/dashboard", "directory for the pages, and for what Prometheus stores")
	flags.StringVar(&given.picture, "picture", "", "file for the picture of the documents, an SVG; empty: none")
}

// drawFrom draws from a Prometheus that runs.
func drawFrom(ctx context.Context, args []string) error {
	given, flags := &settings{}, flag.NewFlagSet("draw", flag.ExitOnError)
	given.register(flags)
	from := flags.String("prometheus", "http://127.0.0.1:9090", "URL of the Prometheus")
	dashboard := flags.String("dashboard", "charts/countersign/dashboards/countersign.json", "file of the dashboard")
	at := flags.String("at", "", "end of what is shown, such as 2026-01-02T15:04:05Z; empty: now")
	length := flags.Duration("span", time.Hour, "how long a time is shown")
	interval := flags.Duration("scrape-interval", 30*time.Second, "how often that Prometheus reads")
	if err := flags.Parse(args); err != nil {
		return err
	}
	content, err := os.ReadFile(*dashboard)
	if err != nil {
		return fmt.Errorf("reading the dashboard: %w", err)
	}
	end := time.Now()
	if *at != "" {
		if end, err = time.Parse(time.RFC3339, *at); err != nil {
			return fmt.Errorf("reading --at: %w", err)
		}
	}
	s := newSpan(end, *length, *interval)
	asked, err := given.draw(ctx, &prometheus{*from}, content, &s, "page", given.picture)
	if err == nil && len(asked.bare) > 0 {
		err = fmt.Errorf("panels without data: %q", asked.bare)
	}
	return err
}

// dayLength is how much of a whole run the picture shows.
const dayLength = 8 * time.Minute

// play has a day of agents shown, and then everything that alerts are for.
func (given *settings) play(ctx context.Context, b *measure.Run) error {
	s, err := newStage(ctx, b)
	if err != nil {
		return err
	}
	defer s.Close()
	chart, err := s.render(ctx)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(given.out)
	if err != nil {
		return fmt.Errorf("finding the directory for the pages: %w", err)
	}
	dir := filepath.Join(out, "prometheus-"+time.Now().UTC().Format("150405"))
	if s.server, err = startPrometheus(ctx, given.binary, dir, s, chart.rules); err != nil {
		return err
	}
	defer s.server.end()
	length := b.Phase(dayLength)
	b.Report.Settingf("two replicas, scraped every %s; %s of five agents and a person; alerts wait a %dth of what the chart says",
		scrape, length, hurry)
	if err := errors.Join(s.server.follow(s.Replicas), s.govern(ctx, length)); err != nil {
		return err
	}
	end, err := s.live(ctx, length)
	defer end()
	if err := errors.Join(err, s.day(ctx, length)); err != nil {
		return err
	}
	day := newSpan(time.Now(), length, scrape)
	if err := given.claim(ctx, s, chart, &day, "day", given.picture); err != nil {
		return err
	}
	if err := s.evaluate(ctx, chart.alerts); err != nil {
		return err
	}
	began := time.Now()
	if err := s.trouble(ctx, chart.alerts); err != nil {
		return err
	}
	troubles := newSpan(time.Now(), time.Since(began), scrape)
	return given.claim(ctx, s, chart, &troubles, "troubles", "")
}

// claim draws a span, and claims that no panel of it is empty.
func (given *settings) claim(ctx context.Context, s *stage, chart *rendered, shown *span, name, picture string) error {
	asked, err := given.draw(ctx, &s.server.prometheus, chart.dashboard, shown, name, picture)
	if err != nil {
		return err
	}
	s.Run.Report.Claim(len(asked.bare) == 0, "all queries are answered, and no panel is empty: "+name, "%d queries of %d panels; empty: %q",
		asked.queries, asked.panels, asked.bare)
	return nil
}

// evaluate claims that Prometheus evaluates each alert's expression, and says which fire.
func (s *stage) evaluate(ctx context.Context, alerts []alert) error {
	for _, a := range alerts {
		if _, err := s.server.query(ctx, "query", url.Values{"query": {a.expr}}); err != nil {
			return fmt.Errorf("evaluating %s: %w", a.name, err)
		}
	}
	firing, err := s.server.query(ctx, "query", url.Values{"query": {`ALERTS{alertstate="firing"}`}})
	if err != nil {
		return err
	}
	names := []string{}
	for _, f := range firing {
		names = append(names, f.Metric["alertname"])
	}
	s.Run.Report.Figure("alerts that fire after that day", "%d of %d: %v", len(names), len(alerts), names)
	return nil
}

// Widths of the pages that are drawn, and that of the picture, in pixels.
var widths = []int{1600, 1000}

const pictureWidth = 1200

// asked is what came of asking all queries.
type asked struct {
	queries, panels int
	// bare are the titles of the panels without any data.
	bare []string
}

// draw asks all queries of the dashboard and draws its pages, and a picture where there is to be one.
func (given *settings) draw(ctx context.Context, p *prometheus, content []byte, s *span, name, picture string) (*asked, error) {
	b, err := readBoard(content)
	if err != nil {
		return nil, err
	}
	data, a := make([][]series, len(b.Panels)), &asked{}
	for i := range b.Panels {
		panel := &b.Panels[i]
		if panel.Type == "row" {
			continue
		}
		if data[i], err = p.ask(ctx, s, panel); err != nil {
			return nil, err
		}
		a.panels, a.queries = a.panels+1, a.queries+len(panel.Targets)
		if empty(data[i]) {
			a.bare = append(a.bare, panel.Title)
		}
	}
	if err := os.MkdirAll(given.out, 0o750); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	for _, width := range widths {
		path := filepath.Join(given.out, fmt.Sprintf("%s-%d.html", name, width))
		if err := write(path, b, data, s, width, func(svg string) string { return asHTML(b.Title, svg) }); err != nil {
			return nil, err
		}
	}
	if picture == "" {
		return a, nil
	}
	return a, write(picture, b, data, s, pictureWidth, func(svg string) string { return svg })
}

func write(path string, b *board, data [][]series, s *span, width int, as func(svg string) string) error {
	svg, err := drawPage(b, data, s, width)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(as(svg)), 0o644); err != nil {
		return fmt.Errorf("writing a page: %w", err)
	}
	return nil
}
