package main

// Commands that the agent is refused, and that a person then does.
const (
	elsewhere = "kubectl -n other set image deployment/web web=shop/web:1.3"
	env       = "kubectl -n shop set env deployment/web DEBUG=1"
	label     = "kubectl -n shop label deployment/web tier=gold"
	both      = `kubectl -n shop patch deployment/web -p '{"spec": {"replicas": 5,
    "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:1.4"}]}}}}'`
	scale     = "kubectl -n shop scale deployment/web --replicas=4"
	restart   = "kubectl -n shop rollout restart deployment/web"
	token     = "kubectl -n shop create token default"
	evict     = "kubectl create --raw /api/v1/namespaces/shop/pods/db-0/eviction -f eviction.json"
	deletePod = "kubectl -n shop delete pod db-1"
	deleteAll = "kubectl -n other delete deployment web"
)

func beyond() []step {
	return []step{
		{who: admin, title: "The window is open again.", vital: true,
			run: applied("shop-deploy-bot.yaml", "aap/shop-deploy-bot"), want: passing("configured", "condition met")},
		{who: deployBot, title: "Another namespace.", run: elsewhere,
			want: refusal("namespace other is outside task roll-images, which covers shop", "reasons=NamespaceOutOfScope")},
		{who: deployBot, title: "Another field.", run: env,
			want: refusal("spec.template.spec.containers[name=web].env", "reasons=FieldOutOfScope")},
		{who: deployBot, title: "A label.", run: label,
			want: refusal("metadata.labels", "reasons=FieldOutOfScope")},
		{who: deployBot, title: "An image and replicas: the answer says what would pass.", run: both,
			want: refusal("spec.replicas is outside", "next: NARROW to spec.template.spec.containers[*].image")},
		{who: deployBot, title: "Scaling is a change of the Deployment.", run: scale,
			want: refusal("may not update deployment shop/web", "spec.replicas")},
		{who: deployBot, title: "A restart changes an annotation of the pods.", run: restart,
			want: refusal("restartedAt", "reasons=FieldOutOfScope")},
		{who: deployBot, title: "A shell in a pod.", run: "kubectl -n shop exec db-0 -- sh",
			want: refusal("may not exec into pod shop/db-0", "reasons=ActionOutOfScope")},
		{who: deployBot, title: "A token of another account.", run: token,
			want: refusal("serviceaccount shop/default")},
		{who: deployBot, title: "An eviction, as kubectl drain asks for it, is a deletion.", run: evict,
			want: refusal("may not delete pod shop/db-0")},
		{who: deployBot, title: "Deleting a pod.", run: deletePod,
			want: refusal("may not delete pod shop/db-1")},
		{who: deployBot, title: "Deleting a Deployment.", run: deleteAll,
			want: refusal("may not delete deployment other/web")},
	}
}

// callCount asks the API server how often it has called Countersign about actions.
const callCount = `kubectl get --raw /metrics | \
    awk '/^apiserver_admission_webhook_request_total.*"(enforce|observe)/ {calls += $2}
    END {print calls, "calls to Countersign"}'`

func people() []step {
	steps := []step{{who: admin, title: "The API server counts its calls to Countersign.", run: callCount,
		want: want{outcome: passes, says: []string{"calls to Countersign"}, remember: "calls"}}}
	for _, did := range []struct{ title, run, says string }{
		{"Another namespace.", elsewhere, "image updated"},
		{"Another field.", env, "env updated"},
		{"A label.", label, "labeled"},
		{"An image and replicas.", both, "patched"},
		{"Scaling.", scale, "scaled"},
		{"A restart.", restart, "restarted"},
		{"An eviction.", evict, "Success"},
		{"Deleting a pod.", deletePod, "deleted"},
		{"Deleting a Deployment.", deleteAll, "deleted"},
	} {
		steps = append(steps, step{who: alice, title: did.title, run: did.run, want: passing(did.says)})
	}
	return append(steps, step{who: admin, title: "Not one call more: nobody asked, nobody waited.", run: callCount,
		want: want{outcome: passes, same: "calls"}})
}
