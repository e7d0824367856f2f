package action

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestRender(t *testing.T) {
	for name, tc := range map[string]struct {
		request  Request
		from, to string
		want     []string
		redacted bool
	}{
		"plain":                      {from: `{"a":1}`, to: `{"a":"<b>"}`, want: []string{`a: 1 -> "<b>"`}},
		"absent":                     {from: `{"a":null}`, to: `{}`, want: []string{`a: null -> `}},
		"the data of a Secret":       {request: ofSecret, from: `{"data":{"a":"b25l"}}`, to: `{"data":{"a":"dHdv"}}`, want: []string{`data.a: "***" -> "***"`}, redacted: true},
		"all data of a Secret":       {request: ofSecret, from: `{"data":null}`, to: `{"data":{"a":"b25l"}}`, want: []string{`data: "***" -> {"a":"***"}`}, redacted: true},
		"data that is no map":        {request: ofSecret, from: `{}`, to: `{"data":"b25l","stringData":["b25l",{"a":"b25l"}]}`, want: []string{`data:  -> "***"`, `stringData:  -> "***"`}, redacted: true},
		"the type of a Secret":       {request: ofSecret, from: `{"type":"a"}`, to: `{"type":"b"}`, want: []string{`type: "a" -> "b"`}},
		"the data of a ConfigMap":    {request: Request{Resource: "configmaps"}, from: `{"data":{"env":"one"}}`, to: `{"data":{"env":"two"}}`, want: []string{`data.env: "one" -> "two"`}},
		"secrets of another group":   {request: Request{Group: "example.com", Resource: "secrets"}, from: `{"data":{"a":"1"}}`, to: `{"data":{"a":"2"}}`, want: []string{`data.a: "1" -> "2"`}},
		"a variable":                 {from: `{"spec":{"env":[{"name":"A","value":"one"}]}}`, to: `{"spec":{"env":[{"name":"A","value":"two"}]}}`, want: []string{`spec.env[name=A].value: "***" -> "***"`}, redacted: true},
		"a new variable":             {from: `{"spec":{"env":[]}}`, to: `{"spec":{"env":[{"name":"A","value":"one","valueFrom":{"x":"y"}}]}}`, want: []string{`spec.env[name=A]:  -> {"name":"A","value":"***","valueFrom":{"x":"y"}}`}, redacted: true},
		"a variable from elsewhere":  {from: `{"spec":{"env":[]}}`, to: `{"spec":{"env":[{"name":"A","valueFrom":{"value":"y"}}]}}`, want: []string{`spec.env[name=A]:  -> {"name":"A","valueFrom":{"value":"y"}}`}},
		"variables in another order": {from: `{"env":[{"name":"A","value":"one"},{"name":"B"}]}`, to: `{"env":[{"name":"B"},{"name":"A","value":"one"}]}`, want: []string{`env: [{"name":"A","value":"***"},{"name":"B"}] -> [{"name":"B"},{"name":"A","value":"***"}]`}, redacted: true},
		"variables as texts":         {from: `{"env":["A=one"]}`, to: `{"env":["A=two"]}`, want: []string{`env: ["***"] -> ["***"]`}, redacted: true},
		"variables as a map":         {from: `{"spec":{"env":{"A":"one"}}}`, to: `{"spec":{"env":{"A":"two"}}}`, want: []string{`spec.env.A: "***" -> "***"`}, redacted: true},
		"a label of that name":       {from: `{"metadata":{"labels":{"env":"one"}}}`, to: `{"metadata":{"labels":{"env":"two"}}}`, want: []string{`metadata.labels.env: "one" -> "two"`}},
		"within a whole template":    {from: `{"spec":{"template":null}}`, to: `{"spec":{"template":{"metadata":{"annotations":{"x/token":"t","y":"z"}},"spec":{"containers":[{"env":[{"name":"A","value":"one"}]}]}}}}`, want: []string{`spec.template: null -> {"metadata":{"annotations":{"x/token":"***","y":"z"}},"spec":{"containers":[{"env":[{"name":"A","value":"***"}]}]}}`}, redacted: true},
		"annotations": {
			from:     `{"metadata":{"annotations":{"a":"1","My-Token":"1","db.secret/x":"1","PASSWORD":"1","passwd":"1","credentials":"1","private-key":"1","privatekey":"1","api-key":"1","ApiKey":"1"}}}`,
			to:       `{"metadata":{"annotations":{"a":"2","My-Token":"2","db.secret/x":"2","PASSWORD":"2","passwd":"2","credentials":"2","private-key":"2","privatekey":"2","api-key":"2","ApiKey":"2"}}}`,
			want:     []string{`metadata.annotations.ApiKey: "***" -> "***"`, `metadata.annotations.My-Token: "***" -> "***"`, `metadata.annotations.PASSWORD: "***" -> "***"`, `metadata.annotations.a: "1" -> "2"`, `metadata.annotations.api-key: "***" -> "***"`, `metadata.annotations.credentials: "***" -> "***"`, `metadata.annotations["db.secret/x"]: "***" -> "***"`, `metadata.annotations.passwd: "***" -> "***"`, `metadata.annotations.private-key: "***" -> "***"`, `metadata.annotations.privatekey: "***" -> "***"`},
			redacted: true,
		},
		"a label that says token":   {from: `{"metadata":{"labels":{"token":"1"}}}`, to: `{"metadata":{"labels":{"token":"2"}}}`, want: []string{`metadata.labels.token: "1" -> "2"`}},
		"what was last applied":     {from: `{"metadata":{"annotations":{"a":"1"}}}`, to: `{"metadata":{"annotations":{"a":"1","` + lastAppliedKey + `":"{\"x\":1}"}}}`, want: []string{`metadata.annotations["` + lastAppliedKey + `"]:  -> "***"`}, redacted: true},
		"who owns what":             {from: `{"metadata":{}}`, to: `{"metadata":{"managedFields":[{"a":1}]}}`, want: []string{`metadata.managedFields:  -> "***"`}, redacted: true},
		"what cannot be seen":       {from: `{"a":""}`, to: "{\"a\":\"\\u001b[31m\u202e\u200b\u00e9\U000e0041\\\"\\\\\"}", want: []string{`a: "" -> "\u001b[31m\u202e\u200bé\udb40\udc41\"\\"`}},
		"a key that cannot be seen": {from: `{"a":[]}`, to: `{"a":[{"\u001b":1}]}`, want: []string{`a: [] -> [{"\u001b":1}]`}},
		"a long text":               {from: `{"a":1}`, to: `{"a":"` + strings.Repeat("é", 10_000) + `"}`, want: []string{`a: 1 -> "` + strings.Repeat("é", 510) + `…`}},
		"a long list":               {from: `{"a":1}`, to: `{"a":[` + strings.Repeat("12345678,", 10_000) + `1]}`, want: []string{`a: 1 -> [` + strings.Repeat("12345678,", 56) + `123456…`}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Resource == "" {
				tc.request = ofDeployment
			}
			a := updateOf(t, tc.request, hasStatus, tc.from, tc.to)
			var got []string
			redacted := false
			for _, c := range a.Changes {
				from, to := a.Render(c)
				got = append(got, c.Path.String()+": "+from+" -> "+to)
				redacted = redacted || a.Redacted(c)
				if max(utf8.RuneCountInString(from), utf8.RuneCountInString(to)) > maxRendered {
					t.Error("it is too long")
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if redacted != tc.redacted {
				t.Errorf("redacted: %t", redacted)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	a := &Action{Resource: "secrets"}
	content := mustDecode(t, `{"data":{"a":"b25l"},"metadata":{"annotations":{"token":"t","x":"y"},"name":"n"},"list":[1,{"env":[{"name":"A","value":"v"}]}]}`)
	before := canonicalText(content)
	want := `{"data":{"a":"***"},"list":[1,{"env":[{"name":"A","value":"***"}]}],"metadata":{"annotations":{"token":"***","x":"y"},"name":"n"}}`
	if d := cmp.Diff(want, canonicalText(a.Redact(content))); d != "" {
		t.Error(d)
	}
	if canonicalText(content) != before {
		t.Error("the content was changed")
	}
	if a.Redact(nil) != nil {
		t.Error("nothing became something")
	}
}

// TestNothingShowsSecrets looks for planted secrets in whatever of an action is for people.
func TestNothingShowsSecrets(t *testing.T) {
	for _, name := range reviewNames(t) {
		a, err := Normalise(readReview(t, name))
		if err != nil {
			checkNoSecrets(t, err.Error())
			continue
		}
		for _, c := range a.Changes {
			from, to := a.Render(c)
			checkNoSecrets(t, c.Path.String()+from+to)
			hidden := a.RedactChange(c)
			checkNoSecrets(t, valueText(hidden.From)+valueText(hidden.To))
			if hidden.From.Present != c.From.Present || hidden.To.Present != c.To.Present {
				t.Errorf("%s: what is absent became present, or the reverse", c.Path)
			}
		}
		checkNoSecrets(t, canonicalText(a.Redact(a.Old))+canonicalText(a.Redact(a.New)))
	}
}

// TestSealedSecrets checks that a changed secret is another action, and the same one is not.
func TestSealedSecrets(t *testing.T) {
	of := func(value string) *Action {
		return updateOf(t, ofSecret, KindFacts{Kind: "Secret"}, `{"data":{}}`, `{"data":{"a":"`+value+`"}}`)
	}
	one, again := of("b25l"), of("b25l")
	if hasher.Hash(one) != hasher.Hash(again) {
		t.Error("one secret has two hashes")
	}
	if hasher.Hash(one) == hasher.Hash(of("dHdv")) {
		t.Error("two secrets have one hash")
	}
	plain := &Action{Operation: v1alpha1.OperationUpdate, Changes: []Change{{Path: fields("spec", "a"), To: Value{Present: true, V: "x"}}}}
	if hash := hasher.Hash(plain); !strings.HasPrefix(hash, "v1:") {
		t.Errorf("a hash without secrets names the key: %s", hash)
	}
}
