package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

// applyManager is the field manager of kubectl apply --server-side: what is asked for is what that command will do.
const applyManager = "kubectl"

// askForActions asks for what applying files would do, one object after another.
func (r *asking) askForActions(ctx context.Context) ([]*v1alpha1.ActionApproval, error) {
	client, err := r.e.approvals()
	if err != nil {
		return nil, err
	}
	namespace, err := r.e.Namespace()
	if err != nil {
		return nil, err
	}
	served, err := r.e.Flags.ToDiscoveryClient()
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if _, err := served.ServerGroups(); err != nil { // whoever reads the files would say less of it
		return nil, fmt.Errorf("asking what the API server serves: %w", err)
	}
	infos, err := resource.NewBuilder(r.e.Flags).Unstructured().ContinueOnError().NamespaceParam(namespace).DefaultNamespace().
		FilenameParam(false, &r.files).Flatten().Do().Infos()
	if err != nil {
		return nil, fmt.Errorf("reading the files: %w", err)
	}
	var (
		opened   []*v1alpha1.ActionApproval
		unasked  int
		rejected error
	)
	for _, info := range infos {
		a, err := r.askForAction(ctx, client, info)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			r.e.Warnf("%s", terminal.CleanLines(refused.Error()))
			if refused.asks && refused.approval == "" {
				unasked++
			} else {
				rejected = exitWith(exitDenied, "")
			}
		case err != nil:
			return opened, err
		case a != nil:
			opened = append(opened, a)
		}
	}
	switch {
	case rejected != nil || unasked == 0:
	case r.send:
		return opened, exitWith(exitFailed, "nothing was asked: no request could be opened")
	default:
		return opened, exitWith(exitFailed, "nothing was asked: give --send to send it for real, so that the refusal opens a request")
	}
	return opened, rejected
}

// askForAction asks for what applying one object would do. Nil, without an error: nothing has to be asked.
func (r *asking) askForAction(ctx context.Context, client *approvals, info *resource.Info) (*v1alpha1.ActionApproval, error) {
	what := info.ResourceMapping().Resource.Resource + "/" + info.Name
	err := r.apply(info, true)
	refused := refusalOf(err)
	switch {
	case err == nil:
		r.e.Printf("%s needs no consent now: nothing was asked, and nothing was done\n", terminal.Clean(what))
		return nil, nil
	case refused == nil:
		return nil, fmt.Errorf("applying %s in a dry run: %w", what, err)
	case refused.asks && refused.approval == "" && r.send:
		if err = r.apply(info, false); err == nil {
			r.e.Warnf("%s was carried out: it needed no consent any more when it was sent", terminal.Clean(what))
			return nil, nil
		}
		if refused = refusalOf(err); refused == nil {
			return nil, fmt.Errorf("applying %s: %w", what, err)
		}
	}
	if !refused.asks || refused.approval == "" {
		return nil, refused
	}
	return r.found(ctx, client, refused)
}

// found is the request that a refusal names. It gets the justification.
func (r *asking) found(ctx context.Context, client *approvals, refused *refusal) (*v1alpha1.ActionApproval, error) {
	namespace, name, _ := strings.Cut(refused.approval, "/")
	a, err := client.get(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if r.e.stateOf(a).Terminal() {
		return nil, refused // people denied it, and that holds
	}
	var failure error
	if r.justification != "" && r.justification != a.Spec.Justification {
		anyState := a.DeepCopy() // the operator writes its status in these moments
		anyState.ResourceVersion = ""
		justified, err := client.patch(ctx, anyState, map[string]any{"justification": r.justification}, false)
		if err != nil {
			failure = fmt.Errorf("it is asked, but without the justification: %w", err)
		} else {
			a = justified
		}
	}
	if err := r.report(a, "asked", "repeat: kubectl apply --server-side -f "+strings.Join(r.files.Filenames, ",")); err != nil {
		return nil, err
	}
	return a, failure
}

// apply does what kubectl apply --server-side does.
func (r *asking) apply(info *resource.Info, dryRun bool) error {
	object, ok := info.Object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%s holds a %T", info.Source, info.Object)
	}
	content, err := runtime.Encode(unstructured.UnstructuredJSONScheme, object)
	if err != nil {
		return fmt.Errorf("writing %s: %w", info.Name, err)
	}
	helper := resource.NewHelper(info.Client, info.Mapping).DryRun(dryRun).WithFieldManager(applyManager)
	_, err = helper.Patch(info.Namespace, info.Name, types.ApplyPatchType, content, &metav1.PatchOptions{Force: &r.force})
	return err
}

// refusal is an answer of Countersign.
type refusal struct {
	message string
	// asks says that consent would help, approval is the request that is named, as namespace/name.
	asks     bool
	approval string
}

func (r *refusal) Error() string { return r.message }

var (
	webhookPrefix = regexp.MustCompile(`^.*admission webhook "[^"]*" denied the request: `)
	refusalTail   = regexp.MustCompile(`\n?\[countersign decision=(\w+) [^\]]*\]\s*$`)
	approvalName  = regexp.MustCompile(` approval=([^ /\]]+/[^ \]]+)`)
)

// refusalOf reads the answer of Countersign out of an error; nil where it is another one. The message leaves out what the
// API server writes before it, and the line for programs.
func refusalOf(err error) *refusal {
	if err == nil {
		return nil
	}
	text := err.Error()
	tail := refusalTail.FindStringSubmatch(text)
	if tail == nil {
		return nil
	}
	text = webhookPrefix.ReplaceAllString(strings.TrimSuffix(text, tail[0]), "")
	r := &refusal{message: text, asks: tail[1] == string(v1alpha1.RequireApproval)}
	if named := approvalName.FindStringSubmatch(tail[0]); named != nil {
		r.approval = named[1]
	}
	return r
}
