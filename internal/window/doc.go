// Package window answers when a change window is open, and when that changes next.
//
// A window is read on the wall clock of one time zone: an instant is turned into what a clock on the wall
// shows at that instant, and that reading is inside the window or not. Where a window starts is never
// computed, so nothing depends on how a library resolves a time that a change to or from summer time skips
// or repeats:
//
//   - 22:00 to 06:00 is what the clock shows, 7 hours of real time in one night of spring and 9 in one of autumn.
//   - A window that starts at a time which a day skips is open from the first time of that day that is inside.
//     One that lies wholly in the skipped hour does not open on that day.
//   - A window in a repeated hour is open both times.
//
// Every span is half-open: it holds at its start and no longer at its end.
//
// The package is pure: the time is passed in, and nothing is read but the time zone database, which is
// embedded for machines that have none.
package window
