package main

import (
	"fmt"
	"math"
)

// timeline draws a bar for each series, whose colors are what its values are mapped to.
func (d *drawn) timeline(s *span) error {
	if empty(d.all) {
		d.text(d.x+d.width/2, d.y+d.height/2, `text-anchor="middle" fill="#6e7781"`, "No data")
		return nil
	}
	longest := 0
	for i := range d.all {
		longest = max(longest, len([]rune(d.all[i].name)))
	}
	p := &plot{left: d.x + 18 + min(glyph*float64(longest), d.width/4), right: d.x + d.width - 14, top: d.y + 34, bottom: d.y + d.height - 26}
	d.timeAxis(s, p)
	height := (p.bottom - p.top) / float64(len(d.all))
	for i := range d.all {
		y := p.top + float64(i)*height
		d.text(p.left-6, y+height/2+4, `text-anchor="end"`, fit(d.all[i].name, p.left-d.x-12))
		if err := d.bar(p, d.all[i].points, y+height*.05, height*.9); err != nil {
			return err
		}
	}
	return nil
}

// bar draws one series, with what it says where there is room.
func (d *drawn) bar(p *plot, points []float64, y, height float64) error {
	for begin := 0; begin < len(points); {
		first, end := begin, begin+1
		for end < len(points) && points[end] == points[first] {
			end++
		}
		if begin = end; math.IsNaN(points[first]) {
			continue
		}
		text, color, found := d.FieldConfig.Defaults.mapped(points[first])
		if !found {
			return fmt.Errorf("the value %v has no mapping", points[first])
		}
		from, to := p.x(first, len(points)), p.x(min(end, len(points)-1), len(points))
		fmt.Fprintf(d.out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill=%q fill-opacity=".7"/>`,
			from, y, max(1, to-from), height, colorOf(color))
		if to-from > glyph*float64(len(text)+2) {
			d.text(from+6, y+height/2+4, `fill="#fff" font-weight="500"`, text)
		}
	}
	return nil
}
