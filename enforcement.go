package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/naming"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/webhooks"
)

// addCanary has every replica find out whether agents are refused.
func (op *operator) addCanary() error {
	account := canary.AccountFor(op.self, op.canaryUsername(), op.canaryNamespace())
	write, err := canary.Writer(op.mgr.GetConfig(), account)
	if err != nil {
		return err
	}
	op.canary = canary.New(write, op.clock)
	if err := op.mgr.Add(op.canary); err != nil {
		return fmt.Errorf("adding the canary: %w", err)
	}
	if err := op.mgr.Add(&controllers.CanaryAlarm{Cache: op.mgr.GetCache(), Canary: op.canary}); err != nil {
		return fmt.Errorf("adding what wakes the canary: %w", err)
	}
	return nil
}

// addLevel has every replica find out the level of protection, as the canary.
func (op *operator) addLevel() error {
	binding := ""
	if op.admissionPolicy {
		binding = protection.PolicyName
	}
	account := canary.AccountFor(op.self, op.canaryUsername(), op.canaryNamespace())
	probe, err := canary.NewProbe(op.mgr.GetConfig(), account, controllers.ActionsConfiguration, binding)
	if err != nil {
		return err
	}
	op.level = &controllers.LevelWatch{
		Cache: op.mgr.GetCache(), Clock: op.clock, Elected: op.mgr.Elected(), Changed: make(chan event.GenericEvent, 1),
		Recorder: op.mgr.GetEventRecorder("countersign"),
		Ask: func(ctx context.Context) protection.Answers {
			answers := probe.Ask(ctx)
			status := op.canary.Status()
			answers.Enforced, answers.Undecided = status.Up, !status.Up && !status.Down
			return answers
		},
	}
	op.canary.OnChange(op.level.Wake)
	if err := op.mgr.Add(op.level); err != nil {
		return fmt.Errorf("adding what finds out the level of protection: %w", err)
	}
	return nil
}

// addHeartbeat has every replica tell that it lives, and notice when it does not reach the API server.
func (op *operator) addHeartbeat() error {
	op.contact = heartbeat.NewContact(op.clock)
	heart := heartbeat.New(op.beater(), op.contact, op.clock)
	op.registry.OnUpdate(func([]string) { heart.News() })
	op.canary.OnChange(heart.News)
	if err := op.mgr.Add(heart); err != nil {
		return fmt.Errorf("adding the heartbeat: %w", err)
	}
	return nil
}

// beater renews a Lease or, where there is no namespace for one and so no other replica, reads something that is stored.
func (op *operator) beater() heartbeat.Beater {
	if op.namespace == "" {
		return heartbeat.Probe(func(ctx context.Context) error {
			configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			key := client.ObjectKey{Name: controllers.ActionsConfiguration}
			return client.IgnoreNotFound(op.mgr.GetAPIReader().Get(ctx, key, configuration))
		})
	}
	return &heartbeat.Lease{
		Client: op.mgr.GetClient(), Clock: op.clock, Tell: op.tell,
		Key: client.ObjectKey{Namespace: op.namespace, Name: replicaName()},
	}
}

// maxHost bounds how much of the host's name is in that of a replica's Lease.
const maxHost = 63

// replicaName is not that of any other process: hosts may be called alike, and containers restart.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return strings.Join([]string{"countersign", naming.Readable(host, maxHost), naming.Suffix(5, string(uuid.NewUUID()))}, "-")
}

// tell is what the heartbeat says.
func (op *operator) tell() map[string]string {
	annotations := map[string]string{
		heartbeat.VersionAnnotation: version, heartbeat.PoliciesAnnotation: stateOf(op.registry.Set()),
		heartbeat.CanaryAnnotation: heartbeat.CanaryUnknown,
	}
	switch status := op.canary.Status(); {
	case status.Down:
		annotations[heartbeat.CanaryAnnotation] = heartbeat.CanaryDown + ": " + string(status.Outcome)
	case status.Up:
		annotations[heartbeat.CanaryAnnotation] = heartbeat.CanaryUp
	}
	return annotations
}

func stateOf(set *policy.Set) string {
	if set == nil {
		return ""
	}
	return set.State()
}

// addReplicas has the leader follow the heartbeats of the others. Without a namespace there are none.
func (op *operator) addReplicas() error {
	op.replicas = &heartbeat.Replicas{
		Cache: op.mgr.GetCache(), Client: op.mgr.GetClient(), Clock: op.clock,
		Own: func() string { return stateOf(op.registry.Set()) },
	}
	if op.namespace == "" {
		return nil
	}
	if err := op.mgr.Add(op.replicas); err != nil {
		return fmt.Errorf("adding what follows replicas: %w", err)
	}
	return nil
}

// onEnforcement calls f whenever the canary or the replicas have something new to say.
func (op *operator) onEnforcement(f func()) {
	op.canary.OnChange(f)
	op.replicas.OnChange(f)
	op.definitions.OnChange(func(*unstructured.Unstructured, string) { f() })
}

// addDefinitions has every replica look whether Countersign's kinds are what they must be.
func (op *operator) addDefinitions() error {
	c, err := dynamic.NewForConfigAndClient(op.mgr.GetConfig(), op.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a dynamic client: %w", err)
	}
	if op.definitions, err = definitions.New(c); err != nil {
		return err
	}
	recorder := op.mgr.GetEventRecorder("countersign")
	op.definitions.OnChange(func(changed *unstructured.Unstructured, problem string) {
		if problem != "" {
			recorder.Eventf(changed, nil, corev1.EventTypeWarning, "DefinitionsChanged", "Verify", "agents are refused: %s", problem)
		}
	})
	if err := op.mgr.Add(op.definitions); err != nil {
		return fmt.Errorf("adding what watches over definitions: %w", err)
	}
	return nil
}

// reliance is what decisions may rely on.
func (op *operator) reliance() webhooks.Trust {
	return webhooks.Trust{
		Decide:    func() error { return cmp.Or(op.contact.Err(), op.definitions.Err()) },
		Approvals: op.definitions.ApprovalsErr, Activities: op.definitions.ActivitiesErr,
	}
}
