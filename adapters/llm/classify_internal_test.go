package llm

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClassifyEveryStatus has no status, however odd, end as completed without
// a completion, and follows the table of classify.
func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()
	for status := 100; status < 600; status++ {
		got := classify(reply{response: &http.Response{StatusCode: status}}, func(http.Header) time.Duration { return time.Second })
		permanentStatus := status >= 400 && status < 500 &&
			status != 401 && status != 403 && status != 408 && status != 409 && status != 429
		if permanentStatus {
			require.Equal(t, "permanent", string(got.Outcome), status)
			require.Zero(t, got.RetryAfter, status)
		} else {
			require.Equal(t, "transient", string(got.Outcome), status)
			require.Equal(t, time.Second, got.RetryAfter, status)
		}
		require.NotEmpty(t, got.Failure.Code, status)
	}
}

// TestClassifyStatusGoesBeforeTimeout: a provider that said no and then was
// slow with the reasons has said no.
func TestClassifyStatusGoesBeforeTimeout(t *testing.T) {
	t.Parallel()
	got := classify(reply{response: &http.Response{StatusCode: http.StatusUnprocessableEntity}, err: context.DeadlineExceeded, timedOut: true},
		func(http.Header) time.Duration { return 0 })
	require.Equal(t, FailureRejected, got.Failure.Code)
}
