package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every Countersign kind.
const GroupName = "countersign.dev"

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// AddToScheme registers the types of this package in a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&AgentActionPolicy{}, &AgentActionPolicyList{},
		&ActionApproval{}, &ActionApprovalList{},
		&AgentActivity{}, &AgentActivityList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
