package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

const certSecret = "countersign-webhook-cert"

// playRotate has the operator make a new authority and certificate, again and again: taking the authority out of the
// Secret is what its documents say to do when a key may be known to others.
func playRotate(ctx context.Context, b *measure.Run) error {
	s, l, err := underAgentLoad(ctx, b, 3, "replicas=3")
	if err != nil {
		return err
	}
	defer s.Close()
	worker, err := s.Agent(ctx, "worker")
	if err != nil {
		return err
	}
	began := time.Now()
	var crowds []measure.Series
	var everywhere []time.Duration
	rotated := b.Rounds(3)
	for range rotated {
		took, err := s.rotate(ctx)
		if err != nil {
			return err
		}
		everywhere = append(everywhere, took)
		// A new certificate is seen by new connections only: have the API server need more of them.
		crowd, err := s.writer(ctx, worker, "shop", "crowd", 24, 300*time.Millisecond)
		if err != nil {
			return err
		}
		crowd.Begin(ctx)
		err = measure.Pause(ctx, b.Phase(5*time.Second))
		crowd.End()
		if err != nil {
			return err
		}
		crowds = append(crowds, crowd.Between(began, time.Now()))
	}
	l.end()
	r := b.Report
	r.Settingf("three replicas, authority and certificate replaced %d times; %d writes of an agent, %d of a person meanwhile",
		rotated, l.agent.Between(began, time.Now()).N(), l.person.Between(began, time.Now()).N())
	l.claimUndisturbed(r, began, time.Now())
	r.None("nor any by new connections after each replacement", measure.Join(crowds))
	r.Figure("until all replicas serve a new certificate", "%s", measure.Times(everywhere))
	return nil
}

// rotate takes the authority out of the Secret, and waits until every replica serves a certificate of another one, that
// the API server is told to trust.
func (s *stage) rotate(ctx context.Context) (time.Duration, error) {
	key := client.ObjectKey{Namespace: testbed.Namespace, Name: certSecret}
	var secret corev1.Secret
	if err := s.Admin.Get(ctx, key, &secret); err != nil {
		return 0, fmt.Errorf("reading the Secret: %w", err)
	}
	old := secret.Data["tls.crt"]
	began := time.Now()
	without := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/data/ca.crt"},{"op":"remove","path":"/data/ca.key"}]`))
	if err := s.Admin.Patch(ctx, &secret, without); err != nil {
		return 0, fmt.Errorf("taking the authority away: %w", err)
	}
	err := measure.Wait(ctx, "all replicas serve a new certificate, and it is trusted", 2*time.Minute, func(ctx context.Context) error {
		if err := s.Admin.Get(ctx, key, &secret); err != nil {
			return err
		}
		if bytes.Equal(secret.Data["tls.crt"], old) || len(secret.Data["ca.crt"]) == 0 {
			return errors.New("the Secret has the old one")
		}
		for _, r := range s.Replicas {
			if err := serves(ctx, r, secret.Data["tls.crt"], secret.Data["tls.key"]); err != nil {
				return err
			}
		}
		return s.trusts(ctx, secret.Data["ca.crt"])
	})
	return time.Since(began), err
}

// serves is an error unless a replica answers with a certificate.
func serves(ctx context.Context, r *testbed.Replica, cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is compared below
	conn, err := dialer.DialContext(ctx, "tcp", r.Webhook)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	secured, ok := conn.(*tls.Conn)
	if !ok || !bytes.Equal(secured.ConnectionState().PeerCertificates[0].Raw, pair.Certificate[0]) {
		return fmt.Errorf("%s serves another certificate", r.Name)
	}
	return nil
}

// trusts is an error unless the API server is told to trust an authority.
func (s *stage) trusts(ctx context.Context, authority []byte) error {
	var stored admissionregistrationv1.ValidatingWebhookConfiguration
	if err := s.Admin.Get(ctx, client.ObjectKey{Name: "countersign-actions"}, &stored); err != nil {
		return err
	}
	for i := range stored.Webhooks {
		if !bytes.Contains(stored.Webhooks[i].ClientConfig.CABundle, bytes.TrimSpace(authority)) {
			return errors.New("the webhook configuration does not hold the new authority")
		}
	}
	return nil
}
