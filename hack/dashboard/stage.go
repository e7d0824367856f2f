package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

//go:embed policies.yaml
var policiesText string

//go:embed later.yaml
var laterText string

//go:embed mistakes.yaml
var mistakesText string

// stage is where it all takes place.
type stage struct {
	*testbed.Testbed
	authority *authority
	server    *server
	// alice is a person, who approves.
	alice client.Client
}

const replicas = 2

// newStage installs the chart, with a certificate of an authority that is not the operator's: one of its own the operator
// would renew long before it expires.
func newStage(ctx context.Context, b *measure.Run) (*stage, error) {
	bed, err := testbed.New(ctx, b, testbed.Options{Plane: controlplane.Options{}, Namespaces: []string{"shop", "other"}})
	if err != nil {
		return nil, err
	}
	s := &stage{Testbed: bed}
	if err := s.serve(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) serve(ctx context.Context) error {
	var err error
	if s.alice, err = s.Person(); err != nil {
		return err
	}
	if s.authority, err = newAuthority(); err != nil {
		return err
	}
	if err := s.certify(ctx, 90*24*time.Hour); err != nil {
		return err
	}
	return errors.Join(s.install(ctx), s.Serve(ctx, replicas))
}

func (s *stage) install(ctx context.Context) error {
	return s.Install(ctx, fmt.Sprintf("replicas=%d", replicas),
		"certificates.mode=existing-secret", "certificates.existingSecret="+servingSecret)
}

// certify gives the operator a certificate that is good for so long.
func (s *stage) certify(ctx context.Context, span time.Duration) error {
	secret, err := s.authority.issue(span)
	if err != nil {
		return err
	}
	if err := client.IgnoreNotFound(s.Admin.Delete(ctx, secret.DeepCopy())); err != nil {
		return fmt.Errorf("replacing the certificate: %w", err)
	}
	return s.Create(ctx, secret)
}

// govern puts the policies in force, with windows that open and close within a span from now on.
func (s *stage) govern(ctx context.Context, length time.Duration) error {
	now := time.Now().UTC()
	at := func(part float64) string { return now.Add(time.Duration(part * float64(length))).Format(time.RFC3339) }
	text, err := template.New("policies").Funcs(template.FuncMap{"at": at}).Parse(policiesText)
	if err != nil {
		return fmt.Errorf("reading the policies: %w", err)
	}
	var filled bytes.Buffer
	if err := text.Execute(&filled, nil); err != nil {
		return fmt.Errorf("filling in the policies: %w", err)
	}
	policies, err := readPolicies(filled.String())
	if err != nil {
		return err
	}
	for _, p := range policies {
		if err := s.put(ctx, p); err != nil {
			return err
		}
	}
	return s.waitEnforced(ctx, policies[0].Name)
}

// put has a policy stored once the API server has it checked.
func (s *stage) put(ctx context.Context, p *v1alpha1.AgentActionPolicy) error {
	return measure.Wait(ctx, "policy "+p.Name+" is stored", time.Minute, func(ctx context.Context) error {
		p.ResourceVersion = ""
		return client.IgnoreAlreadyExists(s.Admin.Create(ctx, p))
	})
}

func readPolicies(text string) (all []*v1alpha1.AgentActionPolicy, err error) {
	for documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096); ; {
		p := &v1alpha1.AgentActionPolicy{}
		if err := documents.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading a policy: %w", err)
		}
		all = append(all, p)
	}
}

// waitEnforced waits until all replicas and the API server agree that a policy is enforced.
func (s *stage) waitEnforced(ctx context.Context, name string) error {
	return measure.Wait(ctx, "policy "+name+" is enforced", 2*time.Minute, func(ctx context.Context) error {
		var p v1alpha1.AgentActionPolicy
		if err := s.Admin.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyEnforced); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("its condition is %+v", c)
		}
		return nil
	})
}

// restart brings replicas back that have ended.
func (s *stage) restart(ctx context.Context, ended ...*testbed.Replica) error {
	for _, r := range ended {
		if err := r.Restart(); err != nil {
			return err
		}
	}
	for _, r := range ended {
		if err := r.WaitReady(ctx); err != nil {
			return err
		}
		s.Balancer.Add(r)
	}
	return nil
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}
