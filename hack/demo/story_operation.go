package main

func watching() []step {
	return []step{
		{who: admin, title: "Two new agents: one is audited, one is warned.", vital: true,
			run:  applied("newcomers.yaml", "aap/reporter aap/janitor"),
			want: passing("reporter condition met", "janitor condition met")},
		{who: janitor, title: "Warn: it passes, and says what will be refused one day.", patient: true,
			run:  "kubectl -n shop annotate deployment/web swept=yes --dry-run=server",
			want: passing("Warning: policy janitor would refuse this: change window closed", "annotated (server dry run)")},
		{who: janitor, title: "So does the real thing.",
			run:  "kubectl -n shop annotate deployment/web swept=yes",
			want: passing("Warning: policy janitor would refuse this", "annotated")},
		{who: reporter, title: "Audit: passes, and the agent notices nothing.",
			run:  "kubectl -n shop annotate deployment/web report=weekly",
			want: want{outcome: passes, says: []string{"annotated"}, hushes: []string{"Warning"}}},
		{who: admin, title: "The decision log says what would have been refused.", patient: true,
			run:  "tail -n 1 " + decisionLog + ` | grep -o '"changes".*'`,
			want: passing(`"weekly`, `"outcome":"Allow"`, `"policy":"reporter"`, "ActionOutOfScope")},
		{who: admin, title: "The API server's audit log says it as well.", patient: true,
			run: `grep '"username":"system:serviceaccount:ci:reporter"' audit.log | tail -n 1 |
    grep -oE '"observe[^"]*": *"[^"]*"'`,
			want: passing(`"observe.countersign.dev/decision":"Allow"`, `"observe.countersign.dev/observed":"reporter=Deny"`)},
	}
}

func writing() []step {
	return []step{
		{who: admin, title: "All mistakes at once, each with its place.",
			run: "kubectl apply -f mistakes.yaml",
			want: want{outcome: refused, says: []string{"spec.timeZone", "Europe/Berlim", "spec.windows[1].cron",
				"spec.changeWindows.allowed[0]", "nigths", "spec.tasks[0].scope.fields[0]"}}},
		{who: admin, title: "What is in force.", run: "kubectl get aap --output wide",
			want: passing("shop-deploy-bot   Enforce", "reporter          Audit", "janitor           Warn")},
		{who: admin, title: "What a field means.", run: "kubectl explain aap.spec.outOfScope",
			want: passing("Omitted: Deny")},
	}
}

func failing(o *operator) []step {
	const roll = "kubectl -n shop set image deployment/web web=shop/web:1.5"
	return []step{
		{who: admin, title: "So far its rights have sufficed.",
			run: "grep forbidden operator.log || echo none", want: passing("none")},
		{who: theOperator, title: "The operator is gone.", run: "kill %1", do: o.stop, want: passing()},
		{who: deployBot, title: "The agent is refused even what its task allows.", run: roll,
			want: want{outcome: refused, says: []string{`failed calling webhook "enforce.countersign.dev"`}}},
		{who: alice, title: "Alice does not notice.", run: "kubectl -n shop scale deployment/web --replicas=2",
			want: passing("scaled")},
		{who: reporter, title: "Nor does an agent that is only watched.",
			run: "kubectl -n shop annotate deployment/web report=monthly --overwrite", want: passing("annotated")},
		{who: theOperator, title: "It comes back.", run: o.line() + " &", do: o.start, want: passing(), vital: true},
		{who: deployBot, title: "So does the agent.", run: roll, want: passing("image updated")},
		{who: deployBot, title: "The rollout completes.",
			run: "kubectl -n shop rollout status deployment/web", want: passing("successfully rolled out")},
	}
}

func leaving(o *operator) []step {
	return []step{
		{who: admin, title: "Helm uninstalls the chart while policies still stand.", vital: true,
			run: "helm uninstall countersign --namespace " + namespace, want: passing("uninstalled")},
		{who: admin, title: "The webhook configurations go with it.", patient: true,
			run: "kubectl get validatingwebhookconfigurations", want: passing("No resources found")},
		{who: theOperator, title: "The operator ends, as its pod would.", run: "kill %1", do: o.stop, want: passing()},
		{who: deployBot, title: "Nothing governs the agent any more, RBAC alone decides.", patient: true,
			run: "kubectl -n shop scale deployment/web --replicas=3", want: passing("scaled")},
	}
}
