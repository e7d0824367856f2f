package main

import (
	"slices"
	"testing"
)

func TestProblems(t *testing.T) {
	tests := map[string]struct {
		want         want
		answer       answer
		wantGot      outcome
		wantProblems []string
	}{
		"as expected": {
			want: passing("updated"), answer: answer{"deployment.apps/web image updated", 0}, wantGot: passes,
		},
		"refused as expected": {
			want:    refusal("next: WAIT"),
			answer:  answer{`admission webhook "enforce.countersign.dev" denied the request: no` + "\nnext: WAIT until", 1},
			wantGot: refused,
		},
		"passes and should not": {
			want: want{outcome: refused}, answer: answer{"updated", 0}, wantGot: passes,
			wantProblems: []string{"exit status 0, not 1 (refused)"},
		},
		"refused by somebody else": {
			want: refusal(), answer: answer{`Forbidden: User "x" cannot patch`, 1}, wantGot: refused,
			wantProblems: []string{`no "admission webhook \"enforce.countersign.dev\" denied the request" in the answer`},
		},
		"another exit status": {
			want: want{outcome: differs}, answer: answer{"no such file", 2}, wantGot: "exit 2",
			wantProblems: []string{"exit status 2, not 1 (differs)"},
		},
		"never ran": {
			want: passing(), answer: answer{"not found", -1}, wantGot: "exit -1",
			wantProblems: []string{"exit status -1, not 0 (passes)"},
		},
		"every text is missed": {
			want: passing("a", "b", "c"), answer: answer{"b", 0}, wantGot: passes,
			wantProblems: []string{`no "a" in the answer`, `no "c" in the answer`},
		},
		"text that must not be there": {
			want: want{outcome: passes, hushes: []string{"Warning"}}, answer: answer{"Warning: x", 0}, wantGot: passes,
			wantProblems: []string{`"Warning" in the answer`},
		},
		"the same answer": {
			want: want{outcome: passes, same: "calls"}, answer: answer{"16 calls", 0}, wantGot: passes,
		},
		"another answer": {
			want: want{outcome: passes, same: "calls"}, answer: answer{"17 calls", 0}, wantGot: passes,
			wantProblems: []string{`not the answer as before: "16 calls"`},
		},
		"nothing to be the same as": {
			want: want{outcome: passes, same: "nothing"}, answer: answer{"", 0}, wantGot: passes,
			wantProblems: []string{`no answer is kept as "nothing"`},
		},
	}
	memory := map[string]string{"calls": "16 calls"}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.want.got(tc.answer); got != tc.wantGot {
				t.Errorf("got() = %q, want %q", got, tc.wantGot)
			}
			if got := tc.want.problems(tc.answer, memory); !slices.Equal(got, tc.wantProblems) {
				t.Errorf("problems() = %q, want %q", got, tc.wantProblems)
			}
		})
	}
}
