package approval

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestNamesAreDNSNamesAndReserved(t *testing.T) {
	for name, tc := range map[string]struct {
		target, wantPrefix string
	}{
		"name":             {"web", "web-"},
		"nothing readable": {"Ⅷ.", "request-"},
		"empty":            {"", "request-"},
		"control":          {"x\x00\x1b[31my\u202e", "x-31my-"},
		"capitals":         {"WEB", "web-"},
		"dashes":           {"..b--c..", "b-c-"},
		"long":             {strings.Repeat("n", 253), "nnnnnnnnnnnnnnnnnnnn-"},
		"cut at a dash":    {strings.Repeat("u", 19) + "-x", "uuuuuuuuuuuuuuuuuuu-"},
		"invalid UTF-8":    {"a\xff\xfeb", "a-b-"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			r.Action.Name = tc.target
			got := r.Name()
			if errs := validation.IsDNS1123Subdomain(got); len(errs) > 0 || len(got) > 63 {
				t.Errorf("%q: %v", got, errs)
			}
			if !IsReserved(got) {
				t.Errorf("%q is not reserved", got)
			}
			if prefix := got[:len(got)-suffixLength]; prefix != tc.wantPrefix {
				t.Errorf("prefix %q, want %q", prefix, tc.wantPrefix)
			}
		})
	}
}

func TestNameDependsOnWhoAsksForWhat(t *testing.T) {
	seen := map[string]string{request(1).Name(): "the request"}
	for name, change := range map[string]func(*Request){
		"username":         func(r *Request) { r.Requester.Username += "2" },
		"moved boundary":   func(r *Request) { r.Requester.Username += "b"; r.Requester.UID = "ot-uid" },
		"account again":    func(r *Request) { r.Requester.UID = "another" },
		"action":           func(r *Request) { r.Hash += "0" },
		"follows":          func(r *Request) { r.Follows = "x" },
		"bound to the pod": func(r *Request) { r.BindTo = v1alpha1.BindToPod },
		"another pod":      func(r *Request) { r.BindTo, r.Requester.PodUID = v1alpha1.BindToPod, "pod-2" },
		"bound to token":   func(r *Request) { r.BindTo = v1alpha1.BindToCredential },
		"token like pod":   func(r *Request) { r.BindTo, r.Requester.CredentialID = v1alpha1.BindToCredential, "pod-uid" },
		"task":             func(r *Request) { *r = *taskRequest(5) },
		"longer task":      func(r *Request) { *r = *taskRequest(6) },
		"other reasons":    func(r *Request) { *r = *taskRequest(5); r.Reasons = nil },
	} {
		r := request(1)
		change(r)
		if other, twice := seen[r.Name()]; twice {
			t.Errorf("%s: same name as %s", name, other)
		}
		seen[r.Name()] = name
	}
	unbound := request(1)
	unbound.Requester.PodUID, unbound.Requester.CredentialID, unbound.BindTo = "pod-2", "JTI=2", v1alpha1.BindToUser
	if unbound.Name() != request(1).Name() {
		t.Error("the name depends on the pod or credential of a request that is bound to the user only")
	}
	pinned := request(1)
	pinned.Hash = "v1:pinned"
	if got, want := pinned.Name(), "web-q8dc4tpsppvegrtj3tbe"; got != want {
		t.Errorf("the name has changed: %q, was %q: pending requests would be asked for again", got, want)
	}
}

func TestIsReserved(t *testing.T) {
	for name, want := range map[string]bool{
		"deploy-bot-update-web-0123456789abcdefghjk": true,
		"a-zzzzzzzzzzzzzzzzzzzz":                     true,
		"-0123456789abcdefghjk":                      false,
		"0123456789abcdefghjk":                       false,
		"a-0123456789abcdefghj":                      false,
		"a-0123456789abcdefghi0":                     false,
		"roll-images-tonight":                        false,
		"":                                           false,
	} {
		if got := IsReserved(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}
