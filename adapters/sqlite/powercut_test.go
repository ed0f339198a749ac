package sqlite_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

var (
	powerCuts = flag.Int("power-cuts", 24, "how often TestPowerCut cuts the power")
	cutSeed   = flag.Uint64("power-cut-seed", 0, "0: another one each time")
)

// answers is what users were told, which has to be true for ever.
type told struct {
	mu        sync.Mutex
	purchases []core.Key
	attempts  map[core.RunID]core.AttemptNumber // of each run the last that was answered
}

func (a *told) purchase(key core.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.purchases = append(a.purchases, key)
}

func (a *told) attempt(run core.Run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempts[run.ID] = max(a.attempts[run.ID], run.Attempt)
}

// TestPowerCut lets users work until the power fails before a random write, sync or
// truncation of the disk. What the disk has then is all that was synced and any part of the
// rest. A new process opens it: everything that was answered is there, the books are exact,
// and work goes on from there until the next cut.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	const lines, fresh = 4, 25 // a line begins anew after so many cuts, so that looking at it stays cheap
	seed := *cutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	for line := range lines {
		t.Run(fmt.Sprint(line), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, uint64(line)))
			folder := ""
			var answers *told
			unknown := 0
			for round := range (*powerCuts + lines - 1) / lines {
				if round%fresh == 0 {
					folder, answers = t.TempDir(), &told{attempts: map[core.RunID]core.AttemptNumber{}}
					w := worldOn(t, openStore(t, filepath.Join(folder, "redrive.db")), noExecution)
					w.AddTenant(t, "acme")
					require.NoError(t, w.store.Close())
				}
				d := newDisk(t, folder)
				unknown += workUntilCut(t, d, dice, folder, round, answers)
				folder = t.TempDir()
				d.after(t, dice, folder)
				lookAfterCut(t, folder, answers)
			}
			t.Logf("commits whose outcome was unknown: %d", unknown)
		})
	}
}

// workUntilCut gives how many requests were told that nobody knows what became of them.
func workUntilCut(t *testing.T, d *disk, dice *rand.Rand, folder string, round int, answers *told) (unknown int) {
	t.Helper()
	const users = 3
	store, err := sqlite.Open(t.Context(), filepath.Join(folder, "redrive.db"), sqlite.WithVFS(diskVFS))
	require.NoError(t, err)
	w := worldOn(t, store, noExecution)
	left := 1 + dice.IntN(200)
	d.mu.Lock()
	d.cut = func(*disk) bool {
		left--
		return left < 0
	}
	d.mu.Unlock()
	for _, err := range together(users, func(i int) error {
		for n := 0; ; n++ {
			if err := step(t, w, answers, core.Key(fmt.Sprintf("%d-%d-%d", round, i, n)), n); err != nil {
				return err
			}
		}
	}) {
		if errors.Is(err, ports.ErrCommitUnknown) {
			unknown++
		} else {
			require.ErrorIs(t, err, ports.ErrUnavailable)
		}
	}
	// The process ends with the power. What it does on its way out reaches no disk.
	if err := store.Close(); err != nil {
		require.ErrorContains(t, err, "I/O")
	}
	return unknown
}

// step does one thing and takes down its answer.
func step(t *testing.T, w *world, answers *told, key core.Key, n int) error {
	t.Helper()
	ctx := t.Context()
	if n%2 == 0 {
		_, err := w.PurchaseCredits(ctx, admin, "acme", key, 1)
		if err == nil {
			answers.purchase("client/" + key)
		}
		return err
	}
	run, err := w.Start(ctx, "acme", 2)
	if err != nil {
		return err
	}
	answers.attempt(run)
	if _, err = w.Cancel(ctx, admin, run.ID); err != nil {
		return err
	}
	run, err = w.RetryFailed(ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: key})
	if err == nil {
		answers.attempt(run)
	}
	return err
}

func lookAfterCut(t *testing.T, folder string, answers *told) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(folder, "redrive.db"))
	require.NoError(t, err)
	w := worldOn(t, store, noExecution)
	differences, err := w.CheckLedger(t.Context(), admin, "acme")
	require.NoError(t, err)
	require.Empty(t, differences)
	w.requireInvariants(t)
	there := map[core.Key]bool{}
	rows, err := store.Rows(t.Context(), `SELECT key FROM ledger WHERE kind = 'purchase'`)
	require.NoError(t, err)
	for _, r := range rows {
		there[core.Key(r[0].(string))] = true
	}
	for _, key := range answers.purchases {
		require.True(t, there[key], "purchase %s was answered and is lost", key)
	}
	attempts := map[core.RunID]int64{}
	rows, err = store.Rows(t.Context(), `SELECT run_id, max(attempt) FROM attempts GROUP BY run_id`)
	require.NoError(t, err)
	for _, r := range rows {
		attempts[core.RunID(r[0].(string))] = r[1].(int64)
	}
	for run, attempt := range answers.attempts {
		has, found := attempts[run]
		require.True(t, found, "run %s was answered and is lost", run)
		require.GreaterOrEqual(t, has, int64(attempt), "attempt %d of run %s was answered and is lost", attempt, run)
	}
	require.NoError(t, store.Close())
}
