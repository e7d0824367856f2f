package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// decisionLog holds every line that the operator wrote, and the examples of the document, against the published schema.
func decisionLog(t *testing.T, c *cluster) {
	t.Helper()
	root := readSchema(t)
	lines := c.operator.DecisionLines(t, "")
	if len(lines) < 40 {
		t.Errorf("the decision log has only %d lines", len(lines))
	}
	for _, line := range append(lines, loggedExamples(t)...) {
		var event any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Errorf("%v\n%s", err, line)
			continue
		}
		for _, problem := range root.check(root, "", event) {
			t.Errorf("%s\n%s", problem, line)
		}
	}
}

var fencedJSON = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")

func loggedExamples(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, block := range fencedJSON.FindAllStringSubmatch(read(t, "../docs/reference/decision-log.md"), -1) {
		found = append(found, block[1])
	}
	if len(found) == 0 {
		t.Error("docs/reference/decision-log.md shows no line")
	}
	return found
}

// schema is a JSON schema of the few keywords that the decision log needs.
type schema struct {
	Dialect     string             `json:"$schema"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Definitions map[string]*schema `json:"$defs"`
	Reference   string             `json:"$ref"`
	Type        string             `json:"type"`
	Const       any                `json:"const"`
	Enum        []any              `json:"enum"`
	Format      string             `json:"format"`
	Pattern     string             `json:"pattern"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	Properties  map[string]*schema `json:"properties"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(read(t, "../docs/reference/decision-log.schema.json"))))
	decoder.DisallowUnknownFields()
	root := &schema{}
	if err := decoder.Decode(root); err != nil {
		t.Fatal(err)
	}
	return root
}

// check returns where a value differs from a part of the schema.
func (s *schema) check(root *schema, at string, v any) []string {
	if s.Reference != "" {
		s = root.Definitions[strings.TrimPrefix(s.Reference, "#/$defs/")]
	}
	var problems []string
	fail := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	text := fmt.Sprint(v)
	if s.Type != "" && typeOf(v) != s.Type {
		fail("is %s, want %s", typeOf(v), s.Type)
	}
	if s.Const != nil && v != s.Const || s.Enum != nil && !slices.Contains(s.Enum, v) {
		fail("%s is not among the values", text)
	}
	if _, err := time.Parse(time.RFC3339, text); s.Format == "date-time" && err != nil {
		fail("%v", err)
	}
	if !regexp.MustCompile(s.Pattern).MatchString(text) {
		fail("%s does not match %s", text, s.Pattern)
	}
	if list, ok := v.([]any); ok && s.Items != nil {
		for i, item := range list {
			problems = append(problems, s.Items.check(root, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	}
	if object, ok := v.(map[string]any); ok {
		problems = append(problems, s.members(root, at, object)...)
	}
	return problems
}

// members checks an object. A member that the schema does not describe is a problem here, although readers of the log
// are to pass over it.
func (s *schema) members(root *schema, at string, object map[string]any) []string {
	var problems []string
	for _, name := range s.Required {
		if object[name] == nil {
			problems = append(problems, at+"."+name+": is missing")
		}
	}
	for name, v := range object {
		if s.Properties[name] == nil {
			problems = append(problems, at+"."+name+": the schema does not describe it")
			continue
		}
		problems = append(problems, s.Properties[name].check(root, at+"."+name, v)...)
	}
	return problems
}

func typeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	default:
		return "null"
	}
}
