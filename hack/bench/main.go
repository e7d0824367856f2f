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
	{Name: "people", Title: "What a person's updates take where Countersign is installed", Plays: measurePeople},
	{Name: "admissionpolicies", Title: "The same rules as ValidatingAdmissionPolicies", Plays: measureAdmissionPolicies},
	{Name: "start", Title: "How long it takes until 1,000 policies are enforced", Plays: measureStart},
	{Name: "redeem", Title: "What it takes to act under an approval", Plays: measureRedeem},
	{Name: "refusals", Title: "What an agent costs that repeats what is refused", Plays: measureRefusals},
	{Name: "decisions", Title: "What a decision takes in the operator", Plays: measureDecisions},
	{Name: "guards", Title: "What guards add", Plays: measureGuards},
	{Name: "budgets", Title: "What budgets and guards about what was done add", Plays: measureBudgets},
	{Name: "answers", Title: "What a review takes in the operator, from its body to the answer", Plays: measureAnswers},
	{Name: "policies", Title: "How the operator grows with the number of policies", Plays: measurePolicies},
	{Name: "approvals", Title: "How the operator grows with the number of stored approvals", Plays: measureApprovals},
}
