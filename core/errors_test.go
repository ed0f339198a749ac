package core_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Clients depend on the codes, so the test repeats them.
func TestErrorCodes(t *testing.T) {
	t.Parallel()
	codes := map[string]*core.Error{
		"run_not_found": core.ErrRunNotFound, "wrong_tenant": core.ErrWrongTenant,
		"role_not_allowed": core.ErrRoleNotAllowed, "run_already_running": core.ErrRunAlreadyRunning,
		"no_errors_to_retry": core.ErrNoErrorsToRetry, "nothing_to_retry": core.ErrNothingToRetry,
		"max_retry_count_exceeded": core.ErrMaxRetryCountExceeded, "insufficient_credits": core.ErrInsufficientCredits,
		"enqueue_failed": core.ErrEnqueueFailed, "idempotency_key_reused": core.ErrIdempotencyKeyReused,
		"invalid_request": core.ErrInvalidRequest, "run_not_running": core.ErrRunNotRunning,
		"tenant_not_found": core.ErrTenantNotFound, "tenant_exists": core.ErrTenantExists, "tenant_suspended": core.ErrTenantSuspended,
		"template_not_found": core.ErrTemplateNotFound, "template_not_published": core.ErrTemplateNotPublished,
		"template_deleted": core.ErrTemplateDeleted, "credits_out_of_range": core.ErrCreditsOutOfRange,
	}
	for code, sentinel := range codes {
		require.Equal(t, core.Code(code), sentinel.Code)
		for other, o := range codes {
			require.Equalf(t, code == other, errors.Is(sentinel, o), "%s is %s", code, other)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection refused")
	err := fmt.Errorf("continue: %w", &core.Error{
		Code: core.CodeEnqueueFailed, Message: "the queue is away", Run: run1, Err: cause,
	})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.NotErrorIs(t, err, core.ErrInsufficientCredits)
	require.ErrorIs(t, err, cause, "the original error of a dispatch can be matched")
	require.EqualError(t, err, "continue: enqueue_failed: the queue is away: connection refused")
	require.EqualError(t, core.ErrWrongTenant, "wrong_tenant")
	require.NotErrorIs(t, core.ErrWrongTenant, cause)
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	require.NoError(t, core.Invalid())
	err := core.Invalid(core.FieldError{Field: "a", Message: "is wrong"}, core.FieldError{Field: "b", Message: "too"})
	r := refused(t, err, core.CodeInvalidRequest)
	require.Equal(t, []core.FieldError{{Field: "a", Message: "is wrong"}, {Field: "b", Message: "too"}}, r.Fields)
	require.ErrorContains(t, err, "; a: is wrong; b: too")

	r = refused(t, core.InvalidField("c", "must be %d", 3), core.CodeInvalidRequest)
	require.Equal(t, []core.FieldError{{Field: "c", Message: "must be 3"}}, r.Fields)
}
