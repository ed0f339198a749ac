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
	OperationRefund          Operation = "refund"
	OperationBulkContinue    Operation = "bulk_continue"
	OperationMakeAPIKey      Operation = "make_api_key"
	OperationMakeWebhook     Operation = "create_webhook_endpoint"
	OperationRotateWebhook   Operation = "rotate_webhook_secret"
)

// Reply is the first answer of an operation under a caller's idempotency key. Unlike an
// Answer it belongs to its operation, which may use the same key as another one, and it is
// forgotten after a time: it is for what moves no credits by itself, or what has an entry of
// its own in the ledger, whose key is kept for ever. That of a bulk continue that was made is
// kept for ever (Forever).
type Reply struct {
	Tenant      TenantID
	Operation   Operation
	Key         Key
	Fingerprint string // of the request; a repeat must have the same
	Result      []byte // JSON of what the operation gave; nil if it was refused
	Refusal     *Error // nil if it succeeded
	At          time.Time
}

// Forever reports whether it is never forgotten: a bulk continue charges, run by run, and
// the ledger knows nothing of its key. Stores have the same rule in SQL.
func (r Reply) Forever() bool { return r.Operation == OperationBulkContinue && r.Refusal == nil }

// InProgress refuses a repeat that came while the first request under its idempotency key is
// still being decided.
func InProgress() error {
	return &Error{Code: CodeIdempotencyInProgress, Message: "the first request with this idempotency key is not answered yet; send this one again in a moment, under the same key"}
}

// SecretNotRepeated refuses a repeat of what was done and had a secret in its answer that
// cannot be given again: made names what it was done to, and why says what became of the
// secret and what to do.
func SecretNotRepeated(made, why string) error {
	return &Error{Code: CodeSecretNotRepeated, Made: made, Message: why}
}
