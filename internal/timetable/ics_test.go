package timetable_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/timetable"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// shop is a policy with a freeze whose reason needs folding and escaping.
func shop() *policy.Policy {
	return policy.Compile(&v1alpha1.AgentActionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce, OutOfScope: v1alpha1.OutOfScopeAllow, TimeZone: "Europe/Berlin",
			Subjects: []v1alpha1.Subject{{Kind: v1alpha1.SubjectUser, Name: "robot"}},
			Windows: []v1alpha1.Window{
				{Name: "nights", Weekly: &v1alpha1.WeeklyWindow{Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed"}, Start: "22:00", End: "06:00"}},
				{Name: "audit", Once: &v1alpha1.OnceWindow{From: metav1.NewTime(noon.Add(12 * time.Hour)), To: metav1.NewTime(noon.Add(14 * time.Hour))}},
			},
			ChangeWindows: &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"nights"}},
			Freezes:       []v1alpha1.Freeze{{Window: "audit", Reason: `Prüfung; alle Änderungen, auch kleine, warten \ ` + strings.Repeat("ä", 90)}},
		},
	}, policy.Identity{})
}

// TestICS reads the calendar by the letter of RFC 5545.
func TestICS(t *testing.T) {
	table := timetable.Of(shop(), noon, noon.AddDate(0, 0, 2), nil)
	text := timetable.ICS([]timetable.Timetable{table}, noon)
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") || !strings.HasSuffix(text, "\r\n") {
		t.Fatal("lines do not end in CRLF")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > 75 || !utf8.ValidString(line) {
			t.Errorf("a line has %d octets, or is cut within a character: %q", len(line), line)
		}
	}
	var open []string
	events, uids := 0, map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n ", ""), "\r\n"), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("no content line: %q", line)
		}
		switch name {
		case "BEGIN":
			open = append(open, value)
			events += strings.Count(value, "VEVENT")
		case "END":
			if len(open) == 0 || open[len(open)-1] != value {
				t.Fatalf("%s ends, and %v is open", value, open)
			}
			open = open[:len(open)-1]
		case "UID":
			if uids[value] {
				t.Errorf("UID %s is there twice", value)
			}
			uids[value] = true
		case "DTSTART", "DTEND", "DTSTAMP":
			if !regexp.MustCompile(`^\d{8}T\d{6}Z$`).MatchString(value) {
				t.Errorf("%s is %s", name, value)
			}
		case "DESCRIPTION":
			if regexp.MustCompile(`(^|[^\\])[;,]`).MatchString(value) {
				t.Errorf("not escaped: %s", value)
			}
		}
	}
	// Tuesday's night is cut in two by the freeze, Wednesday's is one; and the freeze itself.
	if len(open) > 0 || events != 4 || len(uids) != 4 {
		t.Errorf("%v is open, there are %d events with %d UIDs:\n%s", open, events, len(uids), text)
	}
}
