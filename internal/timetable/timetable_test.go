package timetable_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/timetable"
)

// compiled is a policy with change windows and freezes of the given names.
func compiled(zone string, windows []v1alpha1.Window, allowed []v1alpha1.WindowName, freezes ...v1alpha1.WindowName) *policy.Policy {
	spec := v1alpha1.AgentActionPolicySpec{
		Enforcement: v1alpha1.Enforce, OutOfScope: v1alpha1.OutOfScopeAllow, TimeZone: zone, Windows: windows,
		Subjects: []v1alpha1.Subject{{Kind: v1alpha1.SubjectUser, Name: "robot"}},
	}
	if len(allowed) > 0 {
		spec.ChangeWindows = &v1alpha1.ChangeWindows{Allowed: allowed}
	}
	for _, name := range freezes {
		spec.Freezes = append(spec.Freezes, v1alpha1.Freeze{Window: name})
	}
	return policy.Compile(&v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}, policy.Identity{})
}

func once(name v1alpha1.WindowName, from, to time.Time) v1alpha1.Window {
	return v1alpha1.Window{Name: name, Once: &v1alpha1.OnceWindow{From: metav1.NewTime(from), To: metav1.NewTime(to)}}
}

// TestLongAgo shows where what is open for long has begun: by the list and by the calendar to subscribe to, whatever the
// day on which one looks.
func TestLongAgo(t *testing.T) {
	begin, end := noon.AddDate(0, 0, -30), noon.AddDate(0, 0, 30)
	p := compiled("Europe/Berlin", []v1alpha1.Window{once("project", begin, end)}, []v1alpha1.WindowName{"project"})
	table := timetable.Of(p, noon, noon.AddDate(0, 0, 2), nil)
	if len(table.Spans) != 1 || !table.Spans[0].From.Equal(begin) || !table.Spans[0].To.Equal(end) {
		t.Errorf("the spans are %+v", table.Spans)
	}
	later := timetable.Of(p, noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 2), nil)
	if diff := cmp.Diff(timetable.ICS([]timetable.Timetable{table}, noon), timetable.ICS([]timetable.Timetable{later}, noon)); diff != "" {
		t.Errorf("a day later:\n%s", diff)
	}
}

// TestAgrees holds every minute of the list and of the drawn days, of weeks in which clocks change, against the predicate.
func TestAgrees(t *testing.T) {
	windows := []v1alpha1.Window{
		{Name: "nights", Weekly: &v1alpha1.WeeklyWindow{Days: []v1alpha1.Weekday{"Mon", "Sat", "Sun"}, Start: "22:10", End: "02:40"}},
		{Name: "mornings", Cron: &v1alpha1.CronWindow{Schedule: "15 2 * * *", Duration: "90m"}},
		{Name: "pause", Weekly: &v1alpha1.WeeklyWindow{Days: []v1alpha1.Weekday{"Sun"}, Start: "02:20", End: "02:50"}},
	}
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "UTC"} {
		p := compiled(zone, windows, []v1alpha1.WindowName{"nights", "mornings"}, "pause")
		for _, start := range []time.Time{noon.AddDate(0, -1, -5), time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC)} {
			table := timetable.Of(p, start, start.AddDate(0, 0, 9), nil)
			for at := table.From; at.Before(table.Until); at = at.Add(time.Minute) {
				open, frozen := covered(&table, at)
				want := p.WindowAt(at)
				got := v1alpha1.WindowClosed
				switch {
				case frozen:
					got = v1alpha1.WindowFrozen
				case open:
					got = v1alpha1.WindowOpen
				}
				if got != want {
					t.Fatalf("%s at %s is listed as %s and is %s", zone, at, got, want)
				}
			}
		}
	}
}

func covered(table *timetable.Timetable, at time.Time) (open, frozen bool) {
	for i := range table.Spans {
		s := &table.Spans[i]
		if at.Before(s.From) || !s.To.IsZero() && !at.Before(s.To) {
			continue
		}
		open = open || s.Kind == timetable.Window
		frozen = frozen || s.Kind == timetable.Freeze
	}
	return open, frozen
}

// TestDays draws the days on which clocks change.
func TestDays(t *testing.T) {
	p := compiled("Europe/Berlin", []v1alpha1.Window{
		{Name: "early", Weekly: &v1alpha1.WeeklyWindow{Days: []v1alpha1.Weekday{"Sun"}, Start: "01:00", End: "04:30"}},
	}, []v1alpha1.WindowName{"early"})
	tests := map[string]struct {
		from time.Time
		want string
	}{
		"spring": {time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC), ".# #+..................."},
		"autumn": {time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC), ".###+..................."},
	}
	for name, tc := range tests {
		table := timetable.Of(p, tc.from, tc.from.Add(time.Hour), nil)
		days := table.Days(24)
		if len(days) != 1 || string(cells(days[0])) != tc.want || len(days[0].Changes) != 1 {
			t.Errorf("%s: %q with %v", name, cells(days[0]), days[0].Changes)
		}
	}
}

func cells(d timetable.Day) []byte {
	var text []byte
	for _, c := range d.Cells {
		text = append(text, byte(c))
	}
	return text
}
