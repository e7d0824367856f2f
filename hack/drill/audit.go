package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// writesOf counts what the API server says of the writes of some users within a span, by its audit log.
type writesOf struct {
	all, failed int
	first       string // failure
}

// event is what is read of an audit event.
type event struct {
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	Verb      string `json:"verb"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

// audited reads the audit log for writes of users whose names begin as given. A conflict, or an object that is there
// or gone already, is how controllers work and no failure.
func (s *stage) audited(from, to time.Time, prefixes ...string) (writesOf, error) {
	var w writesOf
	err := s.eachEvent(func(e *event) {
		if e.Received.Before(from) || !e.Received.Before(to) || !begins(e.User.Username, prefixes) {
			return
		}
		w.all++
		switch code := e.ResponseStatus.Code; {
		case code < http.StatusBadRequest, code == http.StatusConflict, code == http.StatusNotFound:
		default:
			w.failed++
			if w.first == "" {
				w.first = fmt.Sprintf(": %s may not %s %s: %d %s", e.User.Username, e.Verb, e.ObjectRef.Resource, code, e.ResponseStatus.Message)
			}
		}
	})
	return w, err
}

func (s *stage) eachEvent(use func(*event)) error {
	file, err := os.Open(s.Plane.AuditLog())
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		use(&e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return nil
}

// controllers are those of kube-controller-manager, each by its own account, and the rest of the control plane.
var controllers = []string{"system:serviceaccount:kube-system:", "system:kube-controller-manager", "system:kube-scheduler", "system:node"}

func begins(text string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}
