package policy

// AllReasons are all the reasons that there are, for those who check what somebody has written.
func AllReasons() []Reason {
	return []Reason{
		ChangeWindowClosed, FreezeActive, ActionOutOfScope, NamespaceOutOfScope, ObjectOutOfScope, FieldOutOfScope,
		ServiceAccountOutOfScope, ApprovalUnusable, BudgetExceeded, ApprovalRequired, GuardViolated, GuardFailed,
		HistoryUnknown, ReservedAction, PolicyInvalid, NotReady, Disconnected, DefinitionsChanged, VersionNotPreferred,
		RequestUnreadable, TargetUnknown, InternalError,
	}
}
