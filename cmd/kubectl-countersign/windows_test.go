package main_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// windowPolicies are policies in a file, and a fixed clock in the night in which clocks change.
var windowPolicies = []string{
	"windows", "-f", "testdata/windows-policies/policies.yaml", "--from", "2026-10-24T12:00:00+02:00", "--next", "8d",
}

// TestWindows shows timetables of policies in a file. It needs no cluster.
func TestWindows(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
	}{
		"all":           {nil, 0},
		"one":           {[]string{"shop-deploy-bot", "--tz", "America/New_York"}, 0},
		"spring":        {[]string{"shop-deploy-bot", "--from", "2026-03-28T12:00:00+01:00", "--next", "36h"}, 0},
		"json":          {[]string{"shop-deploy-bot", "-o", "json", "--next", "2d"}, 0},
		"yaml":          {[]string{"never", "-o", "yaml", "--next", "2d"}, 0},
		"ics":           {[]string{"shop-deploy-bot", "-o", "ics"}, 0},
		"no-policy":     {[]string{"shop"}, 1},
		"no-zone":       {[]string{"--tz", "Mars/Base"}, 2},
		"no-instant":    {[]string{"--from", "tomorrow"}, 2},
		"too-far-ahead": {[]string{"--next", "1000d"}, 2},
		"no-form":       {[]string{"-o", "wide"}, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := run(t, "", slices.Concat(windowPolicies, tc.args)...)
			if got.code != tc.code {
				t.Errorf("it ends with %d, not %d", got.code, tc.code)
			}
			golden(t, "windows/"+name, strings.ReplaceAll(got.out, "\r\n", "\n")+got.err)
		})
	}
}

// TestWindowsOnScreen draws as many cells as there is room for.
func TestWindowsOnScreen(t *testing.T) {
	for name, tc := range map[string]struct {
		columns uint16
		env     []string
	}{
		"screen-50": {50, []string{"NO_COLOR=1"}}, "screen-80": {80, []string{"NO_COLOR=1"}},
		"screen-120": {120, []string{"NO_COLOR=1"}}, "screen-120-colour": {120, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := runOnScreen(t, tc.columns, "", tc.env, append(windowPolicies, "shop-deploy-bot")...)
			golden(t, "windows/"+name, got.out)
			if strings.Contains(got.out, "\x1b") != (tc.env == nil) {
				t.Error("colours are not where they are to be")
			}
		})
	}
}

// TestWindowsKeepUIDs subscribes twice, on different days: what is in both calendars has the same UIDs.
func TestWindowsKeepUIDs(t *testing.T) {
	uids := func(from string) []string {
		got := run(t, "", slices.Concat(windowPolicies, []string{"shop-deploy-bot", "-o", "ics", "--from", from})...)
		return regexp.MustCompile(`(?m)^UID:.*$`).FindAllString(got.out, -1)
	}
	first, second := uids("2026-10-24T12:00:00+02:00"), uids("2026-10-25T18:30:00+01:00")
	both := 0
	for _, uid := range first {
		if slices.Contains(second, uid) {
			both++
		}
	}
	if both < 5 || len(second) < both {
		t.Errorf("%d of %d and %d events are the same", both, len(first), len(second))
	}
}
