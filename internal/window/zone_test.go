package window

import (
	"archive/zip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLoadZone(t *testing.T) {
	tests := map[string]struct {
		name string
		ok   bool
	}{
		"city":                  {"Europe/Berlin", true},
		"UTC":                   {"UTC", true},
		"three segments":        {"America/Argentina/Buenos_Aires", true},
		"longest segment":       {"America/Port-au-Prince", true},
		"sign":                  {"Etc/GMT+1", true},
		"abbreviation":          {"EST5EDT", true},
		"empty":                 {"", false},
		"blank":                 {" ", false},
		"Local":                 {"Local", false},
		"local":                 {"lOCAL", false},
		"machine's own":         {"localtime", false},
		"machine's default":     {"posixrules", false},
		"leap seconds":          {"right/Europe/Berlin", false},
		"second copy":           {"posix/Europe/Berlin", false},
		"not a zone file":       {"zone.tab", false},
		"directory":             {"Europe", false},
		"parent":                {"..", false},
		"over the parent":       {"Europe/../Europe/Berlin", false},
		"out of the database":   {"../../../etc/passwd", false},
		"this directory":        {"./UTC", false},
		"absolute":              {"/etc/localtime", false},
		"trailing slash":        {"Europe/Berlin/", false},
		"double slash":          {"Europe//Berlin", false},
		"backslash":             {`Europe\Berlin`, false},
		"offset":                {"+01:00", false},
		"unknown":               {"Europe/Berln", false},
		"segment too long":      {"Europe/Berlinnnnnnnnnn", false},
		"too long":              {strings.Repeat("A/", 40) + "A", false},
		"space":                 {"Europe/Berlin ", false},
		"newline":               {"Europe/Berlin\n", false},
		"nul":                   {"UTC\x00", false},
		"unicode":               {"Europe/Bérlin", false},
		"segment with a hyphen": {"-UTC", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			zone, err := LoadZone(tc.name)
			if (err == nil) != tc.ok || (zone != nil) != tc.ok {
				t.Fatalf("LoadZone(%q) = %v, %v, want ok %v", tc.name, zone, err, tc.ok)
			}
			if tc.ok && zone.String() != tc.name {
				t.Errorf("LoadZone(%q) = %v", tc.name, zone)
			}
			if !tc.ok && !strings.Contains(err.Error(), "write an IANA name") {
				t.Errorf("LoadZone(%q): %q does not say what to write", tc.name, err)
			}
		})
	}
}

// allZones are the names of the zone database that comes with Go's sources, where they are at hand.
func allZones(tb testing.TB) []string {
	tb.Helper()
	//nolint:staticcheck // GOROOT is what the test was built with, which is the one whose zones it may use
	archive, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		tb.Skipf("no list of zones: %v", err)
	}
	defer func() { _ = archive.Close() }()
	var names []string
	for _, file := range archive.File {
		if !strings.HasSuffix(file.Name, "/") {
			names = append(names, file.Name)
		}
	}
	return names
}

func TestLoadZoneAcceptsTheWholeDatabase(t *testing.T) {
	for _, name := range allZones(t) {
		if _, err := LoadZone(name); err != nil {
			t.Errorf("LoadZone(%q): %v", name, err)
		}
	}
}

// TestSteadyUntil: between two of its answers no zone of the world changes its offset, and the offsets of our
// days are whole minutes.
func TestSteadyUntil(t *testing.T) {
	zones, r := allZones(t), newRand(t)
	if !thorough() {
		r.Shuffle(len(zones), func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
		zones = append(zones[:20], zonesOfInterest...)
	}
	for _, name := range zones {
		checkSteady(t, zoneNamed(t, name), instant("1990-01-01T00:00:00Z"), instant("2110-03-01T00:00:00Z"))
	}
}

func checkSteady(t *testing.T, zone *time.Location, from, to time.Time) {
	t.Helper()
	for from.Before(to) {
		end := steadyUntil(from, zone)
		if end.IsZero() {
			end = to
		}
		offset := offsetAt(from, zone)
		if !end.After(from) || offset%60 != 0 {
			t.Fatalf("%v: from %v steady until %v, offset %d s", zone, from.UTC(), end.UTC(), offset)
		}
		for u := from; u.Before(end); u = u.Add(11 * time.Hour) {
			if offsetAt(u, zone) != offset {
				t.Fatalf("%v: offset %d s at %v, %d s at %v", zone, offset, from.UTC(), offsetAt(u, zone), u.UTC())
			}
		}
		if last := end.Add(-1); offsetAt(last, zone) != offset {
			t.Fatalf("%v: offset %d s at %v, %d s at %v", zone, offset, from.UTC(), offsetAt(last, zone), last.UTC())
		}
		from = end
	}
}

func TestZonesAreShared(t *testing.T) {
	first, err := LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := LoadZone("Europe/Berlin"); err != nil || second != first {
		t.Errorf("a zone is loaded twice (%v)", err)
	}
	c := zoneCache{known: map[string]*time.Location{}}
	for n := range maxZones {
		c.known[strings.Repeat("x", n)] = time.UTC
	}
	if _, err := c.load("Europe/Berlin"); err != nil || len(c.known) > maxZones {
		t.Errorf("%d zones are kept (%v)", len(c.known), err)
	}
}
