package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCollectionPercent(t *testing.T) {
	for name, tc := range map[string]struct {
		reviews int64
		held    uint64
		want    int
	}{
		"idle":                    {0, 12 << 20, collectAt},
		"few reviews":             {reviewPace - 1, 12 << 20, collectAt},
		"busy":                    {reviewPace, 12 << 20, 400},
		"busy, and much is held":  {1000, 24 << 20, 200},
		"busy, and more is held":  {1000, 1 << 30, collectAt},
		"busy, and nothing known": {1000, 0, collectAt},
	} {
		t.Run(name, func(t *testing.T) {
			if got := collectionPercent(tc.reviews, tc.held); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
	if held() == 0 {
		t.Error("the runtime does not say what is held")
	}
}

func TestHeadroomCountsReviews(t *testing.T) {
	var h headroom
	served := 0
	handler := h.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for range 3 {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/enforce", nil))
	}
	if n := h.reviews.Load(); n != 3 || served != 3 {
		t.Errorf("%d counted, %d served", n, served)
	}
}
