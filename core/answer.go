package core

import "time"

// Operation names a use case that takes an idempotency key.
type Operation string

const (
	OperationInitiate Operation = "initiate"
	OperationContinue Operation = "continue"
)

// Answer is the first answer under a caller's idempotency key, also if it is a refusal.
// Otherwise a late repeat of a refused request, which the caller has given up, could
// still be accepted and charged.
type Answer struct {
	Tenant      TenantID
	Key         Key
	Operation   Operation
	Fingerprint string // of the request; a repeat must have the same
	Run         Run    // as in the first answer; zero if refused before there was one
	Refusal     *Error // nil if it succeeded
	At          time.Time
}

// KeyReused refuses a request whose idempotency key belongs to another one.
func KeyReused() error {
	return &Error{Code: CodeIdempotencyKeyReused, Message: "this idempotency key was used for another request; use a new key"}
}

// Replay gives the first answer to a repeat of a request. It fails with
// CodeIdempotencyKeyReused if the fingerprint is of another request, and with the first
// refusal if the first request was refused.
func (a Answer) Replay(op Operation, fingerprint string) (Run, error) {
	if a.Operation != op || a.Fingerprint != fingerprint {
		return Run{}, KeyReused()
	}
	if a.Refusal != nil {
		return a.Run, a.Refusal
	}
	return a.Run, nil
}
