// Package heartbeat has each replica tell, every few seconds, that it lives and with which policies it decides, and so find
// out whether it still reaches the API server.
package heartbeat

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

const (
	// Interval is how often a replica beats.
	Interval = 3 * time.Second
	// timeout bounds one beat: what takes longer says nothing about now.
	timeout = 3 * time.Second
	// Limit is how long a replica goes on deciding that does not reach the API server.
	Limit = 10 * time.Second
)

// Contact knows when this process last reached the API server. It is safe for concurrent use.
type Contact struct {
	clock clock.PassiveClock
	heard atomic.Pointer[time.Time]
}

// NewContact returns one that has not reached the API server yet.
func NewContact(clk clock.PassiveClock) *Contact { return &Contact{clock: clk} }

// reached notes that a request which began at an instant was answered.
func (c *Contact) reached(began time.Time) { c.heard.Store(&began) }

// Age is how long ago the last request began that was answered, and whether one ever was.
func (c *Contact) Age() (time.Duration, bool) {
	last := c.heard.Load()
	if last == nil {
		return 0, false
	}
	return c.clock.Since(*last), true
}

// LostError says that this process does not reach the API server.
type LostError struct {
	// Age is how long ago it last did. Zero: it never has.
	Age time.Duration
}

func (e *LostError) Error() string {
	if e.Age == 0 {
		return "this replica of Countersign has not reached the API server yet"
	}
	return fmt.Sprintf("this replica of Countersign has not reached the API server for %s: what it knows may not hold any more",
		e.Age.Round(time.Second))
}

// Err is a LostError while Lost, else nil.
func (c *Contact) Err() error {
	if !c.Lost() {
		return nil
	}
	age, _ := c.Age()
	return &LostError{Age: age}
}

var ageDesc = prometheus.NewDesc("countersign_api_server_contact_age_seconds",
	"Seconds since this replica last asked something that the API server answered. Beyond 10 it refuses agents.", nil, nil)

// Describe implements prometheus.Collector.
func (c *Contact) Describe(descs chan<- *prometheus.Desc) { descs <- ageDesc }

// Collect implements prometheus.Collector. Before the first answer there is nothing to tell.
func (c *Contact) Collect(out chan<- prometheus.Metric) {
	if age, ever := c.Age(); ever {
		out <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age.Seconds())
	}
}

// Lost says that this process has not reached the API server for longer than the limit, or never has.
func (c *Contact) Lost() bool {
	age, ever := c.Age()
	return !ever || age > Limit
}
