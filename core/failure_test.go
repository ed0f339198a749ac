package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Faults of the provider are distinguished from faults that may be the file's: pausing
// everything for one bad file would be as wrong as failing all files.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	for code, down := range map[string]bool{
		core.FailureRateLimited: true, core.FailureTimeout: true, core.FailureUnavailable: true,
		core.FailureUnreachable: true, core.FailureExecutor: true,
		core.FailureUnauthorized: false, core.FailureMisconfigured: false, core.FailureQuota: false, core.FailureRequestRefused: false,
		core.FailurePanic: false, core.FailureNoResult: false, core.FailureUnreadable: false,
		core.FailureDispatchFailed: false, "output_truncated": false, "malformed_response": false, "": false,
	} {
		require.Equal(t, down, core.Failure{Code: code}.ProviderDown(), code)
	}
}

// A fault that only the operator can fix blocks other files as well; a fault with one file
// does not.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for code, blocks := range map[string]bool{
		core.FailureUnauthorized: true, core.FailureMisconfigured: true, core.FailureQuota: true, core.FailureRequestRefused: true,
		core.FailurePanic: false, core.FailureUnreadable: false, core.FailureNotRecorded: false,
		core.FailureRateLimited: false, core.FailureTimeout: false, core.FailureExecutor: false, "": false,
	} {
		require.Equal(t, blocks, core.Failure{Code: code}.Blocks(), code)
	}
}
