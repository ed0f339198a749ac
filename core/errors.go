package core

import (
	"fmt"
	"strings"
)

// Code names one refusal or failure. It is stable: clients, logs and dashboards
// match on it, so a code is never renamed and never reused for something else.
type Code string

// The codes of spec 9, then those that the other use cases need.
const (
	CodeRunNotFound           Code = "run_not_found"
	CodeWrongTenant           Code = "wrong_tenant"
	CodeRoleNotAllowed        Code = "role_not_allowed"
	CodeRunAlreadyRunning     Code = "run_already_running"
	CodeNoErrorsToRetry       Code = "no_errors_to_retry"
	CodeNothingToRetry        Code = "nothing_to_retry"
	CodeMaxRetryCountExceeded Code = "max_retry_count_exceeded"
	CodeInsufficientCredits   Code = "insufficient_credits"
	CodePriceChanged          Code = "price_changed"
	CodeEnqueueFailed         Code = "enqueue_failed"
	CodeIdempotencyKeyReused  Code = "idempotency_key_reused"
	CodeIdempotencyInProgress Code = "idempotency_in_progress"
	CodeSecretNotRepeated     Code = "secret_not_repeated"
	CodeInvalidRequest        Code = "invalid_request"

	CodeRunNotRunning        Code = "run_not_running"
	CodeFileNotFound         Code = "file_not_found"
	CodeTenantNotFound       Code = "tenant_not_found"
	CodeTenantExists         Code = "tenant_exists"
	CodeTenantSuspended      Code = "tenant_suspended"
	CodeTemplateNotFound     Code = "template_not_found"
	CodeTemplateNotPublished Code = "template_not_published"
	CodeTemplateDeleted      Code = "template_deleted"
	CodeCreditsOutOfRange    Code = "credits_out_of_range"
	CodeChargeNotFound       Code = "charge_not_found"
	CodeRefundTooLarge       Code = "refund_too_large"
	CodePayloadTooLarge      Code = "payload_too_large"
	CodeUploadQuotaExceeded  Code = "upload_quota_exceeded"
	CodeTooManyDownloads     Code = "too_many_downloads"
	CodeAPIKeyNotFound       Code = "api_key_not_found" //nolint:gosec // a code, no credential
	CodeTooManyAPIKeys       Code = "too_many_api_keys" //nolint:gosec // a code, no credential

	CodeBulkNotFound            Code = "bulk_not_found"
	CodeBulkEnded               Code = "bulk_ended"
	CodeBulkEmpty               Code = "bulk_empty"
	CodeBulkTooLarge            Code = "bulk_too_large"
	CodeBulkTooManyNow          Code = "bulk_too_many"
	CodeWebhookEndpointNotFound Code = "webhook_endpoint_not_found"
	CodeWebhookDeliveryNotFound Code = "webhook_delivery_not_found"
	CodeWebhookEndpointPaused   Code = "webhook_endpoint_paused"
	CodeTooManyWebhookEndpoints Code = "too_many_webhook_endpoints"
	CodeWebhooksDisabled        Code = "webhooks_disabled"
	CodeTooManyPings            Code = "too_many_pings"

	// CodeTenantMoved stands in the record of a bulk continue over several tenants, of the
	// runs that it left out.
	CodeTenantMoved Code = "tenant_moved"

	// CodeInternal is a mistake of ours, whose details are in the log.
	CodeInternal Code = "internal"
)

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field   string
	Message string
}

// Error is the one error type of the domain: a stable code, a sentence with what the
// caller can do, and the facts of the case. If a use case returns an Error as a refusal,
// nothing was changed.
//
// Match it with errors.Is against one of the Err… values, which compares only the code,
// or get the facts with errors.As.
type Error struct {
	Code    Code
	Message string

	Run       RunID        // enqueue_failed: the run that stays, for a later Continue
	Files     []int        // max_retry_count_exceeded: indexes of the files that block the retry
	Needed    Credits      // insufficient_credits: the price
	Available Credits      // insufficient_credits: monthly left + purchased; refund_too_large: what can be refunded
	Price     Credits      // price_changed: what it costs now
	Made      string       // secret_not_repeated: the ID of what the first request made
	Fields    []FieldError // invalid_request, payload_too_large: one per offending field or file

	Err error // what caused it, for logs; never shown to a client
}

// Values to compare with errors.Is.
var (
	ErrRunNotFound           = &Error{Code: CodeRunNotFound}
	ErrWrongTenant           = &Error{Code: CodeWrongTenant}
	ErrRoleNotAllowed        = &Error{Code: CodeRoleNotAllowed}
	ErrRunAlreadyRunning     = &Error{Code: CodeRunAlreadyRunning}
	ErrNoErrorsToRetry       = &Error{Code: CodeNoErrorsToRetry}
	ErrNothingToRetry        = &Error{Code: CodeNothingToRetry}
	ErrMaxRetryCountExceeded = &Error{Code: CodeMaxRetryCountExceeded}
	ErrInsufficientCredits   = &Error{Code: CodeInsufficientCredits}
	ErrPriceChanged          = &Error{Code: CodePriceChanged}
	ErrEnqueueFailed         = &Error{Code: CodeEnqueueFailed}
	ErrIdempotencyKeyReused  = &Error{Code: CodeIdempotencyKeyReused}
	ErrIdempotencyInProgress = &Error{Code: CodeIdempotencyInProgress}
	ErrSecretNotRepeated     = &Error{Code: CodeSecretNotRepeated}
	ErrInvalidRequest        = &Error{Code: CodeInvalidRequest}
	ErrFileNotFound          = &Error{Code: CodeFileNotFound}
	ErrRunNotRunning         = &Error{Code: CodeRunNotRunning}
	ErrTenantNotFound        = &Error{Code: CodeTenantNotFound}
	ErrTenantExists          = &Error{Code: CodeTenantExists}
	ErrTenantSuspended       = &Error{Code: CodeTenantSuspended}
	ErrTemplateNotFound      = &Error{Code: CodeTemplateNotFound}
	ErrTemplateNotPublished  = &Error{Code: CodeTemplateNotPublished}
	ErrTemplateDeleted       = &Error{Code: CodeTemplateDeleted}
	ErrCreditsOutOfRange     = &Error{Code: CodeCreditsOutOfRange}
	ErrChargeNotFound        = &Error{Code: CodeChargeNotFound}
	ErrRefundTooLarge        = &Error{Code: CodeRefundTooLarge}
	ErrPayloadTooLarge       = &Error{Code: CodePayloadTooLarge}
	ErrUploadQuotaExceeded   = &Error{Code: CodeUploadQuotaExceeded}
	ErrTooManyDownloads      = &Error{Code: CodeTooManyDownloads}
	ErrAPIKeyNotFound        = &Error{Code: CodeAPIKeyNotFound}
	ErrTooManyAPIKeys        = &Error{Code: CodeTooManyAPIKeys}

	ErrBulkNotFound            = &Error{Code: CodeBulkNotFound}
	ErrBulkEnded               = &Error{Code: CodeBulkEnded}
	ErrBulkEmpty               = &Error{Code: CodeBulkEmpty}
	ErrBulkTooLarge            = &Error{Code: CodeBulkTooLarge}
	ErrBulkTooManyNow          = &Error{Code: CodeBulkTooManyNow}
	ErrWebhookEndpointNotFound = &Error{Code: CodeWebhookEndpointNotFound}
	ErrWebhookDeliveryNotFound = &Error{Code: CodeWebhookDeliveryNotFound}
	ErrWebhookEndpointPaused   = &Error{Code: CodeWebhookEndpointPaused}
	ErrTooManyWebhookEndpoints = &Error{Code: CodeTooManyWebhookEndpoints}
	ErrWebhooksDisabled        = &Error{Code: CodeWebhooksDisabled}
	ErrTooManyPings            = &Error{Code: CodeTooManyPings}
)

// Error gives the code, the sentence and, for logs, the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Field, f.Message)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause, so that the original error of a failed dispatch can
// still be matched by the caller.
func (e *Error) Unwrap() error { return e.Err }

// Is compares codes, so that errors.Is(err, ErrInsufficientCredits) holds for any amounts.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Invalid collects field errors of a request; nil if there are none.
func Invalid(fields ...FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalidRequest, Message: "the request is not valid; correct the fields named in errors", Fields: fields}
}

// InvalidField is Invalid for a single field.
func InvalidField(field, format string, args ...any) error {
	return Invalid(FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}
