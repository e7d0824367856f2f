package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// plot is where lines are drawn, with the values at its bottom and top.
type plot struct {
	left, right, top, bottom float64
	low, high                float64
}

func (p *plot) x(i, points int) float64 {
	return p.left + (p.right-p.left)*float64(i)/float64(max(1, points-1))
}

func (p *plot) y(value float64) float64 {
	return p.bottom - (p.bottom-p.top)*(value-p.low)/(p.high-p.low)
}

// timeseries draws lines, one upon the other where they are stacked.
func (d *drawn) timeseries(s *span) error {
	if empty(d.all) {
		d.text(d.x+d.width/2, d.y+d.height/2, `text-anchor="middle" fill="#6e7781"`, "No data")
		return nil
	}
	fixed, err := d.fixedColors()
	if err != nil {
		return err
	}
	names, ink := make([]string, len(d.all)), make([]string, len(d.all))
	for i := range d.all {
		names[i], ink[i] = d.all[i].name, palette[i%len(palette)]
		if color, ok := fixed[names[i]]; ok {
			ink[i] = colorOf(color)
		}
	}
	below := d.legendHeight(names)
	stacked := d.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	tops := d.tops(stacked)
	p := &plot{left: d.x + 70, right: d.x + d.width - 14, top: d.y + 34, bottom: d.y + d.height - 26 - below}
	if err := d.axes(s, p, tops); err != nil {
		return err
	}
	for i, top := range slices.Backward(tops) {
		var base []float64
		if stacked && i > 0 {
			base = tops[i-1]
		}
		d.area(p, top, base, ink[i])
		d.line(p, top, ink[i])
	}
	d.legend(names, ink, below)
	return nil
}

// tops are the lines as they are drawn: what is stacked stands on what is before it.
func (d *drawn) tops(stacked bool) [][]float64 {
	tops := make([][]float64, len(d.all))
	for i := range d.all {
		tops[i] = append([]float64{}, d.all[i].points...)
		for at := range tops[i] {
			if !stacked || i == 0 {
				continue
			}
			switch under := tops[i-1][at]; {
			case math.IsNaN(tops[i][at]):
				tops[i][at] = under
			case !math.IsNaN(under):
				tops[i][at] += under
			}
		}
	}
	return tops
}

// axes chooses the scale and draws both axes.
func (d *drawn) axes(s *span, p *plot, lines [][]float64) error {
	f := &d.FieldConfig.Defaults
	p.low, p.high = math.Inf(1), math.Inf(-1)
	for _, line := range lines {
		for _, v := range line {
			if !math.IsNaN(v) {
				p.low, p.high = min(p.low, v), max(p.high, v)
			}
		}
	}
	if f.Custom.Stacking.Mode == "normal" {
		p.low = 0
	}
	if f.Min != nil {
		p.low = *f.Min
	}
	if f.Max != nil {
		p.high = *f.Max
	}
	step := roundStep((p.high-p.low)/4, f.Unit == "bytes")
	if p.high == p.low {
		step = roundStep(cmp.Or(math.Abs(p.high)/4, 1), f.Unit == "bytes")
	}
	if f.Decimals != nil && *f.Decimals == 0 {
		step = max(1, math.Ceil(step))
	}
	p.low = math.Floor(p.low/step+1e-9) * step
	p.high = max(math.Ceil(p.high/step-1e-9)*step, p.low+step)
	for n := 0; p.low+float64(n)*step <= p.high+step/2; n++ {
		v := p.low + float64(n)*step
		if math.Abs(v) < step/1e6 {
			v = 0
		}
		text, err := unit(v, f.Unit, f.Decimals)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, `<path d="M%.0f %.1fH%.0f" stroke="#eceef0"/>`, p.left, p.y(v), p.right)
		d.text(p.left-6, p.y(v)+4, `text-anchor="end" font-size="11" fill="#6e7781"`, text)
	}
	d.timeAxis(s, p)
	return nil
}

func (d *drawn) timeAxis(s *span, p *plot) {
	times, layout := clockTimes(s, int((p.right-p.left)/70))
	for _, t := range times {
		x := p.left + (p.right-p.left)*float64(t.Sub(s.from)/time.Second)/s.to.Sub(s.from).Seconds()
		fmt.Fprintf(d.out, `<path d="M%.0f %.0fV%.0f" stroke="#eceef0"/>`, x, p.top, p.bottom)
		d.text(x, p.bottom+16, `text-anchor="middle" font-size="11" fill="#6e7781"`, t.UTC().Format(layout))
	}
}

// roundStep is a step of a scale that people like: 1, 2 or 5 times a power of ten, or a power of two.
func roundStep(least float64, binary bool) float64 {
	if binary {
		return math.Exp2(math.Ceil(math.Log2(least)))
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= least {
			return n * power
		}
	}
	return 10 * power
}

// runs are the spans of points, one after the other, that are there.
func runs(line []float64) (all [][2]int) {
	begin := -1
	for i := 0; i <= len(line); i++ {
		there := i < len(line) && !math.IsNaN(line[i])
		switch {
		case there && begin < 0:
			begin = i
		case !there && begin >= 0:
			all = append(all, [2]int{begin, i})
			begin = -1
		}
	}
	return all
}

func (d *drawn) line(p *plot, line []float64, color string) {
	var path strings.Builder
	for _, run := range runs(line) {
		for i := run[0]; i < run[1]; i++ {
			x, y := p.x(i, len(line)), p.y(line[i])
			switch {
			case run[1]-run[0] == 1: // a point by itself
				fmt.Fprintf(&path, "M%.0f %.1fh2", x-1, y)
			case i == run[0]:
				fmt.Fprintf(&path, "M%.0f %.1fL", x, y)
			case i > run[0]+1 && i < run[1]-1 && line[i] == line[i-1] && line[i] == line[i+1]: // within a level stretch
			default:
				fmt.Fprintf(&path, "%.0f %.1f ", x, y)
			}
		}
	}
	fmt.Fprintf(d.out, `<path d="%s" fill="none" stroke="%s" stroke-width="1.2"/>`, strings.TrimSpace(path.String()), color)
}

// area fills what lies between a line and the one that it stands on, or the bottom.
func (d *drawn) area(p *plot, line, base []float64, color string) {
	opacity := d.FieldConfig.Defaults.Custom.FillOpacity / 100
	if opacity == 0 {
		return
	}
	var path strings.Builder
	for _, run := range runs(line) {
		path.WriteString("M")
		for i := run[0]; i < run[1]; i++ {
			fmt.Fprintf(&path, "%.0f %.1f ", p.x(i, len(line)), p.y(line[i]))
		}
		for i := run[1] - 1; i >= run[0]; i-- {
			under := p.low
			if i < len(base) && !math.IsNaN(base[i]) {
				under = base[i]
			}
			fmt.Fprintf(&path, "%.0f %.1f ", p.x(i, len(line)), p.y(under))
		}
		path.WriteString("Z")
	}
	fmt.Fprintf(d.out, `<path d="%s" fill="%s" fill-opacity="%g"/>`, path.String(), color, opacity)
}

const legendLine = 18

func (d *drawn) legendHeight(names []string) float64 {
	rows, _ := d.legendPlaces(names)
	return float64(rows * legendLine)
}

// legendPlaces puts names one after the other, and in a new line where they would be too wide.
func (d *drawn) legendPlaces(names []string) (rows int, places [][2]float64) {
	x, row := 0.0, 0
	for _, name := range names {
		width := 34 + glyph*float64(len([]rune(name)))
		if x > 0 && x+width > d.width-16 {
			x, row = 0, row+1
		}
		places = append(places, [2]float64{x, float64(row)})
		x += width
	}
	return row + 1, places
}

func (d *drawn) legend(names, ink []string, height float64) {
	_, places := d.legendPlaces(names)
	for i, name := range names {
		x, y := d.x+10+places[i][0], d.y+d.height-height+places[i][1]*legendLine+8
		fmt.Fprintf(d.out, `<path d="M%.0f %.0fh14" stroke="%s" stroke-width="3"/>`, x, y-4, ink[i])
		d.text(x+19, y, `font-size="12"`, fit(name, d.width-40))
	}
}
