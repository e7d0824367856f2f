package timetable

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/internal/window"
)

// icsTime is an instant in UTC as RFC 5545 writes it (section 3.3.5, form 2).
const icsTime = "20060102T150405Z"

// ICS writes timetables as one calendar to subscribe to (RFC 5545): an event for each time at which a window is open and
// no freeze active, and one for each freeze. The same opening has the same UID in every calendar.
func ICS(tables []Timetable, now time.Time) string {
	c := &icsWriter{}
	c.line("BEGIN:VCALENDAR")
	c.line("VERSION:2.0")
	c.line("PRODID:-//countersign.dev//kubectl countersign//EN")
	c.line("CALSCALE:GREGORIAN")
	c.line("METHOD:PUBLISH")
	c.line("X-WR-CALNAME:Change windows")
	for i := range tables {
		tables[i].events(c, now)
	}
	c.line("END:VCALENDAR")
	return c.text.String()
}

func (t *Timetable) events(c *icsWriter, now time.Time) {
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Kind == Freeze {
			t.event(c, now, s, "Freeze: "+s.Name+" ("+t.Policy+")", s.Reason)
		}
	}
	for _, schedule := range t.timing.Allowed {
		t.openings(c, now, schedule, t.Policy)
	}
	for _, w := range t.ofTasks() {
		t.openings(c, now, w.schedule, t.Policy+", for "+strings.Join(w.tasks, ", "))
	}
}

// openings are the times at which a window is open and nothing frozen.
func (t *Timetable) openings(c *icsWriter, now time.Time, schedule *window.Schedule, whose string) {
	open := &window.Calendar{Allowed: []*window.Schedule{schedule}, Frozen: t.whole.Frozen}
	for from, to := range spans(open, t.since(schedule), t.From, t.Until) {
		s := &Span{Kind: Window, Name: schedule.Name(), From: from, To: to}
		t.event(c, now, s, "Open: "+s.Name+" ("+whose+")", schedule.String())
	}
}

func (t *Timetable) event(c *icsWriter, now time.Time, s *Span, summary, description string) {
	from, to := s.From, s.To
	if from.IsZero() {
		from = t.From
	}
	if to.IsZero() {
		to = t.Until
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{t.Policy, string(s.Kind), s.Name, s.From.UTC().Format(icsTime)}, "\x00")))
	c.line("BEGIN:VEVENT")
	c.line("UID:" + hex.EncodeToString(sum[:16]) + "@countersign.dev")
	c.line("DTSTAMP:" + now.UTC().Format(icsTime))
	c.line("DTSTART:" + from.UTC().Format(icsTime))
	c.line("DTEND:" + to.UTC().Format(icsTime))
	c.line("SUMMARY:" + escapeText(summary))
	if description != "" {
		c.line("DESCRIPTION:" + escapeText(description))
	}
	c.line("CATEGORIES:" + strings.ToUpper(string(s.Kind)))
	c.line("TRANSP:TRANSPARENT")
	c.line("END:VEVENT")
}

// escapeText escapes a value of type TEXT (section 3.3.11).
func escapeText(text string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`, "\r", "").Replace(text)
}

// icsWriter writes content lines, folded where they are longer than 75 octets, and never within a character (section 3.1).
type icsWriter struct{ text strings.Builder }

const (
	foldAt = 75
	crlf   = "\r\n"
)

func (w *icsWriter) line(content string) {
	room := foldAt
	for len(content) > room {
		cut := room
		for !utf8.RuneStart(content[cut]) {
			cut--
		}
		fmt.Fprint(&w.text, content[:cut], crlf, " ")
		content, room = content[cut:], foldAt-1
	}
	fmt.Fprint(&w.text, content, crlf)
}
