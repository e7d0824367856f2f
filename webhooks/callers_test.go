package webhooks_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// largest is the most memory that the operator may take, in MiB. The chart allows it 512.
const largest = 320

// TestMalformedReviews posts what no API server sends. None of it is allowed, and the operator goes on.
func TestMalformedReviews(t *testing.T) {
	e := newEnvironment(t)
	f := e.forger(t)
	namespace, agent, web := governed(t, e, asks)
	nested := func(depth int) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x","operation":"CREATE","resource":{"version":"v1","resource":"configmaps"},` +
			`"userInfo":{"username":"` + agent.name + `"},"object":` + strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) + `}}`
	}
	const minimal = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x"}}`
	for name, tc := range map[string]struct {
		method, path, contentType, body string
		header                          http.Header
	}{
		"another method":      {method: http.MethodGet},
		"another path":        {path: "/metrics", body: minimal},
		"a longer path":       {path: "/enforce/..%2f..%2fenforce", body: minimal},
		"no content type":     {contentType: "-", body: minimal},
		"another type":        {contentType: "application/x-protobuf", body: minimal},
		"nothing":             {},
		"not JSON":            {body: "\x00\xff\x1b[2J"},
		"half of it":          {body: minimal[:40]},
		"another kind":        {body: `{"apiVersion":"v1","kind":"Pod"}`},
		"no request":          {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`},
		"null":                {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}`},
		"an empty request":    {body: minimal},
		"other types":         {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":[],"object":7,"userInfo":"root"}}`},
		"as deep as can be":   {body: nested(9_900)},
		"deeper":              {body: nested(1_000_000)},
		"too large":           {body: nested(1) + strings.Repeat(" ", 8<<20)},
		"large headers":       {body: minimal, header: http.Header{"X-Large": {strings.Repeat("x", 1<<20)}}},
		"many headers":        {body: minimal, header: http.Header{"X-Many": strings.Split(strings.Repeat("x ", 20_000), " ")}},
		"a compressed review": {body: minimal, header: http.Header{"Content-Encoding": {"gzip"}}},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, contentType := http.MethodPost, "/enforce", "application/json"
			for value, given := range map[*string]string{&method: tc.method, &path: tc.path, &contentType: tc.contentType} {
				if given != "" {
					*value = given
				}
			}
			r, err := http.NewRequestWithContext(t.Context(), method, e.operator.URL+path, strings.NewReader(tc.body))
			allowed(t, err)
			maps.Copy(r.Header, tc.header)
			if contentType != "-" {
				r.Header.Set("Content-Type", contentType)
			}
			answer, err := f.client.Do(r)
			if err != nil {
				return // it was cut off
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			allowed(t, err)
			if strings.Contains(string(text), `"allowed":true`) {
				t.Errorf("the answer is %s: %s", answer.Status, text)
			}
			checkLegible(t, "the answer", strings.NewReplacer("\n", " ", "\t", " ").Replace(string(text)))
		})
	}
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`), "FieldOutOfScope")
	if n := len(e.approvals(t, namespace)); n != 1 {
		t.Errorf("there are %d approvals, want that of the last action", n)
	}
	if strings.Contains(e.operator.LogText(t), "panic") {
		t.Error("the operator has panicked")
	}
}

// slowly connects many times and says what can be said slowly, until the server ends it or the context does. It returns how
// long the longest connection has lasted.
func slowly(ctx context.Context, t *testing.T, address string, head string, part []byte, pause time.Duration) time.Duration {
	t.Helper()
	var mu sync.Mutex
	var longest time.Duration
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			began := time.Now()
			conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
			if err != nil {
				return
			}
			defer conn.Close()
			_, err = io.WriteString(conn, head)
			for err == nil && ctx.Err() == nil {
				time.Sleep(pause) //nolint:forbidigo // it is slow
				_, err = conn.Write(part)
			}
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, time.Since(began))
		})
	}
	wg.Wait()
	return longest
}

// TestSlowCallers has many callers hold the operator up, each in its way, while the agent is answered as ever.
func TestSlowCallers(t *testing.T) {
	e := newEnvironment(t)
	_, agent, web := governed(t, e, asks)
	address := strings.TrimPrefix(e.operator.URL, "https://")
	const head = "POST /enforce HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		head string
		part []byte
	}{
		"headers by and by":      {"POST /enforce HTTP/1.1\r\nHost: x\r\n", []byte("X-A: b\r\n")},
		"a body by and by":       {head + "Content-Length: 100000\r\n\r\n", []byte("{")},
		"a large body that ends": {head + "Content-Length: 7000000\r\n\r\n" + strings.Repeat(" ", 300_000), []byte(" ")},
		"a body in chunks":       {head + "Transfer-Encoding: chunked\r\n\r\n", []byte("1\r\n{\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			lasted := make(chan time.Duration, 1)
			go func() { lasted <- slowly(ctx, t, address, tc.head, tc.part, 200*time.Millisecond) }()
			var slowest time.Duration
			for range 20 {
				began := time.Now()
				refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`), "FieldOutOfScope")
				slowest = max(slowest, time.Since(began))
			}
			t.Logf("the slowest answer took %s", slowest)
			if slowest > 3*time.Second {
				t.Errorf("an answer took %s", slowest)
			}
			if longest := <-lasted; longest > 15*time.Second {
				t.Errorf("a slow caller was kept for %s", longest)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		allowed(t, err)
		defer conn.Close()
		allowed(t, conn.SetReadDeadline(time.Now().Add(15*time.Second)))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && (err == nil || strings.Contains(err.Error(), "timeout")) {
			t.Errorf("a silent caller is kept: %v", err)
		}
	})
}

// largeReview is a review of an update of nearly the largest object there is, with as many changes as go into it.
func largeReview(t *testing.T, f *forger, agent *identity) []byte {
	t.Helper()
	content := func(value string) *corev1.ConfigMap {
		c := &corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{},
			ObjectMeta: metav1.ObjectMeta{Namespace: strings.Split(agent.name, ":")[2], Name: "large", UID: "u", ResourceVersion: "1"},
		}
		for i := range 100_000 {
			c.Data[fmt.Sprintf("key-%06d", i)] = value
		}
		return c
	}
	r := f.request(t, agent, admissionv1.Update, "large")
	r.Kind, r.Resource = metav1.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, metav1.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	r.OldObject, r.Object = raw(t, content("before-before")), raw(t, content("after-after"))
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r})
	allowed(t, err)
	return body
}

// TestLargeReviews posts fifty large reviews at once, while the agent is answered as ever.
func TestLargeReviews(t *testing.T) {
	e := newEnvironment(t)
	f := e.forger(t)
	_, agent, web := governed(t, e, asks)
	body := largeReview(t, f, agent)
	statuses := make([]int, 50)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.operator.URL+"/enforce", bytes.NewReader(body))
			if err != nil {
				return
			}
			r.Header.Set("Content-Type", "application/json")
			answer, err := f.client.Do(r)
			if err != nil {
				return // it was cut off
			}
			defer answer.Body.Close()
			statuses[i] = answer.StatusCode
		})
	}
	var slowest time.Duration
	for range 10 {
		began := time.Now()
		err := patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`)
		slowest = max(slowest, time.Since(began))
		if err == nil {
			t.Fatal("the agent's action passes")
		}
		if slowest > 4*time.Second {
			t.Errorf("the answer %v took %s", err, slowest)
		}
	}
	wg.Wait()
	answered := map[int]int{}
	for _, s := range statuses {
		answered[s]++
	}
	peak := e.operator.PeakMemory(t)
	t.Logf("50 reviews of %d KiB: answers %v, at most %d MiB of memory, the agent's slowest answer took %s", len(body)>>10, answered, peak, slowest)
	if peak > largest {
		t.Errorf("the operator has taken %d MiB", peak)
	}
	if answered[http.StatusOK] == 0 {
		t.Error("no large review was judged")
	}
}
