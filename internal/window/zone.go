package window

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // an image without a zone database must not lose the zones
)

// maxZoneName bounds a zone's name. The longest of the database has 32 characters.
const maxZoneName = 64

// zoneSegment is what may stand between the slashes of a zone's name.
var zoneSegment = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

// machineNames are entries of a machine's zone directory which are no zones of the database, in lower case:
// they mean the machine's own zone, or count leap seconds. An operator and a plugin elsewhere would read
// them differently.
var machineNames = map[string]bool{"local": true, "localtime": true, "posixrules": true, "posix": true, "right": true}

const writeZone = "write an IANA name such as Europe/Berlin or UTC"

// LoadZone loads a time zone by its IANA name, such as "Europe/Berlin" or "UTC". It never falls back to
// another zone: neither an empty name nor "Local" is accepted. The error says what to write instead; it
// does not repeat the name.
func LoadZone(name string) (*time.Location, error) {
	if err := checkZoneName(name); err != nil {
		return nil, err
	}
	return zones.load(name)
}

// maxZones bounds how many zones are shared. The database has fewer than 600.
const maxZones = 1000

// zones are those that were loaded: each takes 2 KB, and thousands of policies are in a few of them.
var zones zoneCache

type zoneCache struct {
	mu    sync.Mutex
	known map[string]*time.Location
}

func (c *zoneCache) load(name string) (*time.Location, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if zone := c.known[name]; zone != nil {
		return zone, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New("unknown time zone: " + writeZone)
	}
	if c.known == nil || len(c.known) >= maxZones {
		c.known = map[string]*time.Location{}
	}
	c.known[name] = zone
	return zone, nil
}

// checkZoneName keeps everything from the zone database that is not a plain name: the database is a
// directory of files on many machines.
func checkZoneName(name string) error {
	if name == "" {
		return errors.New("no time zone: " + writeZone)
	}
	if len(name) > maxZoneName {
		return fmt.Errorf("longer than the %d characters of a time zone's name: %s", maxZoneName, writeZone)
	}
	segments := strings.Split(name, "/")
	if machineNames[strings.ToLower(segments[0])] {
		return errors.New("depends on the machine that reads it: " + writeZone)
	}
	for _, s := range segments {
		if s == "." || strings.Contains(s, "..") || !zoneSegment.MatchString(s) {
			return errors.New("not the name of a time zone: " + writeZone)
		}
	}
	return nil
}

// steadyUntil is an instant after t up to which the zone's offset does not change, and the zero time where it
// never changes again. Where the zone goes by a rule for years to come, the time package divides the year in
// parts, and the last part of a leap year ends a day early: on that day, the offset holds to the end of the
// year in UTC.
func steadyUntil(t time.Time, zone *time.Location) time.Time {
	_, end := t.In(zone).ZoneBounds()
	if end.IsZero() || end.After(t) {
		return end
	}
	return t.Truncate(24 * time.Hour).Add(24 * time.Hour)
}
