package window

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Compile reads a window on the wall clock of a zone. It accepts any input, whether or not the CRD's schema
// has seen it, and reports all problems at once, each at its field below at; the Schedule is nil exactly where
// there are problems.
//
// A window that can never open is a problem, such as a cron schedule for 31 February. One that has been open
// and cannot open again is not: see Past.
func Compile(w v1alpha1.Window, zone *time.Location, at *field.Path) (*Schedule, field.ErrorList) {
	errs := checkName(w.Name, at.Child("name"))
	if zone == nil {
		errs = append(errs, field.InternalError(at, errors.New("compiling a window without a time zone")))
	}
	s := &Schedule{name: string(w.Name), zone: zone}
	errs = append(errs, s.compileForms(w, at)...)
	if len(errs) > 0 {
		return nil, errs
	}
	s.description = describe(w, zone)
	return s, nil
}

// compileForms compiles each form that is set, so that a window with two of them is told the problems of both.
func (s *Schedule) compileForms(w v1alpha1.Window, at *field.Path) field.ErrorList {
	errs := checkForms(w, at)
	add := func(wall form, problems field.ErrorList) {
		s.wall = wall
		errs = append(errs, problems...)
	}
	if w.Weekly != nil {
		add(compileWeekly(w.Weekly, at.Child("weekly")))
	}
	if w.Monthly != nil {
		add(compileMonthly(w.Monthly, at.Child("monthly")))
	}
	if w.Cron != nil {
		add(compileCron(w.Cron, at.Child("cron")))
	}
	if w.Once != nil {
		once, problems := compileOnce(w.Once, at.Child("once"))
		s.once = once
		errs = append(errs, problems...)
	}
	return errs
}

func checkForms(w v1alpha1.Window, at *field.Path) field.ErrorList {
	set := 0
	for _, is := range []bool{w.Weekly != nil, w.Monthly != nil, w.Cron != nil, w.Once != nil} {
		if is {
			set++
		}
	}
	switch set {
	case 1:
		return nil
	case 0:
		return field.ErrorList{field.Required(at, "write one of weekly, monthly, cron and once")}
	default:
		return field.ErrorList{field.Forbidden(at,
			"a window has only one of weekly, monthly, cron and once: write a window for each")}
	}
}

func checkName(name v1alpha1.WindowName, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "write the name by which changeWindows and freezes refer to the window")}
	}
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(string(name)) {
		errs = append(errs, field.Invalid(at, name, problem))
	}
	return errs
}
