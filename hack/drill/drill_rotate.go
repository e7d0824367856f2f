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
)

const certSecret = "countersign-webhook-cert"

// playRotate has the operator make a new authority and certificate, again and again: taking the authority out of the
// Secret is what its documents say to do when a key may be known to others.
func playRotate(ctx context.Context, b *bench) error {
	s, l, err := b.underAgentLoad(ctx, 3, "replicas=3")
	if err != nil {
		return err
	}
	defer s.close()
	worker, err := s.agent(ctx, "worker")
	if err != nil {
		return err
	}
	began := time.Now()
	var crowds []series
	var everywhere []time.Duration
	rotated := b.rounds(3)
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
		crowd.begin(ctx)
		err = pause(ctx, b.phase(5*time.Second))
		crowd.end()
		if err != nil {
			return err
		}
		crowds = append(crowds, crowd.between(began, time.Now()))
	}
	l.end()
	r := b.report
	r.settingf("three replicas, authority and certificate replaced %d times; %d writes of an agent, %d of a person meanwhile",
		rotated, l.agent.between(began, time.Now()).n(), l.person.between(began, time.Now()).n())
	l.claimUndisturbed(r, began, time.Now())
	r.none("nor any by new connections after each replacement", join(crowds))
	r.figure("until all replicas serve a new certificate", "%s", times(everywhere))
	return nil
}

// rotate takes the authority out of the Secret, and waits until every replica serves a certificate of another one, that
// the API server is told to trust.
func (s *stage) rotate(ctx context.Context) (time.Duration, error) {
	key := client.ObjectKey{Namespace: namespace, Name: certSecret}
	var secret corev1.Secret
	if err := s.admin.Get(ctx, key, &secret); err != nil {
		return 0, fmt.Errorf("reading the Secret: %w", err)
	}
	old := secret.Data["tls.crt"]
	began := time.Now()
	without := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/data/ca.crt"},{"op":"remove","path":"/data/ca.key"}]`))
	if err := s.admin.Patch(ctx, &secret, without); err != nil {
		return 0, fmt.Errorf("taking the authority away: %w", err)
	}
	err := wait(ctx, "all replicas serve a new certificate, and it is trusted", 2*time.Minute, func(ctx context.Context) error {
		if err := s.admin.Get(ctx, key, &secret); err != nil {
			return err
		}
		if bytes.Equal(secret.Data["tls.crt"], old) || len(secret.Data["ca.crt"]) == 0 {
			return errors.New("the Secret has the old one")
		}
		for _, r := range s.replicas {
			if err := r.serves(ctx, secret.Data["tls.crt"], secret.Data["tls.key"]); err != nil {
				return err
			}
		}
		return s.trusts(ctx, secret.Data["ca.crt"])
	})
	return time.Since(began), err
}

// serves is an error unless a replica answers with a certificate.
func (r *replica) serves(ctx context.Context, cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is compared below
	conn, err := dialer.DialContext(ctx, "tcp", r.webhook)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	secured, ok := conn.(*tls.Conn)
	if !ok || !bytes.Equal(secured.ConnectionState().PeerCertificates[0].Raw, pair.Certificate[0]) {
		return fmt.Errorf("%s serves another certificate", r.name)
	}
	return nil
}

// trusts is an error unless the API server is told to trust an authority.
func (s *stage) trusts(ctx context.Context, authority []byte) error {
	var stored admissionregistrationv1.ValidatingWebhookConfiguration
	if err := s.admin.Get(ctx, client.ObjectKey{Name: "countersign-actions"}, &stored); err != nil {
		return err
	}
	for i := range stored.Webhooks {
		if !bytes.Contains(stored.Webhooks[i].ClientConfig.CABundle, bytes.TrimSpace(authority)) {
			return errors.New("the webhook configuration does not hold the new authority")
		}
	}
	return nil
}
