package main

import (
	"fmt"
	"os"

	"github.com/countersign-dev/countersign/hack/measure"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == noopCommand {
		if err := serveNoop(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	measure.Main("measurement", measurements)
}

var measurements = []measure.Experiment{
	{Name: "latency", Title: "What an update takes, as the API server and its client see it", Plays: measureLatency},
	{Name: "policies", Title: "How the operator grows with the number of policies", Plays: measurePolicies},
	{Name: "approvals", Title: "How the operator grows with the number of stored approvals", Plays: measureApprovals},
}
