package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// colors are those of Grafana by their names, for a light page.
var colors = map[string]string{
	"green": "#37872d", "red": "#c4162a", "orange": "#fa6400", "yellow": "#e0b400", "blue": "#1f60c4", "purple": "#8f3bb8",
	"text": "#24292e", "gray": "#8e8e8e",
}

// palette is for series that have no color of their own, in their order.
var palette = []string{
	"#56a64b", "#f2cc0c", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#8ab8ff", "#ffb357", "#806eb7", "#37872d", "#19730e", "#6d1f62",
}

func colorOf(name string) string {
	if c, ok := colors[name]; ok {
		return c
	}
	return name
}

// unit writes a value as Grafana does, with so many decimals, or with as many as tell it from its neighbours.
func unit(value float64, name string, decimals *int) (string, error) {
	switch name {
	case "s":
		return seconds(value, decimals), nil
	case "bytes":
		return scaled(value, 1024, []string{"B", "KiB", "MiB", "GiB"}, decimals), nil
	case "short", "":
		return scaled(value, 1000, []string{"", "K", "Mil", "Bil"}, decimals), nil
	case "opm":
		return scaled(value, 1000, []string{"ops/m", "K ops/m"}, decimals), nil
	case "ops":
		return scaled(value, 1000, []string{"ops/s", "K ops/s"}, decimals), nil
	default:
		return "", fmt.Errorf("the unit %q is not known here", name)
	}
}

func scaled(value, base float64, names []string, decimals *int) string {
	i := 0
	for math.Abs(value) >= base && i < len(names)-1 {
		value, i = value/base, i+1
	}
	return strings.TrimSpace(digits(value, decimals) + " " + names[i])
}

func seconds(value float64, decimals *int) string {
	for _, u := range []struct {
		size float64
		name string
	}{{365 * 86400, "years"}, {7 * 86400, "weeks"}, {86400, "days"}, {3600, "hours"}, {60, "mins"}, {1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}} {
		if math.Abs(value) >= u.size {
			return digits(value/u.size, decimals) + " " + u.name
		}
	}
	return digits(value, decimals) + " s"
}

// digits writes three significant digits at most.
func digits(value float64, decimals *int) string {
	if decimals != nil {
		return strconv.FormatFloat(value, 'f', *decimals, 64)
	}
	precision := 2
	if size := math.Abs(value); size >= 100 || size == 0 {
		precision = 0
	} else if size >= 10 {
		precision = 1
	}
	text := strconv.FormatFloat(value, 'f', precision, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
