package chaos

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// With rules that find nothing every chaos test would pass. The test makes changes that the
// schema itself refuses with the schema's triggers off.
func TestAuditNotices(t *testing.T) {
	t.Parallel()
	change := func(was, became core.FileStatus, epoch, newEpoch int) string {
		return fmt.Sprintf(`INSERT INTO chaos_files (tenant_id, run_id, index, was, became, epoch, new_epoch, retry_attempt)
			VALUES ('acme', 'r', 0, '%s', '%s', %d, %d, 0)`, was, became, epoch, newEpoch)
	}
	claim := change(core.FilePending, core.FileProcessing, 1, 1)
	failed := change(core.FileProcessing, core.FileFailed, 1, 1)
	result := change(core.FileProcessing, core.FileCompleted, 1, 1)
	for name, c := range map[string]struct {
		happened []string
		noticed  string // empty: no violation
	}{
		"NothingWrong":            {[]string{claim, result}, ""},
		"FailedAndContinued":      {[]string{claim, failed, change(core.FileFailed, core.FilePending, 1, 2)}, ""},
		"TwoResults":              {[]string{claim, result, result}, "I8: file 0 of run r was completed in epoch 1, and changed from processing in epoch 1 to completed"},
		"TwoClaims":               {[]string{claim, claim, result}, "I8: file 0 of run r was processing in epoch 1, and changed from pending in epoch 1 to processing"},
		"ResultOfAnotherEpoch":    {[]string{claim, change(core.FileProcessing, core.FileCompleted, 1, 2)}, "I8: a result for epoch 2 was recorded for file 0 of run r, which is in epoch 1"},
		"FinalFileChanged":        {[]string{claim, result, change(core.FileCompleted, core.FilePending, 1, 2)}, "I8: file 0 of run r went from completed (epoch 1) to pending (epoch 2)"},
		"IllegalTransition":       {[]string{claim, failed, change(core.FileFailed, core.FileCompleted, 1, 1)}, "I8: file 0 of run r went from failed (epoch 1) to completed (epoch 1)"},
		"EpochWentBack":           {[]string{claim, failed, change(core.FileFailed, core.FilePending, 1, 0)}, "I8: file 0 of run r went from failed (epoch 1) to pending (epoch 0)"},
		"LeaseEndedUnfenced":      {[]string{claim, change(core.FileProcessing, core.FilePending, 1, 1)}, "I8: file 0 of run r waits again under epoch 1, which was given out before"},
		"AttemptNeverClosed":      {[]string{`INSERT INTO attempts SELECT 'acme', 'r', 0, 1, 1, 'x', '', 'customer_admin', now(), 1, NULL, NULL, 0, 0, NULL, '', NULL, NULL, 0, 0, 0, NULL`}, "I7: an attempt did not close exactly once: run r, attempt 0 closed 0 times"},
		"FileBehindItsOwnChanges": {[]string{"ALTER TABLE files DISABLE TRIGGER ALL", `INSERT INTO files SELECT 'acme', 'r', 0, 'a', 'ref', 1, 'failed', 0, 3, 1, NULL, 0, 0, '', 'x', 'y'`}, "refinement: file 0 of run r is failed in epoch 1, and nothing changed it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := postgres.Connect(t.Context(), postgres.Config{URL: pgtest.New(t).URL})
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			installAudit(t, pool)
			_, err = pool.Exec(t.Context(), "SET session_replication_role = replica; "+strings.Join(c.happened, "; "))
			require.NoError(t, err)
			wrong, err := audit(t.Context(), pool)
			require.NoError(t, err)
			if c.noticed == "" {
				require.Empty(t, wrong)
				return
			}
			require.Contains(t, strings.Join(wrong, "\n"), c.noticed)
		})
	}
}
