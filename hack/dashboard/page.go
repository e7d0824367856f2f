package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// The grid of Grafana: 24 columns, rows of 30 pixels, and gaps of 8 between them.
const (
	columns, rowHeight, gap = 24, 30, 8
	pageMargin              = 16
	headHeight              = 34
	// glyph is how wide a character of 12 pixels is, on average.
	glyph = 7.2
)

// drawn is what is drawn of a panel: its place, and what Prometheus said.
type drawn struct {
	*panel
	all                 []series
	x, y, width, height float64
	out                 *strings.Builder
}

// drawPage draws all panels as one SVG, so wide. Data are by the index of the panel.
func drawPage(b *board, data [][]series, s *span, width int) (string, error) {
	bottom := 0
	for i := range b.Panels {
		bottom = max(bottom, b.Panels[i].GridPos.Y+b.Panels[i].GridPos.H)
	}
	height := headHeight + bottom*(rowHeight+gap) + pageMargin
	out := &strings.Builder{}
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" `+
		`font-family="Inter,Helvetica,Arial,sans-serif" font-size="12" fill="#24292e">`, width, height, width, height)
	fmt.Fprintf(out, `<rect width="%d" height="%d" fill="#f4f5f5"/>`, width, height)
	fmt.Fprintf(out, `<text x="%d" y="24" font-size="16" font-weight="500">%s</text>`, pageMargin, html.EscapeString(b.Title))
	fmt.Fprintf(out, `<text x="%d" y="24" text-anchor="end" fill="#6e7781">%s, %s UTC</text>`, width-pageMargin,
		s.to.Sub(s.from), s.from.UTC().Format("2006-01-02 15:04"))
	column := float64(width-2*pageMargin+gap) / columns
	for i := range b.Panels {
		p := &b.Panels[i]
		d := &drawn{
			panel: p, all: data[i], out: out,
			x: pageMargin + float64(p.GridPos.X)*column, y: float64(headHeight + p.GridPos.Y*(rowHeight+gap)),
			width: float64(p.GridPos.W)*column - gap, height: float64(p.GridPos.H*(rowHeight+gap) - gap),
		}
		if err := d.draw(s); err != nil {
			return "", fmt.Errorf("drawing panel %q: %w", p.Title, err)
		}
	}
	out.WriteString("</svg>\n")
	return out.String(), nil
}

func (d *drawn) draw(s *span) error {
	if d.Type == "row" {
		d.text(d.x, d.y+21, `font-size="14" font-weight="500"`, "▾ "+d.Title)
		return nil
	}
	fmt.Fprintf(d.out, `<g><title>%s</title><rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" rx="2" fill="#fff" stroke="#e1e4e8"/>`,
		html.EscapeString(d.Description), d.x, d.y, d.width, d.height)
	d.text(d.x+8, d.y+20, `font-weight="500"`, fit(d.Title, d.width-16))
	defer d.out.WriteString("</g>")
	switch d.Type {
	case "stat":
		return d.stat()
	case "timeseries":
		return d.timeseries(s)
	case "state-timeline":
		return d.timeline(s)
	default:
		return fmt.Errorf("the type %q is not known here", d.Type)
	}
}

func (d *drawn) text(x, y float64, attributes, text string) {
	fmt.Fprintf(d.out, `<text x="%.0f" y="%.0f" %s>%s</text>`, x, y, attributes, html.EscapeString(text))
}

// fit cuts a text that would be too wide.
func fit(text string, width float64) string {
	if most := int(width / glyph); len([]rune(text)) > most {
		return string([]rune(text)[:max(0, most-1)]) + "…"
	}
	return text
}

// stat shows the last value that is one.
func (d *drawn) stat() error {
	text, color := d.FieldConfig.Defaults.NoValue, "text"
	if text == "" {
		text = "No data"
	}
	if !empty(d.all) {
		value := d.all[0].points[0]
		color = d.FieldConfig.Defaults.thresholdColor(value)
		mapped, itsColor, found := d.FieldConfig.Defaults.mapped(value)
		if text = mapped; !found {
			var err error
			if text, err = unit(value, d.FieldConfig.Defaults.Unit, d.FieldConfig.Defaults.Decimals); err != nil {
				return err
			}
		} else if itsColor != "" {
			color = itsColor
		}
	}
	size := min(40, (d.width-16)/float64(len([]rune(text)))/.56, d.height-40)
	attributes := fmt.Sprintf(`font-size="%.0f" font-weight="500" text-anchor="middle" fill=%q`, size, colorOf(color))
	d.text(d.x+d.width/2, d.y+28+(d.height-32)/2+size/3, attributes, text)
	return nil
}

// asHTML is a page around the drawing.
func asHTML(title, svg string) string {
	return fmt.Sprintf("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>"+
		"<style>body{margin:0;background:#f4f5f5}svg{display:block}</style></head>\n<body>%s</body></html>\n", html.EscapeString(title), svg)
}

// clockTimes are instants for an axis, some of the span that are round.
func clockTimes(s *span, most int) (times []time.Time, layout string) {
	every := 30 * time.Second
	for _, every = range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
		3 * time.Hour, 6 * time.Hour, 24 * time.Hour} {
		if int(s.to.Sub(s.from)/every) <= most {
			break
		}
	}
	layout = "15:04"
	if every < time.Minute {
		layout = "15:04:05"
	}
	for t := s.from.Truncate(every).Add(every); t.Before(s.to); t = t.Add(every) {
		times = append(times, t)
	}
	return times, layout
}
