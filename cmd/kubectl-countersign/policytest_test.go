package main_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTest tries policies in files with the built binary. It needs no cluster.
func TestTest(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
	}{
		"passing":   {[]string{"testdata/policytest/passing.yaml"}, 0},
		"details":   {[]string{"testdata/policytest/passing.yaml", "--details", "--run", "exec|status|budget"}, 0},
		"failing":   {[]string{"testdata/policytest/failing.yaml", "--coverage"}, 2},
		"mismatch":  {[]string{"testdata/policytest/failing.yaml", "--run", "expected|scaling"}, 1},
		"json":      {[]string{"testdata/policytest/failing.yaml", "-o", "json", "--coverage"}, 2},
		"junit":     {[]string{"testdata/policytest/failing.yaml", "testdata/policytest/none.yaml", "-o", "junit"}, 2},
		"folder":    {[]string{"testdata/policytest", "--run", "scale by"}, 0},
		"no-case":   {[]string{"testdata/policytest/passing.yaml", "--run", "absent"}, 2},
		"no-format": {[]string{"testdata/policytest/passing.yaml", "-o", "xml"}, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := run(t, "", append([]string{"test"}, tc.args...)...)
			if got.code != tc.code {
				t.Errorf("it ends with %d, not %d", got.code, tc.code)
			}
			golden(t, "test/"+name, got.out+got.err)
		})
	}
}

// TestTestReports reads what programs read.
func TestTestReports(t *testing.T) {
	var report struct {
		Passed, Failed, Broken int
		Cases                  []struct{ Name, Result string }
	}
	if err := json.Unmarshal([]byte(run(t, "", "test", "testdata/policytest/failing.yaml", "-o", "json").out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Passed != 1 || report.Failed != 1 || report.Broken != 1 || len(report.Cases) != 3 {
		t.Errorf("the report is %+v", report)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
	}
	if err := xml.Unmarshal([]byte(run(t, "", "test", "testdata/policytest/failing.yaml", "-o", "junit").out), &suites); err != nil {
		t.Fatal(err)
	}
	if suites.Tests != 3 || suites.Failures != 1 || suites.Errors != 1 {
		t.Errorf("the report is %+v", suites)
	}
}

// TestTestOnScreen looks at narrow and wide terminals, with and without colours.
func TestTestOnScreen(t *testing.T) {
	for name, tc := range map[string]struct {
		columns uint16
		env     []string
	}{
		"screen-60": {60, []string{"NO_COLOR=1"}}, "screen-80": {80, []string{"NO_COLOR=1"}}, "screen-120-colour": {120, nil},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "test/"+name, runOnScreen(t, tc.columns, "", tc.env, "test", "testdata/policytest/failing.yaml").out)
		})
	}
}

// TestTestMistakes calls for one clear sentence each.
func TestTestMistakes(t *testing.T) {
	valid := `apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
policies: [POLICY]
actor: {serviceAccount: ci/deploy-bot}
at: 2026-11-24T09:30:00+01:00
cases:
- name: one
  action: {operation: DELETE, resource: pods, namespace: shop, name: web-1, oldObject: {apiVersion: v1, kind: Pod, metadata: {name: web-1}}}
  expect: {outcome: Deny}
`
	policy, err := filepath.Abs("testdata/policytest/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ old, with, want string }{
		"unknown field":     {"expect:", "expects:", `unknown field "cases[0].expects"`},
		"key given twice":   {"- name: one\n", "- name: one\n  name: two\n", "already set"},
		"unknown reason":    {"{outcome: Deny}", "{outcome: Deny, reasons: [Closed]}", `there is no reason "Closed"`},
		"unknown outcome":   {"{outcome: Deny}", "{outcome: Refuse}", "Allow, Deny or RequireApproval"},
		"no outcome":        {"{outcome: Deny}", "{}", "Allow, Deny or RequireApproval"},
		"unknown operation": {"DELETE", "PATCH", "CREATE, UPDATE, DELETE or CONNECT"},
		"no instant":        {"at: 2026-11-24T09:30:00+01:00\n", "", "at: say when"},
		"local instant":     {"09:30:00+01:00", "09:30:00", "is no instant such as"},
		"no actor":          {"actor: {serviceAccount: ci/deploy-bot}\n", "", "actor: say who acts"},
		"no policy file":    {"[POLICY]", "[none.yaml]", "policies[0]: no such file: none.yaml"},
		"no policies":       {"[POLICY]", "[]", "policies: name at least one"},
		"invalid policy": {"[POLICY]", "[{apiVersion: countersign.dev/v1alpha1, kind: AgentActionPolicy, metadata: {name: a}, spec: {enforcement: Enforce, " +
			"subjects: [{kind: User, name: anna}], timeZone: Mars/Base, windows: [{name: w, weekly: {days: [Mon], start: \"09:00\", end: \"10:00\"}}]}}]",
			"policy a is not valid:\n  spec.timeZone"},
		"misspelt policy": {"[POLICY]", "[{apiVersion: countersign.dev/v1alpha1, kind: AgentActionPolicy, metadata: {name: a}, spec: {enforcment: Enforce}}]",
			`unknown field "spec.enforcment"`},
		"unknown kind":  {"resource: pods", "resource: shards.example.com", "declare custom ones in kinds"},
		"later version": {"countersign.dev/v1alpha1\nkind", "countersign.dev/v2\nkind", "this version reads countersign.dev/v1alpha1"},
		"other file":    {"kind: PolicyTest", "kind: Other", "holds no document of kind PolicyTest"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(valid, tc.old) {
				t.Fatalf("the valid file does not hold %q", tc.old)
			}
			text := strings.Replace(strings.Replace(valid, tc.old, tc.with, 1), "POLICY", policy, 1)
			file := filepath.Join(t.TempDir(), "tests.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := run(t, "", "test", file)
			if got.code != 2 || !strings.Contains(got.out+got.err, tc.want) {
				t.Errorf("it ends with %d and says:\n%s", got.code, got.out+got.err)
			}
		})
	}
}
