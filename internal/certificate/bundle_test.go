package certificate_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/countersign-dev/countersign/internal/certificate"
)

func authority(t *testing.T, name string) []byte {
	t.Helper()
	pem, _, err := certutil.GenerateSelfSignedCertKey(name, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	// It comes with the authority that has signed it; one is enough here.
	one, err := certutil.EncodeCertificates(certs[len(certs)-1])
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func TestBundle(t *testing.T) {
	a, b, c, d := authority(t, "a"), authority(t, "b"), authority(t, "c"), authority(t, "d")
	now := time.Now()
	tests := map[string]struct {
		current, earlier []byte
		now              time.Time
		want             []byte
		wantErr          bool
	}{
		"the first":             {current: a, want: a},
		"the same":              {current: a, earlier: a, want: a},
		"a new one":             {current: b, earlier: a, want: slices.Concat(b, a)},
		"the same, after a new": {current: b, earlier: slices.Concat(b, a), want: slices.Concat(b, a)},
		"more than are kept":    {current: d, earlier: slices.Concat(c, b, a), want: slices.Concat(d, c, b)},
		"not of one mind":       {current: a, earlier: slices.Concat(b, a), want: slices.Concat(b, a)},
		"the second of three":   {current: b, earlier: slices.Concat(c, b, a), want: slices.Concat(c, b, a)},
		"back to the last":      {current: a, earlier: slices.Concat(c, b, a), want: slices.Concat(a, c, b)},
		"one of them twice":     {current: b, earlier: slices.Concat(a, a), want: slices.Concat(b, a)},
		"an expired one":        {current: b, earlier: a, now: now.AddDate(20, 0, 0), want: b},
		"earlier is no bundle":  {current: b, earlier: []byte("x"), want: b},
		"no authority":          {earlier: a, wantErr: true},
		"no certificate":        {current: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.now.IsZero() {
				tc.now = now
			}
			got, err := certificate.Bundle(tc.current, tc.earlier, tc.now)
			if (err != nil) != tc.wantErr || !bytes.Equal(got, tc.want) {
				t.Errorf("got %v and\n%s\nwant\n%s", err, got, tc.want)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	a, b := authority(t, "a"), authority(t, "b")
	for name, tc := range map[string]struct {
		bundle, authority []byte
		want              bool
	}{
		"alone":       {a, a, true},
		"second":      {slices.Concat(b, a), a, true},
		"another":     {b, a, false},
		"empty":       {nil, a, false},
		"of nothing":  {a, nil, false},
		"of a bundle": {a, slices.Concat(a, b), true},
	} {
		if got := certificate.Holds(tc.bundle, tc.authority); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
