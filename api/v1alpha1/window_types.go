package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WindowName is the name of a window.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
type WindowName string

// Window is a named span of time, read on the wall clock of the policy's time zone. It holds from its start
// up to, and not including, its end.
//
// +kubebuilder:validation:XValidation:rule="[has(self.weekly), has(self.monthly), has(self.cron), has(self.once)].filter(x, x).size() == 1",message="a window has exactly one of weekly, monthly, cron and once"
type Window struct {
	// name by which changeWindows and freezes refer to the window.
	// +required
	Name WindowName `json:"name,omitempty"`
	// weekly is a span that begins on the given days of every week.
	// +optional
	Weekly *WeeklyWindow `json:"weekly,omitempty"`
	// monthly is a span that begins on one day of every month, such as the second Tuesday.
	// +optional
	Monthly *MonthlyWindow `json:"monthly,omitempty"`
	// cron is a span that begins whenever a cron schedule matches the wall clock.
	// +optional
	Cron *CronWindow `json:"cron,omitempty"`
	// once is one span between two instants.
	// +optional
	Once *OnceWindow `json:"once,omitempty"`
}

// Weekday is a day of the week: Mon, Tue, Wed, Thu, Fri, Sat or Sun.
// +kubebuilder:validation:Enum=Mon;Tue;Wed;Thu;Fri;Sat;Sun
type Weekday string

// TimeOfDay is a time on the wall clock, from "00:00" to "23:59".
// +kubebuilder:validation:MinLength=5
// +kubebuilder:validation:MaxLength=5
// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
type TimeOfDay string

// WeeklyWindow is a span that begins on the given days of every week.
type WeeklyWindow struct {
	// days on which the window starts. A window from 22:00 to 06:00 that starts on Fri is open on Saturday at 01:00.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	// +listType=set
	Days []Weekday `json:"days,omitempty"`
	// start is the time of day at which the window opens, such as "22:00".
	// +required
	Start TimeOfDay `json:"start,omitempty"`
	// endDay is the day on which the window closes, for windows longer than a day. Omitted: the day it started,
	// or the next one where end is not after start.
	// +optional
	EndDay Weekday `json:"endDay,omitempty"`
	// end is the time of day at which the window closes. That minute is no longer inside.
	// +required
	End TimeOfDay `json:"end,omitempty"`
}

// WeekOfMonth is which of a month's Mondays, Tuesdays and so on is meant.
// +kubebuilder:validation:Enum=First;Second;Third;Fourth;Last
type WeekOfMonth string

const (
	// WeekFirst is the first such day of a month.
	WeekFirst WeekOfMonth = "First"
	// WeekSecond is the second such day of a month.
	WeekSecond WeekOfMonth = "Second"
	// WeekThird is the third such day of a month.
	WeekThird WeekOfMonth = "Third"
	// WeekFourth is the fourth such day of a month.
	WeekFourth WeekOfMonth = "Fourth"
	// WeekLast is the last such day of a month, the fourth or the fifth.
	WeekLast WeekOfMonth = "Last"
)

// MonthlyWindow is a span that begins on one day of every month.
type MonthlyWindow struct {
	// week is which of the month's days is meant: First, Second, Third, Fourth or Last.
	// +required
	Week WeekOfMonth `json:"week,omitempty"`
	// day of the week on which the window starts.
	// +required
	Day Weekday `json:"day,omitempty"`
	// start is the time of day at which the window opens.
	// +required
	Start TimeOfDay `json:"start,omitempty"`
	// end is the time of day at which the window closes; where it is not after start, on the next day.
	// +required
	End TimeOfDay `json:"end,omitempty"`
}

// CronWindow is a span that begins whenever a cron schedule matches the wall clock.
type CronWindow struct {
	// schedule in the five fields of cron: minute, hour, day of month, month, day of week. Where both days are
	// restricted, one match is enough, as in crontab and CronJob. Prefixes such as TZ= and names such as @daily
	// are not accepted.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule,omitempty"`
	// duration for which the window stays open, on the wall clock; from a minute to 7 days (168h).
	// +required
	Duration Duration `json:"duration,omitempty"`
}

// OnceWindow is one span between two instants.
//
// +kubebuilder:validation:XValidation:rule="self.from < self.to",message="to must be after from",fieldPath=".to"
type OnceWindow struct {
	// from is the instant at which the window opens, such as "2026-12-18T17:00:00+01:00".
	// +required
	From metav1.Time `json:"from,omitzero"`
	// to is the instant at which the window closes. It must be after from.
	// +required
	To metav1.Time `json:"to,omitzero"`
}

// ChangeWindows says when actions may happen.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requirements) || (has(self.whenClosed) && self.whenClosed == 'RequireApproval')",message="requirements are asked only where whenClosed is RequireApproval",fieldPath=".requirements"
type ChangeWindows struct {
	// allowed names the windows, of which one must be open.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	Allowed []WindowName `json:"allowed,omitempty"`
	// whenClosed is what happens outside of them: Deny or RequireApproval. Omitted: Deny.
	// +optional
	WhenClosed Verdict `json:"whenClosed,omitempty"`
	// requirements names the entries of approval.requirements that must consent when whenClosed is
	// RequireApproval. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Requirements []RequirementName `json:"requirements,omitempty"`
	// graceAfterClose is how long after closing the same agent may go on changing objects that it changed inside
	// the window, so that a bad rollout can be reverted; at most 24h. It may update them, and delete those that it
	// created inside. The grace of a task is for what was changed under that task. Freezes still hold.
	// Omitted: none, closing is exact.
	// +optional
	GraceAfterClose Duration `json:"graceAfterClose,omitempty"`
}

// Freeze is a window during which nothing may change.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requirements) || (has(self.whenActive) && self.whenActive == 'RequireApproval')",message="requirements are asked only where whenActive is RequireApproval",fieldPath=".requirements"
type Freeze struct {
	// window names the span of the freeze.
	// +required
	Window WindowName `json:"window,omitempty"`
	// reason is shown to whoever is refused.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]*$`
	Reason string `json:"reason,omitempty"`
	// whenActive is what happens to actions during the freeze: Deny or RequireApproval. Omitted: Deny.
	// +optional
	WhenActive Verdict `json:"whenActive,omitempty"`
	// requirements names the entries of approval.requirements that must consent when whenActive is
	// RequireApproval. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Requirements []RequirementName `json:"requirements,omitempty"`
}
