package protection_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/internal/protection"
)

func TestTrial(t *testing.T) {
	const static, api = "countersign.static.k8s.io", "countersign"
	denied, allowed := authorizationv1.SubjectAccessReviewStatus{Denied: true}, authorizationv1.SubjectAccessReviewStatus{Allowed: true}
	cannot := apierrors.NewForbidden(schema.GroupResource{Resource: "users"}, "x", errors.New(`User "ann" cannot impersonate`))
	tests := map[string]struct {
		trial   protection.Trial
		want    protection.Hold
		full    protection.Level
		untold  bool
		refused map[string]bool // of the questions about level 4
	}{
		"named by all files": {
			trial: protection.Trial{Impersonation: denied, Tried: true, OfWebhooks: true, Admission: refusal(static, api)},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Named}, full: protection.Sealed,
			refused: map[string]bool{"impersonate users": true, "delete validatingadmissionpolicybindings": true},
		},
		"named, without a policy in the API": {
			trial: protection.Trial{Impersonation: denied, Tried: true, OfWebhooks: true, Admission: refusal(static)},
			want:  protection.Hold{Level: protection.Webhooks, Naming: protection.Named}, full: protection.Sealed,
			refused: map[string]bool{"impersonate users": true, "delete validatingadmissionpolicybindings": true},
		},
		"named, without a right to try": {
			trial: protection.Trial{Impersonation: denied},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Named}, full: protection.Sealed,
			refused: map[string]bool{"impersonate users": true, "delete validatingadmissionpolicybindings": true},
		},
		"named, with a right to bindings alone": {
			trial: protection.Trial{Impersonation: denied, Tried: true, Admission: refusal(static)},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Named}, full: protection.Sealed,
			refused: map[string]bool{"impersonate users": true, "delete validatingadmissionpolicybindings": true},
		},
		"named by no file": {
			trial: protection.Trial{Impersonation: allowed, Tried: true, OfWebhooks: true, Admission: refusal(api)},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Unnamed}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
		"named by nothing": {
			trial: protection.Trial{Tried: true, OfWebhooks: true},
			want:  protection.Hold{Level: protection.Webhooks, Naming: protection.Unnamed}, full: protection.Webhooks,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
		"named by no file, without a right to try": {
			trial: protection.Trial{},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Unnamed}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
		"older manifests": {
			trial: protection.Trial{Impersonation: denied, Tried: true},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.AuthorizationOnly}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": true, "delete validatingadmissionpolicybindings": false},
		},
		"an older authorizer": {
			trial: protection.Trial{Impersonation: allowed, Tried: true, OfWebhooks: true, Admission: refusal(static, api)},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.AdmissionOnly}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": true},
		},
		"whoever asks may not impersonate": {
			trial: protection.Trial{Impersonation: denied, Tried: true, OfWebhooks: true, Admission: cannot}, untold: true,
			want: protection.Hold{Level: protection.Policy, Naming: protection.Untold}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
		"whoever asks may not impersonate, and an authorizer lets it": {
			trial: protection.Trial{Impersonation: allowed, Tried: true, OfWebhooks: true, Admission: cannot},
			want:  protection.Hold{Level: protection.Policy, Naming: protection.Unnamed}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
		"no answer": {
			trial: protection.Trial{Impersonation: denied, Tried: true, Admission: errors.New("connection refused")}, untold: true,
			want: protection.Hold{Level: protection.Policy, Naming: protection.Untold}, full: protection.Policy,
			refused: map[string]bool{"impersonate users": false, "delete validatingadmissionpolicybindings": false},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.trial.Judge(protection.Policy)
			if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != tc.untold || got.Full() != tc.full {
				t.Errorf("it ends with %v, at level %d (-want +got):\n%s", err, got.Full(), diff)
			}
			refused := map[string]bool{}
			for _, r := range protection.Routes() {
				for i := range r.Probes {
					p := &r.Probes[i]
					if _, asked := tc.refused[p.String()]; asked {
						refused[p.String()] = got.Refuses(&r, p)
					}
				}
			}
			if diff := cmp.Diff(tc.refused, refused); diff != "" {
				t.Errorf("what is refused (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusesByLevel wants what holds everybody to be told by the level alone, for each question of the table.
func TestRefusesByLevel(t *testing.T) {
	for level := protection.Unknown; level <= protection.Sealed; level++ {
		for _, r := range protection.Routes() {
			for i := range r.Probes {
				p := &r.Probes[i]
				for _, naming := range []protection.Naming{protection.Untold, protection.Unnamed, 99} {
					if got, want := (protection.Hold{Level: level, Naming: naming}).Refuses(&r, p), level >= r.ClosedFrom(p); got != want {
						t.Errorf("%s at level %d, by files %d: %v, want %v", p, level, naming, got, want)
					}
				}
				if (protection.Hold{Level: protection.Policy, Naming: protection.Named}).Refuses(&r, p) != (r.ClosedFrom(p) <= protection.Sealed) {
					t.Errorf("%s is not as the table says for whom all files name", p)
				}
			}
		}
	}
}
