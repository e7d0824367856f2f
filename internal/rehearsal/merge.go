package rehearsal

import (
	"encoding/json"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/countersign-dev/countersign/internal/action"
)

// lastApplied is where "kubectl apply" keeps what it applied last.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Apply is what "kubectl apply" would make of a live object and a manifest: what the manifest leaves out stays, but for what
// it held when it was applied last. The note of what was applied last is left as it is.
func Apply(live, manifest map[string]any) (map[string]any, error) {
	modified := deepCopy(manifest)
	delete(modified, "status")
	annotations, _ := metadataOf(modified)["annotations"].(map[string]any)
	delete(annotations, lastApplied)
	annotations, _ = metadataOf(deepCopy(live))["annotations"].(map[string]any)
	original, _ := annotations[lastApplied].(string)
	texts := [3][]byte{[]byte(original)}
	for i, object := range []map[string]any{modified, live} {
		text, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("comparing the manifest: %w", err)
		}
		texts[i+1] = text
	}
	merged, err := merge(kindOf(live), texts[0], texts[1], texts[2])
	if err != nil {
		return nil, fmt.Errorf("comparing the manifest with the object: %w", err)
	}
	return action.DecodeObject(merged)
}

// merge goes by what is known about the lists of built-in kinds; of others every list is one value.
func merge(kind schema.GroupVersionKind, original, modified, current []byte) ([]byte, error) {
	typed, err := clientgoscheme.Scheme.New(kind)
	if runtime.IsNotRegisteredError(err) {
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(original, modified, current)
		if err != nil {
			return nil, err
		}
		return jsonpatch.MergePatch(current, patch)
	}
	if err != nil {
		return nil, err
	}
	lists, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(original, modified, current, lists, true)
	if err != nil {
		return nil, err
	}
	return strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, patch, lists)
}

func kindOf(object map[string]any) schema.GroupVersionKind {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	return schema.FromAPIVersionAndKind(version, kind)
}
