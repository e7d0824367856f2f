package approval

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// stamp is an instant as it is stored: in whole seconds. It is never later than the instant itself.
func stamp(t time.Time) metav1.Time {
	return metav1.NewTime(t.UTC().Truncate(time.Second))
}

// before says whether an instant is before the one stored; never where none is stored.
func before(now time.Time, stored *metav1.Time) bool {
	return stored != nil && now.Before(stored.Time)
}

// duration writes a length of time in hours, minutes and seconds, leaving out what is zero. A part of a second is
// dropped, and less than one is one.
func duration(d time.Duration) v1alpha1.Duration {
	d = max(d.Truncate(time.Second), time.Second)
	var b strings.Builder
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := int64(d / unit.length); n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
		}
		d %= unit.length
	}
	return v1alpha1.Duration(b.String())
}

// parsed is a stored length of time; zero, which is over at once, where it cannot be read.
func parsed(d v1alpha1.Duration) time.Duration {
	length, err := time.ParseDuration(string(d))
	if err != nil || length < 0 {
		return 0
	}
	return length
}
