package window

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestCompileRefuses(t *testing.T) {
	tests := map[string]struct {
		window v1alpha1.Window
		want   []string
	}{
		"no name and no form": {
			v1alpha1.Window{},
			[]string{
				"spec.windows[0].name: Required value: write the name by which changeWindows and freezes refer to the window",
				"spec.windows[0]: Required value: write one of weekly, monthly, cron and once",
			},
		},
		"bad name": {
			named("Week Nights", weekly(on("Mon"), "09:00", "17:00")),
			[]string{
				`spec.windows[0].name: Invalid value: "Week Nights": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
			},
		},
		"several forms, and the problems of each": {
			v1alpha1.Window{
				Name: "all", Weekly: &v1alpha1.WeeklyWindow{}, Monthly: &v1alpha1.MonthlyWindow{},
				Cron: &v1alpha1.CronWindow{}, Once: &v1alpha1.OnceWindow{},
			},
			[]string{
				"spec.windows[0]: Forbidden: a window has only one of weekly, monthly, cron and once: write a window for each",
				"spec.windows[0].weekly.days: Required value: write the days on which the window starts, such as [Mon, Tue]",
				`spec.windows[0].weekly.start: Required value: write a time of day such as "22:00"`,
				`spec.windows[0].weekly.end: Required value: write a time of day such as "22:00"`,
				`spec.windows[0].monthly.week: Unsupported value: "": supported values: "First", "Second", "Third", "Fourth", "Last"`,
				`spec.windows[0].monthly.day: Unsupported value: "": supported values: "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"`,
				`spec.windows[0].monthly.start: Required value: write a time of day such as "22:00"`,
				`spec.windows[0].monthly.end: Required value: write a time of day such as "22:00"`,
				`spec.windows[0].cron.schedule: Required value: write the five fields of cron, such as "0 9 * * 1-5"`,
				`spec.windows[0].cron.duration: Required value: write how long the window stays open, such as "8h"`,
				`spec.windows[0].once.from: Required value: write an instant such as "2026-12-18T17:00:00+01:00"`,
				`spec.windows[0].once.to: Required value: write an instant such as "2026-12-18T17:00:00+01:00"`,
			},
		},
		"weekly": {
			weeklyUntil(on("Mon", "Fredag", "Mon"), "9:00", "So", "24:00"),
			[]string{
				`spec.windows[0].weekly.days[1]: Unsupported value: "Fredag": supported values: "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"`,
				`spec.windows[0].weekly.days[2]: Duplicate value: "Mon"`,
				`spec.windows[0].weekly.start: Invalid value: "9:00": not a time of day from "00:00" to "23:59": write hours and minutes in two digits each, such as "09:00"`,
				`spec.windows[0].weekly.end: Invalid value: "24:00": write "00:00": as an end it is the midnight after the start`,
				`spec.windows[0].weekly.endDay: Unsupported value: "So": supported values: "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"`,
			},
		},
		"more days than a week has": {
			weekly(append(on("Mon"), everyDay...), "09:00", "17:00"),
			[]string{"spec.windows[0].weekly.days: Too many: 8: must have at most 7 items"},
		},
		"cron: schedule and duration": {
			crontab("60 24 32 13 8", "169h"),
			[]string{
				cronProblem("60 24 32 13 8", `minute "60": end of range (60) above maximum (59); minutes are 0-59`),
				cronProblem("60 24 32 13 8", `hour "24": end of range (24) above maximum (23); hours are 0-23, and a range over midnight is written as two, such as 22-23,0-5`),
				cronProblem("60 24 32 13 8", `day of month "32": end of range (32) above maximum (31); days of the month are 1-31; for days such as the last Friday write a monthly window`),
				cronProblem("60 24 32 13 8", `month "13": end of range (13) above maximum (12); months are 1-12 or JAN-DEC, and a range over the new year is written as two, such as 11-12,1-2`),
				cronProblem("60 24 32 13 8", `day of week "8": end of range (8) above maximum (6); days of the week are 0-6 or SUN-SAT from Sunday on, and a range over Sunday is written as two, such as 5-6,0; for days such as the last Friday write a monthly window`),
				`spec.windows[0].cron.duration: Invalid value: "169h": a window stays open for 1m to 168h (7 days)`,
			},
		},
		"once, ending before it begins": {
			once("2026-12-18T17:00:00Z", "2026-12-18T17:00:00+01:00"),
			[]string{`spec.windows[0].once.to: Invalid value: "2026-12-18T17:00:00+01:00": must be after from: the window would never open`},
		},
		"once, empty": {
			once("2026-12-18T17:00:00Z", "2026-12-18T18:00:00+01:00"),
			[]string{`spec.windows[0].once.to: Invalid value: "2026-12-18T18:00:00+01:00": must be after from: the window would never open`},
		},
		"once, without an end": {
			v1alpha1.Window{Name: "once", Once: &v1alpha1.OnceWindow{From: metav1.Time{Time: now}}},
			[]string{`spec.windows[0].once.to: Required value: write an instant such as "2026-12-18T17:00:00+01:00"`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, errs := Compile(tc.window, zoneNamed(t, "Europe/Berlin"), at)
			if s != nil {
				t.Errorf("compiled to %v, want nil", s)
			}
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func cronProblem(schedule, problem string) string {
	return `spec.windows[0].cron.schedule: Invalid value: "` + schedule + `": ` + problem
}

func TestCompileSchedule(t *testing.T) {
	tests := map[string]struct {
		schedule string
		want     string // what the only problem says; empty: none
	}{
		"every minute":                   {"* * * * *", ""},
		"question marks":                 {"0 0 ? * ?", ""},
		"names":                          {"0 0 * jan-MAR sun", ""},
		"steps":                          {"*/15 8-18/2 1/7 */3 *", ""},
		"whole steps":                    {"*/60 */24 */31 */12 */7", ""},
		"lists":                          {"0,30 8,12,16-18 * * *", ""},
		"spaces":                         {"  0   9 * * 1-5 ", ""},
		"leap day":                       {"0 0 29 2 *", ""},
		"30 February or another month":   {"0 0 30 2,4 *", ""},
		"31 February or a Monday":        {"0 0 31 2 1", ""},
		"blank":                          {"   ", `Required value: write the five fields of cron`},
		"31 February":                    {"0 0 31 2 *", "so that the window would never open"},
		"30 February":                    {"0 0 30 2 *", "so that the window would never open"},
		"30 and 31 February":             {"0 0 30-31 FEB ?", "so that the window would never open"},
		"31st of months with 30 days":    {"0 0 31 4,6,9,11 *", "so that the window would never open"},
		"zone":                           {"TZ=UTC", "write the zone as timeZone of the policy"},
		"zone without a name":            {"TZ=", "write the zone as timeZone of the policy"},
		"cron zone":                      {"CRON_TZ=UTC 0 9 * * *", "write the zone as timeZone of the policy"},
		"cron zone alone":                {"CRON_TZ=UTC", "write the zone as timeZone of the policy"},
		"zone in lower case":             {"tz=UTC 0 9 * * *", "write the zone as timeZone of the policy"},
		"zone in the middle":             {"0 TZ=UTC 9 * *", "write the zone as timeZone of the policy"},
		"every":                          {"@every -1h", "names such as @daily are not accepted"},
		"daily":                          {"@daily", "names such as @daily are not accepted"},
		"name in a field":                {"0 @daily * * *", "names such as @daily are not accepted"},
		"four fields":                    {"0 9 * *", "4 fields: write five"},
		"six fields":                     {"0 0 9 * * *", "without seconds and years"},
		"eight fields":                   {"* * * * * * * *", "8 fields: write five"},
		"too long":                       {strings.Repeat("0,", 65) + "0 * * * *", "Too long: may not be more than 128 bytes"},
		"tab":                            {"0\t9 * * *", "write plain ASCII"},
		"newline":                        {"0 9 * * *\n", "write plain ASCII"},
		"no-break space":                 {"0\u00a09 * * *", "write plain ASCII"},
		"fullwidth digits":               {"０ 9 * * *", "write plain ASCII"},
		"arabic digits":                  {"٠ 9 * * *", "write plain ASCII"},
		"invalid UTF-8":                  {"0 9 * * \xff", "write plain ASCII"},
		"minute too high":                {"60 * * * *", `minute \"60\": end of range (60) above maximum (59); minutes are 0-59`},
		"day of month 0":                 {"0 0 0 * *", `beginning of range (0) below minimum (1)`},
		"hours over midnight":            {"0 22-6 * * *", "a range over midnight is written as two, such as 22-23,0-5"},
		"days over Sunday":               {"0 0 * * FRI-MON", "a range over Sunday is written as two"},
		"Sunday as 7":                    {"0 0 * * 7", "write 0 or SUN for Sunday"},
		"range to 7":                     {"0 0 * * 1-7", "write 0 or SUN for Sunday"},
		"list with 7":                    {"0 0 * * 1,7/2", "write 0 or SUN for Sunday"},
		"a step of 7 is none":            {"0 0 * * 1/7", ""},
		"long name of a day":             {"0 0 * * MONDAY", `\"MONDAY\" is not a number`},
		"last day":                       {"0 0 L * *", "for days such as the last Friday write a monthly window"},
		"second Tuesday":                 {"0 0 * * 2#2", "for days such as the last Friday write a monthly window"},
		"only a comma":                   {", * * * *", "nothing before or after a comma"},
		"comma at the end":               {"1, * * * *", "nothing before or after a comma"},
		"two commas":                     {"1,,2 * * * *", "nothing before or after a comma"},
		"star as the start of a range":   {"*-5 * * * *", "*-5 is not a range"},
		"mark as the start of a range":   {"* ?-5/2 * * *", "?-5 is not a range"},
		"star as the end of a range":     {"5-* * * * *", `\"*\" is not a number`},
		"plus":                           {"+5 * * * *", "write numbers without a sign"},
		"minus":                          {"-5 * * * *", "is not a number"},
		"two hyphens":                    {"1-2-3 * * * *", "too many hyphens"},
		"two slashes":                    {"*/2/3 * * * *", "too many slashes"},
		"step of nothing":                {"*/ * * * *", "is not a number"},
		"step 0":                         {"*/0 * * * *", "step of range should be a positive number"},
		"step longer than an hour":       {"*/90 * * * *", "steps of 90 are longer than the whole field, which begins anew after 60"},
		"step longer than a day":         {"0 */25 * * *", "steps of 25 are longer than the whole field"},
		"number beyond machine integers": {"99999999999999999999 * * * *", "is not a number"},
		"step beyond machine integers":   {"*/9223372036854775807 * * * *", "are longer than the whole field"},
		"number that wraps":              {"18446744073709551615 * * * *", "is not a number"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, errs := Compile(crontab(tc.schedule, "1h"), time.UTC, at)
			switch {
			case tc.want == "" && len(errs) > 0:
				t.Errorf("%q: %v, want no problem", tc.schedule, errs.ToAggregate())
			case tc.want != "" && len(errs) != 1:
				t.Errorf("%q: %v, want one problem", tc.schedule, errs)
			case tc.want != "" && !strings.Contains(strings.ReplaceAll(errs[0].Error(), `"`, `\"`), tc.want):
				t.Errorf("%q: %v, want it to say %q", tc.schedule, errs[0], tc.want)
			}
		})
	}
}

func TestCompileDuration(t *testing.T) {
	tests := map[string]struct {
		duration v1alpha1.Duration
		want     string // what the only problem says; empty: none
	}{
		"a minute":               {"1m", ""},
		"a minute in seconds":    {"60s", ""},
		"mixed":                  {"1h30m", ""},
		"mixed with zeros":       {"8h0m0s", ""},
		"a week":                 {"168h", ""},
		"a week in minutes":      {"10080m", ""},
		"empty":                  {"", "Required value"},
		"zero":                   {"0s", "a window stays open for 1m to 168h"},
		"under a minute":         {"59s", "a window stays open for 1m to 168h"},
		"over a week":            {"168h1m", "a window stays open for 1m to 168h"},
		"far over a week":        {"99999h99999h99999h", "a window stays open for 1m to 168h"},
		"seconds left over":      {"90s", "write 1m or 2m"},
		"seconds short of one":   {"7h59m59s", "write 479m or 480m"},
		"negative":               {"-1h", "not a duration"},
		"signed":                 {"+1h", "not a duration"},
		"fraction":               {"1.5h", "not a duration"},
		"milliseconds":           {"60000ms", "not a duration"},
		"days":                   {"7d", "not a duration"},
		"no unit":                {"60", "not a duration"},
		"ISO 8601":               {"PT1H", "not a duration"},
		"space":                  {"1h 30m", "not a duration"},
		"unicode":                {"１h", "not a duration"},
		"newline":                {"1h\n", "not a duration"},
		"more than three groups": {"1h1h1h1h", "not a duration"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, errs := Compile(crontab("0 9 * * *", tc.duration), time.UTC, at)
			if (tc.want == "") != (len(errs) == 0) || len(errs) > 1 {
				t.Fatalf("%q: %v, want %q", tc.duration, errs, tc.want)
			}
			if len(errs) == 1 && !strings.Contains(errs[0].Error(), tc.want) {
				t.Errorf("%q: %v, want it to say %q", tc.duration, errs[0], tc.want)
			}
		})
	}
}

func TestCompileTimeOfDay(t *testing.T) {
	for _, text := range []v1alpha1.TimeOfDay{"00:00", "09:05", "19:59", "20:00", "23:59"} {
		if _, errs := Compile(weekly(on("Mon"), text, "12:34"), time.UTC, at); len(errs) > 0 {
			t.Errorf("%q: %v", text, errs)
		}
	}
	for _, text := range []v1alpha1.TimeOfDay{
		"", "9", "9:00", "09:0", "24:00", "23:60", "29:00", "0900", "09.00", "09:00:00", " 9:00", "09:00 ", "-1:00", "1::00",
		"/0:00", "00:0:", "ab:cd", "09:0\x00", "０９:０", "12am1", ":::::",
	} {
		if s, errs := Compile(weekly(on("Mon"), text, "12:34"), time.UTC, at); len(errs) != 1 || s != nil {
			t.Errorf("%q: %v, %v, want one problem", text, s, errs)
		}
	}
}

func TestCompileWithoutAZoneOrAPath(t *testing.T) {
	s, errs := Compile(weekly(on("Mon"), "09:00", "9"), nil, at)
	if s != nil || len(errs) != 2 {
		t.Errorf("without a zone: %v, %v, want the internal error and the one of the window", s, errs)
	}
	if s, errs := Compile(weekly(on("Mon"), "09:00", "17:00"), nil, nil); s != nil || len(errs) != 1 {
		t.Errorf("without a zone: %v, %v, want the internal error", s, errs)
	}
	if _, errs := Compile(v1alpha1.Window{}, time.UTC, nil); len(errs) != 2 {
		t.Errorf("without a path: %v, want two problems", errs)
	}
}
