package controllers

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/countersign-dev/countersign/internal/protection"
)

const (
	// levelInterval is how often the level is looked at while nothing happens.
	levelInterval = time.Minute
	// levelPause is when it is looked at again after something happened, and before a lower level counts: API servers take
	// up changed admission policies within a second.
	levelPause = 2 * time.Second
)

// LevelWatch finds out the level of protection, every minute and whenever admission configuration changes. It implements
// manager.Runnable and prometheus.Collector, and runs on every replica; one tells.
type LevelWatch struct {
	// Ask asks the API server as the canary.
	Ask   func(context.Context) protection.Answers
	Cache cache.Cache
	Clock clock.WithTicker
	// Elected is closed when this replica is the one that tells.
	Elected  <-chan struct{}
	Recorder events.EventRecorder
	// Changed is told when the level has changed. It holds one.
	Changed chan event.GenericEvent

	once    sync.Once
	woken   chan struct{}
	mu      sync.Mutex
	finding protection.Finding
}

// NeedLeaderElection says that every replica has its own.
func (w *LevelWatch) NeedLeaderElection() bool { return false }

// Wake has it look again soon.
func (w *LevelWatch) Wake() {
	w.once.Do(func() { w.woken = make(chan struct{}, 1) })
	select {
	case w.woken <- struct{}{}:
	default: // it is about to look
	}
}

// Text is the level, or empty while nobody knows.
func (w *LevelWatch) Text() string {
	if level := w.current().Level; level != protection.Unknown {
		return strconv.Itoa(int(level))
	}
	return ""
}

func (w *LevelWatch) current() protection.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finding
}

// Start looks until the context ends.
func (w *LevelWatch) Start(ctx context.Context) error {
	w.Wake()
	if err := w.follow(ctx); err != nil {
		return err
	}
	wait := time.Duration(0)
	for {
		timer := w.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
			wait = levelInterval
		case <-w.woken:
			timer.Stop()
			wait = levelPause
		}
		before, after := w.current(), w.look(ctx)
		// A lower level is only told when it lasts: what changes now may be repaired, or be taken up in a moment.
		if after.Level < before.Level {
			if wait == levelPause {
				continue
			}
			after = w.confirm(ctx)
		}
		if !ended(ctx) {
			w.tell(ctx, before, after)
		}
	}
}

// ended says that answers are those of a context that has ended, and tell nothing.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// confirm looks again after a pause.
func (w *LevelWatch) confirm(ctx context.Context) protection.Finding {
	timer := w.Clock.NewTimer(levelPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return protection.Finding{}
	case <-timer.C():
		return w.look(ctx)
	}
}

func (w *LevelWatch) look(ctx context.Context) protection.Finding {
	answers := w.Ask(ctx)
	return protection.Judge(&answers)
}

// tell writes what has changed into the log and, on one replica, an event and where kubectl shows it.
func (w *LevelWatch) tell(ctx context.Context, before, after protection.Finding) {
	w.mu.Lock()
	w.finding = after
	w.mu.Unlock()
	if before == after {
		return
	}
	logger := ctrl.LoggerFrom(ctx).WithName("protection")
	if after.Level < before.Level {
		logger.Error(nil, "The level of protection is lower than before", "level", after.Level, "before", before.Level, "reason", after.Reason)
	} else {
		logger.Info("Found the level of protection", "level", after.Level, "before", before.Level, "reason", after.Reason)
	}
	select {
	case w.Changed <- event.GenericEvent{Object: &corev1.Secret{}}:
	default: // what is under way already is enough
	}
	select {
	case <-w.Elected:
		if before.Level != after.Level {
			w.record(ctx, before, after)
		}
	default:
	}
}

func (w *LevelWatch) record(ctx context.Context, before, after protection.Finding) {
	about := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	switch err := w.Cache.Get(ctx, client.ObjectKey{Name: PoliciesConfiguration}, about); {
	case apierrors.IsNotFound(err): // that may be why the level is lower, and is to be told all the more
		about.Name = PoliciesConfiguration
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "Finding what an event about the level of protection is about")
		return
	}
	kind, reason := corev1.EventTypeNormal, ReasonLevelRaised
	if after.Level < before.Level {
		kind, reason = corev1.EventTypeWarning, ReasonLevelLowered
	}
	w.Recorder.Eventf(about, nil, kind, reason, "Look", "The level of protection is %d: %s", after.Level, after.Reason)
}

// follow has every change of the operator's admission configuration wake it.
func (w *LevelWatch) follow(ctx context.Context) error {
	for _, kind := range []client.Object{
		&admissionregistrationv1.ValidatingWebhookConfiguration{},
		&admissionregistrationv1.ValidatingAdmissionPolicy{}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{},
	} {
		informer, err := w.Cache.GetInformer(ctx, kind)
		if err == nil {
			_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
				AddFunc: w.changed, DeleteFunc: w.changed,
				UpdateFunc: func(before, after any) {
					if old, ok := before.(client.Object); !ok || !sameVersion(old, after) {
						w.changed(after)
					}
				},
			})
		}
		if err != nil {
			return fmt.Errorf("watching admission configuration: %w", err)
		}
	}
	return nil
}

func (w *LevelWatch) changed(o any) {
	if tombstone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	named, ok := o.(client.Object)
	if !ok || named.GetName() == ActionsConfiguration || named.GetName() == protection.PolicyName {
		w.Wake()
	}
}

var levelDesc = prometheus.NewDesc("countersign_protection_level",
	"Level of protection that the canary finds: 2 webhooks, 3 an admission policy, 4 files of the API server; 1 none of these, 0 unknown.",
	nil, nil)

// Describe implements prometheus.Collector.
func (w *LevelWatch) Describe(descs chan<- *prometheus.Desc) { descs <- levelDesc }

// Collect implements prometheus.Collector.
func (w *LevelWatch) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(levelDesc, prometheus.GaugeValue, float64(w.current().Level))
}
