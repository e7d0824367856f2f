package webhooks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestRedeemUpdates changes objects in every way that there is.
func TestRedeemUpdates(t *testing.T) {
	e := newEnvironment(t)
	scaleWeb := kubectl("scale", "deployment", "web", "--replicas=5")
	for name, tc := range map[string]shape{
		"asked by patch, done by kubectl scale":             replicas(patchWeb(toFive), scaleWeb),
		"asked by kubectl scale, done by patch":             replicas(scaleWeb, patchWeb(toFive)),
		"asked by patch, done by replacing":                 replicas(patchWeb(toFive), replaceWeb),
		"asked by kubectl scale with a condition":           replicas(kubectl("scale", "deployment", "web", "--current-replicas=2", "--replicas=5"), replaceWeb),
		"asked by a small apply, done by patch":             replicas(applyWeb(false), patchWeb(toFive)),
		"asked by a small apply, done by kubectl scale":     replicas(applyWeb(false), scaleWeb),
		"asked by patch, done by a small apply":             replicas(patchWeb(toFive), applyWeb(false)),
		"asked by patch, done by an apply that is repeated": applied(patchWeb(toFive), applyWeb(true)),
		"asked by an apply that is repeated, done by patch": applied(applyWeb(true), patchWeb(toFive)),
		"the first apply of everything":                     replicas(applyWeb(true), later(applyWeb(true))),
		"asked by kubectl apply, done by patch":             applied(applyHere, patchWeb(toFive)),
		"asked by patch, done by kubectl apply":             applied(patchWeb(toFive), applyHere),
		"asked by kubectl apply, done by one on the server": applied(applyHere, applyWeb(true)),
		"the first kubectl apply":                           replicas(applyHere, later(applyHere)),
		"asked by kubectl set image, done by patch":         image(kubectl("set", "image", "deployment/web", "web=web:2"), strategicWeb(webTwo)),
		"asked by patch, done by kubectl set image":         image(strategicWeb(webTwo), kubectl("set", "image", "deployment/web", "web=web:2")),
		"kubectl annotate":                                  note(kubectl("annotate", "deployment", "web", "example.com/note=hello")),
		"metadata by way of the status":                     note(statusNote),
		"a Secret":                                          secret(),
		"kubectl rollout restart":                           restart(),
		"StatefulSet: asked by patch, done by scale":        statefulSet(patchStatefulSet, kubectl("scale", "statefulset", "db", "--replicas=0")),
		"StatefulSet: asked by scale, done by patch":        statefulSet(kubectl("scale", "statefulset", "db", "--replicas=0"), patchStatefulSet),
		"custom kind: asked by patch, done by scale":        gadget(patchGadget, scaleGadget),
		"custom kind: asked by scale, done by patch":        gadget(scaleGadget, patchGadget),
	} {
		t.Run(name, func(t *testing.T) { tc.run(t, e) })
	}
	t.Run("a first apply is another action than a patch", func(t *testing.T) { testFirstApply(t, e) })
}

// replicas is a change from 2 to 5 of the Deployment web, which a person takes back.
func replicas(ask, by route) shape {
	return shape{
		ask: ask, redeem: by,
		landed: func(ctx context.Context, s *story) error {
			if err := s.there(ctx, s.web); err != nil {
				return err
			}
			if *s.web.Spec.Replicas != 5 {
				return fmt.Errorf("replicas are %d", *s.web.Spec.Replicas)
			}
			return nil
		},
		revert: func(t *testing.T, s *story) {
			allowed(t, patch(t.Context(), s.person, s.web, types.MergePatchType, `{"spec":{"replicas":2}}`))
		},
	}
}

func patchWeb(body string) route {
	return func(ctx context.Context, s *story) error {
		return patch(ctx, s.agent, s.web, types.MergePatchType, body)
	}
}

func replaceWeb(ctx context.Context, s *story) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := s.there(ctx, s.web); err != nil {
			return err
		}
		changed := s.web.DeepCopy()
		changed.Spec.Replicas = ptr.To[int32](5)
		return s.agent.Update(ctx, changed)
	})
}

const (
	smallWeb = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":REPLICAS}}`
	wholeWeb = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"replicas":REPLICAS,` +
		`"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}}`
)

// applyWeb applies 5 replicas on the server, with everything else of the Deployment or without.
func applyWeb(whole bool) route {
	return func(ctx context.Context, s *story) error {
		return s.apply(ctx, s.agent, whole, 5, "--server-side", "--force-conflicts")
	}
}

// applyHere applies all of it as kubectl does by itself: it compares, and notes in an annotation what it applied.
func applyHere(ctx context.Context, s *story) error { return s.apply(ctx, s.agent, true, 5) }

func (s *story) apply(ctx context.Context, who *identity, whole bool, replicas int, flags ...string) error {
	text := smallWeb
	if whole {
		text = wholeWeb
	}
	text = strings.Replace(text, "REPLICAS", fmt.Sprint(replicas), 1)
	return s.kubectlReading(ctx, who, text, append([]string{"apply", "-f", "-"}, flags...)...)
}

// applied is replicas on a Deployment that kubectl has applied already, in both of its ways.
func applied(ask, by route) shape {
	c := replicas(ask, by)
	c.prepare = func(t *testing.T, s *story) {
		allowed(t, s.apply(t.Context(), s.person, true, 2))
		allowed(t, s.apply(t.Context(), s.person, true, 2, "--server-side", "--force-conflicts"))
	}
	return c
}

// testFirstApply shows that who applies everything for the first time asks for more than the same values by a patch: it is
// noted that the fields are theirs, and the next apply without one of them deletes it.
func testFirstApply(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	patched := s.grant(t, func() error { return patchWeb(toFive)(t.Context(), s) })
	for place, first := range map[string]route{
		"metadata.managedFields": applyWeb(true),
		`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: applyHere,
	} {
		request := s.asked(t, func() error { return first(t.Context(), s) })
		var paths []string
		for _, c := range request.Spec.Action.Changes {
			paths = append(paths, c.Path)
		}
		if diff := cmp.Diff([]string{place, "spec.replicas"}, paths); diff != "" || request.Name == patched.Name {
			t.Errorf("a first apply asks, in %s, for (-want +got)\n%s", request.Name, diff)
		}
		s.wantUses(t, patched, 0)
	}
	redeem(t, func() error { return patchWeb(toFive)(t.Context(), s) })
	s.wantUses(t, patched, 1)
}

// image is a change to another image.
func image(ask, by route) shape {
	return shape{
		ask: ask, redeem: by,
		landed: func(ctx context.Context, s *story) error {
			if err := s.there(ctx, s.web); err != nil {
				return err
			}
			if got := s.web.Spec.Template.Spec.Containers[0].Image; got != "web:2" {
				return fmt.Errorf("the image is %s", got)
			}
			return nil
		},
		revert: func(t *testing.T, s *story) {
			byPerson(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:1"}]}}}}`)(t, s)
		},
	}
}

// note is an annotation.
func note(by route) shape {
	return shape{
		ask: by,
		landed: func(ctx context.Context, s *story) error {
			if err := s.there(ctx, s.web); err != nil {
				return err
			}
			if s.web.Annotations["example.com/note"] != "hello" {
				return errors.New("there is no note")
			}
			return nil
		},
		revert: func(t *testing.T, s *story) { byPerson(`{"metadata":{"annotations":{"example.com/note":null}}}`)(t, s) },
	}
}

func statusNote(ctx context.Context, s *story) error {
	return s.kubectl(ctx, s.agent, "patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", `{"metadata":{"annotations":{"example.com/note":"hello"}}}`)
}

// secret is asked for as text and written as bytes. Nobody who decides reads it.
func secret() shape {
	const before, after = "correct-horse", "battery-staple"
	object := func(s *story, value string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "s"}, Data: map[string][]byte{"password": []byte(value)}}
	}
	return shape{
		prepare: func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), object(s, before))) },
		ask: func(ctx context.Context, s *story) error {
			return patch(ctx, s.agent, object(s, before), types.MergePatchType, `{"stringData":{"password":"`+after+`"}}`)
		},
		redeem: func(ctx context.Context, s *story) error { return s.agent.Update(ctx, object(s, after)) },
		landed: func(ctx context.Context, s *story) error {
			o := object(s, before)
			if err := s.there(ctx, o); err != nil {
				return err
			}
			if string(o.Data["password"]) != after {
				return errors.New("it is the old one")
			}
			return nil
		},
		after: func(t *testing.T, s *story, used *v1alpha1.ActionApproval) {
			text, err := json.Marshal(used)
			allowed(t, err)
			written := string(text) + strings.Join(s.operator.DecisionLines(t, s.namespace), "") + s.operator.LogText(t)
			for _, value := range []string{before, after} {
				if strings.Contains(written, value) || strings.Contains(written, base64.StdEncoding.EncodeToString([]byte(value))) {
					t.Errorf("the value %q of a Secret is written down", value)
				}
			}
		},
		revert: func(t *testing.T, s *story) { allowed(t, s.person.Update(t.Context(), object(s, before))) },
	}
}

const restartedAt = "kubectl.kubernetes.io/restartedAt"

// restart has another time of the restart at every try.
func restart() shape {
	return shape{
		ask:    kubectl("rollout", "restart", "deployment", "web"),
		redeem: later(kubectl("rollout", "restart", "deployment", "web")),
		landed: func(ctx context.Context, s *story) error {
			if err := s.there(ctx, s.web); err != nil {
				return err
			}
			if s.web.Spec.Template.Annotations[restartedAt] == "" {
				return errors.New("it was not restarted")
			}
			return nil
		},
		after: func(t *testing.T, s *story, used *v1alpha1.ActionApproval) {
			at := s.web.Spec.Template.Annotations[restartedAt]
			if c := used.Spec.Action.Changes; len(c) != 1 || !strings.Contains(c[0].Path, restartedAt) || strings.Contains(c[0].To, at) {
				t.Errorf("the restart at %s was approved as %+v, want another time", at, c)
			}
		},
	}
}

// later takes a route in another second, so that the times which are noted differ. They are exact to the second.
func later(r route) route {
	return func(ctx context.Context, s *story) error {
		timer := time.NewTimer(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
			return r(ctx, s)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
