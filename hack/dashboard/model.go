package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// board is what of Grafana's format the dashboard uses. What it does not know is an error where it is drawn, so that the
// picture never shows something else than Grafana does.
type board struct {
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	GridPos     gridPos  `json:"gridPos"`
	Targets     []target `json:"targets"`
	FieldConfig struct {
		Defaults  field      `json:"defaults"`
		Overrides []override `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		ColorMode string `json:"colorMode"`
		Legend    struct {
			ShowLegend *bool `json:"showLegend"`
		} `json:"legend"`
	} `json:"options"`
}

// gridPos is in columns, 24 of which are a page, and in rows.
type gridPos struct{ X, Y, W, H int }

type target struct {
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Instant      bool   `json:"instant"`
}

type field struct {
	Unit       string    `json:"unit"`
	Decimals   *int      `json:"decimals"`
	Min        *float64  `json:"min"`
	Max        *float64  `json:"max"`
	NoValue    string    `json:"noValue"`
	Mappings   []mapping `json:"mappings"`
	Thresholds struct {
		Steps []threshold `json:"steps"`
	} `json:"thresholds"`
	Custom struct {
		FillOpacity float64 `json:"fillOpacity"`
		DrawStyle   string  `json:"drawStyle"`
		Stacking    struct {
			Mode string `json:"mode"`
		} `json:"stacking"`
	} `json:"custom"`
}

type threshold struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

type mapping struct {
	Type    string `json:"type"`
	Options map[string]struct {
		Text  string `json:"text"`
		Color string `json:"color"`
		Index int    `json:"index"`
	} `json:"options"`
}

type override struct {
	Matcher struct {
		ID      string `json:"id"`
		Options string `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		ID    string          `json:"id"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

// readBoard reads a dashboard, and refuses variables that it could not resolve.
func readBoard(content []byte) (*board, error) {
	b := &board{}
	if err := json.Unmarshal(content, b); err != nil {
		return nil, fmt.Errorf("reading the dashboard: %w", err)
	}
	for _, v := range b.Templating.List {
		if v.Type != "datasource" {
			return nil, fmt.Errorf("reading the dashboard: the variable %s is of the type %q, which is not known here", v.Name, v.Type)
		}
	}
	if len(b.Panels) == 0 {
		return nil, errors.New("reading the dashboard: it has no panels")
	}
	return b, nil
}

// fixedColors are the colors that overrides give to series by name.
func (p *panel) fixedColors() (map[string]string, error) {
	colors := map[string]string{}
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			var value struct{ Mode, FixedColor string }
			if o.Matcher.ID != "byName" || property.ID != "color" {
				return nil, fmt.Errorf("panel %q: the override %s of %s is not known here", p.Title, property.ID, o.Matcher.ID)
			}
			if err := json.Unmarshal(property.Value, &value); err != nil || value.Mode != "fixed" {
				return nil, fmt.Errorf("panel %q: the color of %s is not fixed: %w", p.Title, o.Matcher.Options, err)
			}
			colors[o.Matcher.Options] = value.FixedColor
		}
	}
	return colors, nil
}

// mapped is the text and the color of a value, where a mapping has one.
func (f *field) mapped(value float64) (text, color string, found bool) {
	for _, m := range f.Mappings {
		if o, ok := m.Options[fmt.Sprint(value)]; ok && m.Type == "value" {
			return o.Text, o.Color, true
		}
	}
	return "", "", false
}

// thresholdColor is that of the highest step that a value reaches.
func (f *field) thresholdColor(value float64) string {
	color := "text"
	for _, s := range f.Thresholds.Steps {
		if s.Value == nil || value >= *s.Value {
			color = s.Color
		}
	}
	return color
}

// legend fills in what stands in braces.
func (t *target) legend(labels map[string]string) string {
	if t.LegendFormat == "" {
		return labels["__name__"]
	}
	text := t.LegendFormat
	for name, value := range labels {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
	return text
}
