package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

func TestHours(t *testing.T) {
	berlin := location(t)
	tests := map[string]struct {
		now                 time.Time
		wantOpen, wantLater hours
	}{
		"afternoon": {
			now:       time.Date(2026, 11, 22, 14, 37, 0, 0, berlin),
			wantOpen:  hours{"Sun", "13:00", "17:00"},
			wantLater: hours{"Sun", "17:00", "19:00"},
		},
		"just after midnight the window began yesterday": {
			now:       time.Date(2026, 11, 23, 0, 0, 0, 0, berlin),
			wantOpen:  hours{"Sun", "23:00", "03:00"},
			wantLater: hours{"Mon", "03:00", "05:00"},
		},
		"just before midnight the next one is tomorrow's": {
			now:       time.Date(2026, 11, 28, 23, 59, 59, 0, berlin),
			wantOpen:  hours{"Sat", "22:00", "02:00"},
			wantLater: hours{"Sun", "02:00", "04:00"},
		},
		"the week turns over": {
			now:       time.Date(2026, 11, 22, 0, 30, 0, 0, berlin),
			wantOpen:  hours{"Sat", "23:00", "03:00"},
			wantLater: hours{"Sun", "03:00", "05:00"},
		},
		"a window that ends at midnight": {
			now:       time.Date(2026, 11, 22, 21, 0, 0, 0, berlin),
			wantOpen:  hours{"Sun", "20:00", "00:00"},
			wantLater: hours{"Mon", "00:00", "02:00"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := openHours(tc.now); got != tc.wantOpen {
				t.Errorf("openHours() = %v, want %v", got, tc.wantOpen)
			}
			if got := laterHours(tc.now); got != tc.wantLater {
				t.Errorf("laterHours() = %v, want %v", got, tc.wantLater)
			}
		})
	}
}

// TestPolicies compiles what the story applies at many moments, those around clock changes and midnight among them,
// and asks what the windows say then and half an hour later.
func TestPolicies(t *testing.T) {
	berlin := location(t)
	want := map[string]v1alpha1.WindowState{
		"shop-deploy-bot.yaml": v1alpha1.WindowOpen,
		"closed.yaml":          v1alpha1.WindowClosed,
		"frozen.yaml":          v1alpha1.WindowFrozen,
		"counted.yaml":         v1alpha1.WindowOpen,
	}
	for _, day := range []time.Time{
		time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), time.Date(2026, 10, 24, 12, 0, 0, 0, berlin),
		time.Date(2026, 11, 28, 12, 0, 0, 0, berlin), time.Date(2026, 12, 31, 12, 0, 0, 0, berlin),
	} {
		for now := day; now.Before(day.Add(36 * time.Hour)); now = now.Add(13 * time.Minute) {
			for name, s := range variants(now) {
				p := compiled(t, "shop-deploy-bot.yaml", s)[0]
				for _, at := range []time.Time{now, now.Add(30 * time.Minute)} {
					if got := p.StateAt(at); got.Window != want[name] || got.NextOpen.Sub(at) > 6*time.Hour {
						t.Fatalf("%s made at %s is at %s %s until %s, want %s", name, now, at, got.Window, got.NextOpen, want[name])
					}
				}
			}
		}
	}
}

func TestManifestsCompile(t *testing.T) {
	s := scene{Zone: zone, Hours: laterHours(time.Now())}
	for _, p := range compiled(t, "newcomers.yaml", s) {
		if len(p.Errors)+len(p.Warnings) > 0 {
			t.Errorf("policy %s has problems: %v %v", p.Name, p.Errors, p.Warnings)
		}
	}
	var paths []string
	for _, err := range compiled(t, "mistakes.yaml", s)[0].Errors {
		paths = append(paths, err.Field)
	}
	want := []string{
		"spec.changeWindows.allowed[0]", "spec.tasks[0].scope.fields[0]", "spec.timeZone", "spec.windows[1].cron.schedule",
	}
	if slices.Sort(paths); !slices.Equal(paths, want) {
		t.Errorf("mistakes.yaml has mistakes at %s, want %s", strings.Join(paths, ", "), strings.Join(want, ", "))
	}
}

// compiled are the policies of a manifest.
func compiled(t *testing.T, name string, s scene) []*policy.Policy {
	t.Helper()
	text, err := render(name, s)
	if err != nil {
		t.Fatal(err)
	}
	var policies []*policy.Policy
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		p := &v1alpha1.AgentActionPolicy{}
		switch err := decoder.Decode(p); {
		case errors.Is(err, io.EOF):
			return policies
		case err != nil:
			t.Fatal(err)
		}
		policies = append(policies, policy.Compile(p, policy.Identity{}))
	}
}

func location(t *testing.T) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
