package operatortest

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// Replicas are several processes of the operator behind one URL, as the pods behind a Service are: they have one
// certificate and one hash key, and each has its own logs. New connections of the API server go to the living ones in
// turn.
type Replicas struct {
	// URL is where the API server reaches them.
	URL string
	// Operators are the processes, the dead ones included. Restart replaces an entry.
	Operators []*Operator

	kubeconfig, certs string
	flags             []string
	balancer          *balancer
	dead              []*Operator // those that were restarted: their decisions count
}

// StartReplicas runs n processes of the operator against the cluster of a kubeconfig, and waits until all of them
// are ready. They are stopped when the test ends. With --leader-elect and --namespace in the flags one of them does the
// background work, as in an installation; the namespace must exist.
func StartReplicas(tb testing.TB, kubeconfig string, n int, flags ...string) *Replicas {
	tb.Helper()
	r := &Replicas{kubeconfig: kubeconfig, certs: filepath.Join(tb.TempDir(), "certs"), flags: flags}
	ports := make([]int, n)
	addresses := make([]string, n)
	for i := range n {
		ports[i] = FreePort(tb)
		addresses[i] = loopback(ports[i])
	}
	var err error
	if r.balancer, err = newBalancer(addresses...); err != nil {
		tb.Fatal(err)
	}
	r.URL = "https://" + r.balancer.address()
	tb.Cleanup(func() { r.stop(tb) })
	for _, port := range ports {
		r.Operators = append(r.Operators, r.launch(tb, port))
	}
	for _, o := range r.Operators {
		o.waitReady(tb)
	}
	return r
}

func (r *Replicas) launch(tb testing.TB, port int, more ...string) *Operator {
	tb.Helper()
	flags := append([]string{"--cert-dir", r.certs}, r.flags...)
	return launch(tb, r.kubeconfig, r.URL, port, append(flags, more...))
}

// Kill ends a replica at once, as a crash would. Answers of it that were held are lost.
func (r *Replicas) Kill(i int) error {
	err := r.Operators[i].Kill()
	r.balancer.cut(i)
	if err != nil {
		return fmt.Errorf("killing replica %d: %w", i, err)
	}
	return nil
}

// Restart starts a process in the place of one that was killed, and waits until it is ready. More flags are added to
// those of StartReplicas, and win over them. The API server keeps the connections that it has to others: the process is
// asked when new ones are made, as after the death of another.
func (r *Replicas) Restart(tb testing.TB, i int, flags ...string) {
	tb.Helper()
	port := FreePort(tb)
	r.dead = append(r.dead, r.Operators[i])
	r.Operators[i] = r.launch(tb, port, flags...)
	r.balancer.release(i)
	r.balancer.move(i, loopback(port))
	r.Operators[i].waitReady(tb)
}

// HoldAnswers keeps back what a replica answers until Release or Kill, while what it is asked still reaches it. A
// test can so wait for what a review does, and have the API server never hear of it. The API server waits for no
// longer than the timeout of the webhook.
func (r *Replicas) HoldAnswers(i int) { r.balancer.hold(i) }

// Release passes on what HoldAnswers has kept back, and what follows.
func (r *Replicas) Release(i int) { r.balancer.release(i) }

// DecisionLines are the lines with a text in the decision logs of all replicas, the dead ones included.
func (r *Replicas) DecisionLines(tb testing.TB, containing string) []string {
	tb.Helper()
	var lines []string
	for _, o := range slices.Concat(r.dead, r.Operators) {
		lines = append(lines, o.DecisionLines(tb, containing)...)
	}
	return lines
}

// stop ends connections first: an operator that is asked to stop waits for those that are busy.
func (r *Replicas) stop(tb testing.TB) {
	tb.Helper()
	if err := r.balancer.close(); err != nil {
		tb.Errorf("stopping the balancer: %v", err)
	}
	all := slices.Concat(r.dead, r.Operators)
	for _, o := range all {
		o.askToStop(tb)
	}
	for _, o := range all {
		o.waitStopped(tb)
	}
	cleanUp(tb, r.kubeconfig)
}
