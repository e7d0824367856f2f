package v1alpha1

// Conditions of an AgentActionPolicy.
//
//	Ready       the spec is understood as a whole
//	Enforced    it is in force
const (
	// PolicyReady says whether the spec is understood as a whole. While it is False, the operator refuses the subjects
	// what the policy governs.
	//
	// Reasons for True: Compiled. For False: Invalid, UnknownFields.
	PolicyReady = "Ready"
	// PolicyEnforced says whether the policy is in force: the webhook configuration that covers its subjects is
	// stored, every replica of the operator serves this generation, and its canary was refused since. It is about
	// delivery to the webhook whatever the enforcement mode is.
	//
	// Reasons for True: Serving. For False: NotServing, ConfigurationPending, ConfigurationTooLarge, ReplicasPending,
	// CanaryPending, CanaryNotRefused, DefinitionsChanged, UnknownFields.
	PolicyEnforced = "Enforced"
)

// Reasons of the condition Ready of an AgentActionPolicy.
const (
	// ReasonCompiled means that the policy is understood as a whole.
	ReasonCompiled = "Compiled"
	// ReasonInvalid means that the policy has errors; the message lists them.
	ReasonInvalid = "Invalid"
	// ReasonUnknownFields means that the policy has fields that this version of the operator does not know, of a later one;
	// the message names them. It is a reason of the condition Enforced as well.
	ReasonUnknownFields = "UnknownFields"
)

// Reasons of the condition Enforced of an AgentActionPolicy.
const (
	// ReasonServing means that the operator serves this generation to the API server.
	ReasonServing = "Serving"
	// ReasonNotServing means that the operator does not serve this generation yet.
	ReasonNotServing = "NotServing"
	// ReasonConfigurationPending means that the stored webhook configuration does not cover the subjects yet.
	ReasonConfigurationPending = "ConfigurationPending"
	// ReasonReplicasPending means that some replica of the operator still decides with other policies.
	ReasonReplicasPending = "ReplicasPending"
	// ReasonCanaryPending means that the canary was not refused yet since the webhook configuration was stored.
	ReasonCanaryPending = "CanaryPending"
	// ReasonCanaryNotRefused means that the canary is not refused: nobody knows whether agents are.
	ReasonCanaryNotRefused = "CanaryNotRefused"
	// ReasonDefinitionsChanged means that Countersign cannot trust its own kinds: it refuses agents.
	ReasonDefinitionsChanged = "DefinitionsChanged"
	// ReasonConfigurationTooLarge means that the subjects do not fit into the webhook configuration any more.
	ReasonConfigurationTooLarge = "ConfigurationTooLarge"
)

// Conditions of an ActionApproval.
//
//	Decided     False while pending, then True
//	Approved    Unknown/Pending -> True/Approved -> False/Spent|Expired|Revoked|Void
//	            or False/Denied|Expired|NoLongerNeeded
const (
	// ApprovalDecided says whether people have decided.
	//
	// Reasons for True: Approved, Denied. For False: Pending, Expired, NoLongerNeeded.
	ApprovalDecided = "Decided"
	// ApprovalApproved says whether the approval can be used. Its reason is the state in one word.
	//
	// Reasons for True: Approved. For Unknown: Pending. For False: Spent, Expired, Revoked, Void, Denied,
	// NoLongerNeeded.
	ApprovalApproved = "Approved"
)

// Reasons of the conditions of an ActionApproval.
const (
	// ReasonPending means that people have not decided yet.
	ReasonPending = "Pending"
	// ReasonApproved means that the approval can be used.
	ReasonApproved = "Approved"
	// ReasonDenied means that a person refused.
	ReasonDenied = "Denied"
	// ReasonSpent means that every use was made.
	ReasonSpent = "Spent"
	// ReasonExpired means that nobody answered in time, or that the approval was not used in time.
	ReasonExpired = "Expired"
	// ReasonRevoked means that a person took consent back.
	ReasonRevoked = "Revoked"
	// ReasonVoid means that what was approved is no longer what would happen.
	ReasonVoid = "Void"
	// ReasonNoLongerNeeded means that the action may be done without consent by now.
	ReasonNoLongerNeeded = "NoLongerNeeded"
)
