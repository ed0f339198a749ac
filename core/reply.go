package core

import "time"

// Operations that take an idempotency key and remember a Reply. Their names are stored.
const (
	OperationCancel          Operation = "cancel"
	OperationCreateTemplate  Operation = "create_template"
	OperationPublishTemplate Operation = "publish_template"
	OperationCreateTenant    Operation = "create_tenant"
	OperationSuspendTenant   Operation = "suspend_tenant"
	OperationReopenTenant    Operation = "reopen_tenant"
	OperationPingWebhook     Operation = "ping_webhook"
	OperationRedeliver       Operation = "redeliver_webhook"
)

// Reply is the first answer of an operation under a caller's idempotency key. Unlike an
// Answer it belongs to its operation, which may use the same key as another one, and it is
// forgotten after a time: it is for what moves no credits by itself, or what has an entry of
// its own in the ledger, whose key is kept for ever.
type Reply struct {
	Tenant      TenantID
	Operation   Operation
	Key         Key
	Fingerprint string // of the request; a repeat must have the same
	Result      []byte // JSON of what the operation gave; nil if it was refused
	Refusal     *Error // nil if it succeeded
	At          time.Time
}

// InProgress refuses a repeat that came while the first request under its idempotency key is
// still being decided.
func InProgress() error {
	return &Error{Code: CodeIdempotencyInProgress, Message: "the first request with this idempotency key is not answered yet; send this one again in a moment, under the same key"}
}
