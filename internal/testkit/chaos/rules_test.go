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
	result := change(core.FileProcessing, core.FileCompleted, 1, 1)
	for name, c := range map[string]struct {
		happened []string
		noticed  string // empty: no violation
	}{
		"NothingWrong":            {[]string{claim, result}, ""},
		"FailedAndContinued":      {[]string{claim, change(core.FileProcessing, core.FileFailed, 1, 1), change(core.FileFailed, core.FilePending, 1, 2)}, ""},
		"TwoResults":              {[]string{claim, result, result}, "I8: two results of one epoch: run r, file 0, epoch 1: completed, completed"},
		"TwoClaims":               {[]string{claim, claim, result}, "I8: two claims of one epoch"},
		"ResultOfAnotherEpoch":    {[]string{claim, change(core.FileProcessing, core.FileCompleted, 1, 2)}, "I8: a result of another epoch than its claim"},
		"FinalFileChanged":        {[]string{claim, result, change(core.FileCompleted, core.FilePending, 1, 2)}, "I8: a final file changed"},
		"IllegalTransition":       {[]string{change(core.FileFailed, core.FileCompleted, 1, 1)}, "I8: a file went from failed completed"},
		"EpochWentBack":           {[]string{change(core.FileFailed, core.FilePending, 3, 2)}, "I8: an epoch went back"},
		"LeaseEndedUnfenced":      {[]string{claim, change(core.FileProcessing, core.FilePending, 1, 1)}, "I8: an epoch went back, or was used for another wait"},
		"AttemptNeverClosed":      {[]string{`INSERT INTO attempts SELECT 'acme', 'r', 0, 1, 1, 'x', '', 'customer_admin', now(), 1, NULL, NULL, 0, 0, NULL, '', NULL, NULL, 0, 0, 0, NULL`}, "I7: an attempt did not close exactly once: run r, attempt 0 closed 0 times"},
		"FileBehindItsOwnChanges": {[]string{`INSERT INTO files SELECT 'acme', 'r', 0, 'a', 'ref', 1, 'failed', 0, 3, 1, NULL, 0, 0, '', 'x', 'y'`}, "the log and the files differ: run r, file 0: the last change says , the file failed"},
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
