package heartbeat

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Beater is what a heartbeat does.
type Beater interface {
	// Beat makes one request to the API server that only a working one can answer.
	Beat(ctx context.Context) error
	// Changed says that a beat would tell something new.
	Changed() bool
	// Stop takes back what was told: this replica ends.
	Stop(ctx context.Context) error
}

// Heart beats until it is stopped. It implements manager.Runnable and runs on every replica. Use New.
type Heart struct {
	beater  Beater
	contact *Contact
	clock   clock.WithTicker
	news    chan struct{}
}

// New returns a heart that notes each beat in contact.
func New(beater Beater, contact *Contact, clk clock.WithTicker) *Heart {
	return &Heart{beater: beater, contact: contact, clock: clk, news: make(chan struct{}, 1)}
}

// NeedLeaderElection says that every replica beats.
func (h *Heart) NeedLeaderElection() bool { return false }

// News has it beat at once if there is something new to tell. It does not block.
func (h *Heart) News() {
	select {
	case h.news <- struct{}{}:
	default: // it is about to look
	}
}

// Start beats until the context ends.
func (h *Heart) Start(ctx context.Context) error {
	ticker := h.clock.NewTicker(Interval)
	defer ticker.Stop()
	h.beat(ctx)
	for {
		select {
		case <-ctx.Done():
			return h.stop(ctx)
		case <-ticker.C():
			h.beat(ctx)
		case <-h.news:
			if h.beater.Changed() {
				h.beat(ctx)
			}
		}
	}
}

func (h *Heart) beat(ctx context.Context) {
	began := h.clock.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	logger := log.FromContext(ctx).WithName("heartbeat")
	err := h.beater.Beat(ctx)
	switch {
	case err == nil:
		if age, ever := h.contact.Age(); ever && h.contact.Lost() {
			logger.Info("The API server is reached again: agents are not refused for its sake any more", "after", age.Round(time.Second).String())
		}
		h.contact.reached(began)
	case !errors.Is(err, context.Canceled):
		age, _ := h.contact.Age()
		logger.Error(err, "The API server is not reached", "since", age.Round(time.Second).String(), "agentsAreRefused", h.contact.Lost())
	}
}

// stop has a moment for itself: the context has ended.
func (h *Heart) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := h.beater.Stop(ctx); err != nil {
		log.FromContext(ctx).WithName("heartbeat").Error(err, "Taking the heartbeat back; it is forgotten by itself")
	}
	return nil
}

// Probe is a Beater for a replica that has nobody to tell anything.
type Probe func(ctx context.Context) error

// Beat implements Beater.
func (p Probe) Beat(ctx context.Context) error { return p(ctx) }

// Changed implements Beater.
func (Probe) Changed() bool { return false }

// Stop implements Beater.
func (Probe) Stop(context.Context) error { return nil }
