package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	run := core.Run{ID: run1, Status: core.RunRunning}
	refusal := &core.Error{Code: core.CodeInsufficientCredits, Message: "5 are needed", Needed: 5}
	success := core.Answer{Tenant: acme, Key: "k", Operation: core.OperationContinue, Fingerprint: "f", Run: run, At: t0}
	failure := success
	failure.Refusal = refusal

	t.Run("Success", func(t *testing.T) {
		t.Parallel()
		got, err := success.Replay(core.OperationContinue, "f")
		require.NoError(t, err)
		require.Equal(t, run, got, "as in the first answer, although the run has changed")
	})
	t.Run("Refusal", func(t *testing.T) {
		t.Parallel()
		got, err := failure.Replay(core.OperationContinue, "f")
		require.Same(t, refusal, err, "with its facts")
		require.Equal(t, run, got)
	})
	for name, ask := range map[string]struct {
		op          core.Operation
		fingerprint string
	}{
		"AnotherBody":      {core.OperationContinue, "g"},
		"AnotherOperation": {core.OperationInitiate, "f"},
		"NoBody":           {core.OperationContinue, ""},
	} {
		t.Run("Refused/"+name, func(t *testing.T) {
			t.Parallel()
			for _, answer := range []core.Answer{success, failure} {
				got, err := answer.Replay(ask.op, ask.fingerprint)
				refused(t, err, core.CodeIdempotencyKeyReused)
				require.Zero(t, got, "the first request's run is not shown to another request")
			}
		})
	}
}
