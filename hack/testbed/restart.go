package testbed

import "os/exec"

// Restart starts a replica that has ended again, with the same addresses, certificates and arguments, as a kubelet
// restarts a container. Its log begins anew.
func (r *Replica) Restart() error {
	<-r.done
	command := exec.Command(r.command.Path, r.command.Args[1:]...)
	command.Env = r.command.Env
	r.command, r.done = command, make(chan struct{})
	return r.start()
}
