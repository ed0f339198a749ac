package core

import "time"

// Operation names a use case that takes an idempotency key.
type Operation string

const (
	OperationInitiate Operation = "initiate"
	OperationContinue Operation = "continue"
)

// Answer is what was decided under a caller's idempotency key, a refusal
// included: a refused charge that was forgotten could be charged by a repeat
// that the caller has long given up on.
type Answer struct {
	Tenant      TenantID
	Key         Key
	Operation   Operation
	Fingerprint string // of the request; a repeat must have the same
	Run         Run    // as it was answered; zero if refused before there was one
	Refusal     *Error // nil if it succeeded
	At          time.Time
}

// KeyReused refuses a request whose idempotency key belongs to another one.
func KeyReused() error {
	return &Error{Code: CodeIdempotencyKeyReused, Message: "this idempotency key was used for another request; use a new key"}
}

// Replay gives the first answer to a repeat of a request. It fails with
// CodeIdempotencyKeyReused if the repeat asks for something else, and with the
// remembered refusal if the first request was refused.
func (a Answer) Replay(op Operation, fingerprint string) (Run, error) {
	if a.Operation != op || a.Fingerprint != fingerprint {
		return Run{}, KeyReused()
	}
	if a.Refusal != nil {
		return a.Run, a.Refusal
	}
	return a.Run, nil
}
