package sqlite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/ports"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	var o storetest.Options // the defaults
	if underRace {
		o = storetest.Options{Rounds: 4, Contenders: 12, RaceRounds: 20, LargeRun: 1_000}
	}
	storetest.RunWith(t, func(t *testing.T) ports.Store {
		store := newStore(t)
		if group := strings.Split(t.Name(), "/")[1]; writesTheImpossible[group] {
			for _, guard := range []string{
				"files_final", "outputs_final_update", "outputs_file_completed", "runs_forward", "runs_status_tally_insert", "runs_status_tally_update",
			} {
				_, err := store.Exec(t.Context(), `DROP TRIGGER `+guard)
				require.NoError(t, err)
			}
		}
		return store
	}, o)
}

// writesTheImpossible are the groups of the suite that overwrite rows with what no rule of
// core ever makes of them (a completed file that changes, an epoch that goes back, a status
// that the tally denies), to see that each field is kept. The schema refuses that (see
// TestIllegalWrites), so these groups run without the guards that they would trip; all
// others run with everything.
var writesTheImpossible = map[string]bool{"RoundTrip": true, "Runs": true, "Files": true, "Lists": true}
