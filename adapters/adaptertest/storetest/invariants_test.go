package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// eventful makes a tenant with one run that has seen everything: files in every
// status, an attempt that stands and one that was compensated.
func eventful(t *testing.T) (*service, core.RunID) {
	t.Helper()
	s := newService(t, func(*testing.T) ports.Store { return memory.NewStore() }, "acme")
	ctx := bounded(t)
	s.outcomes(func(_ ports.Task, index int) core.Outcome {
		return []core.Outcome{core.OutcomeCompleted, core.OutcomePermanent, core.OutcomeTransient, core.OutcomeTransient}[index]
	})
	run := s.initiate(t, "acme", 4)
	require.NoError(t, s.work(ctx, s.servers[0]))
	s.fail(func(int) int { return 0 })
	_, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{}) // attempt 1, compensated
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	s.queue.out.Store(nil)
	_, err = s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{}) // attempt 2: file 2 fails again, file 3 is being worked on
	require.NoError(t, err)
	got, err := s.queue.Receive(ctx, 2, ports.Skip{})
	require.NoError(t, err)
	for i, d := range got {
		claimed, _, err := s.servers[0].Claim(ctx, d.Jobs(), app.WaitForLock)
		require.NoError(t, err)
		if i == 0 {
			settlements, err := executeAll(ctx, s.servers[0], claimed)
			require.NoError(t, err)
			require.NoError(t, settle(ctx, s.servers[0], settlements))
		}
	}
	return s, run.ID
}

// TestViolations breaks each invariant in what was read of a sound store: a
// check that finds nothing would make every other test worthless.
func TestViolations(t *testing.T) {
	t.Parallel()
	s, id := eventful(t)
	sound := MustRead(t, s.store, "acme")
	require.Empty(t, violationsOf("acme", sound))
	require.Equal(t, core.RunRunning, sound.Runs[0].Status)

	for name, c := range map[string]struct {
		want   string
		damage func(c *Contents)
	}{
		"monthly balance":   {"I1", func(c *Contents) { c.Balances[0].Monthly++ }},
		"purchased balance": {"I1", func(c *Contents) { c.Balances[0].Purchased-- }},
		"balance missing":   {"I1", func(c *Contents) { c.Balances = nil }},
		"entry missing":     {"I1", func(c *Contents) { c.Entries = c.Entries[1:] }},
		"gap":               {"I1", func(c *Contents) { c.Entries[3].Seq++ }},
		"same key":          {"I1", func(c *Contents) { c.Entries[1].Key = c.Entries[0].Key }},
		"overdrawn":         {"I1", func(c *Contents) { c.Entries[2].Amount.Monthly = 101 }},
		"burn order": {"I3", func(c *Contents) {
			charge := entry(c, core.EntryCharge)
			charge.Amount = core.Split{Purchased: charge.Amount.Total()}
		}},
		"run's credits":            {"I2", func(c *Contents) { c.Runs[0].CreditsFromMonthly-- }},
		"run's sum":                {"I2", func(c *Contents) { c.Runs[0].CreditsConsumed++ }},
		"charge without a run":     {"I2", func(c *Contents) { c.Runs = nil }},
		"second charge":            {"I3", func(c *Contents) { again(c, core.EntryCharge) }},
		"charge of too many":       {"I3", func(c *Contents) { c.Attempts[id][2].Files[0].Charged = false }},
		"charge of another price":  {"I3", func(c *Contents) { c.Attempts[id][2].Price++ }},
		"charge not recorded":      {"I3", func(c *Contents) { c.Attempts[id][2].Charge = core.Charge{} }},
		"free file charged":        {"I3", func(c *Contents) { c.Attempts[id][2].Files[0].Before.Status = core.FilePending }},
		"attempt missing":          {"I3", func(c *Contents) { c.Attempts[id] = c.Attempts[id][:2] }},
		"second refund":            {"I4", func(c *Contents) { again(c, core.EntryRefund) }},
		"refund of another amount": {"I4", func(c *Contents) { entry(c, core.EntryRefund).Amount.Purchased++ }},
		"refund to another period": {"I4", func(c *Contents) { entry(c, core.EntryRefund).Period = april }},
		"refund not recorded":      {"I4", func(c *Contents) { c.Attempts[id][1].CompensatedAt = time.Time{} }},
		"compensated, no refund":   {"I4", func(c *Contents) { c.Attempts[id][2].CompensatedAt = at(1) }},
		"unpaid pending file":      {"I5", func(c *Contents) { c.Files[id][3].PaidBy = 1 }},
		"refunded pending file":    {"I5", func(c *Contents) { c.Attempts[id][2].CompensatedAt = at(1) }},
		"too many retries":         {"I6", func(c *Contents) { c.Files[id][2].RetryAttempt = 11 }},
		"free retry not counted":   {"I6", func(c *Contents) { c.Files[id][2].FreeRetries++; c.Files[id][2].RetryAttempt++ }},
		"retry not counted":        {"I6", func(c *Contents) { c.Files[id][2].RetryAttempt = 0 }},
		"too many jobs done":       {"I7", func(c *Contents) { c.Runs[0].CompletedJobs = 2 }},
		"more jobs than there are": {"I7", func(c *Contents) { c.Runs[0].AttemptJobs = 5 }},
		"negative jobs":            {"I7", func(c *Contents) { c.Runs[0].FailedJobs = -1 }},
		"tally":                    {"refinement", func(c *Contents) { c.Runs[0].Tally.Failed++ }},
		"closed without a time":    {"I7", func(c *Contents) { c.Runs[0].Status = core.RunInterrupted }},
		"completed":                {"I7", func(c *Contents) { c.Runs[0].Status, c.Runs[0].ClosedAt = core.RunCompleted, at(1) }},
		"failed":                   {"I7", func(c *Contents) { c.Runs[0].Status, c.Runs[0].ClosedAt = core.RunFailed, at(1) }},
		"with errors":              {"I7", func(c *Contents) { c.Runs[0].Status, c.Runs[0].ClosedAt = core.RunCompletedWithErrors, at(1) }},
		"interrupted, processing":  {"I7", func(c *Contents) { c.Runs[0].Status, c.Runs[0].ClosedAt = core.RunInterrupted, at(1) }},
		"no such status":           {"I7", func(c *Contents) { c.Runs[0].Status, c.Runs[0].ClosedAt = "DONE", at(1) }},
		"completed run again":      {"I8", func(c *Contents) { c.Attempts[id][2].Files[0].Before.Status = core.FileCompleted }},
		"epoch never given out":    {"I8", func(c *Contents) { c.Files[id][1].Epoch = 99 }},
		"epoch used twice":         {"I8", func(c *Contents) { c.Attempts[id][2].Epoch = 1 }},
		"lease of nobody":          {"I8", func(c *Contents) { c.Files[id][2].LeaseUntil = at(1) }},
		"output of a failed file":  {"I8", func(c *Contents) { c.Files[id][2].Output = "x" }},
		"file missing":             {"I7", func(c *Contents) { c.Files[id] = c.Files[id][:3] }},
		"never recovered":          {"I11", func(c *Contents) { c.Runs[0].RecoverAt = time.Time{} }},
		"charged and not run": {"I12", func(c *Contents) {
			c.Files[id][2].Failure.Code = core.FailureDispatchFailed
		}},
		"charged twice for one execution": {"I12", func(c *Contents) {
			c.Attempts[id][2].Files[0].Before.Failure.Code = core.FailureDispatchFailed
		}},
		"done and refunded": {"I12", func(c *Contents) { c.Attempts[id][0].CompensatedAt = at(1) }},
		"no tenant":         {"I10", func(c *Contents) { c.Tenant = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := MustRead(t, s.store, "acme")
			c.damage(&damaged)
			found := violationsOf("acme", damaged)
			require.True(t, hasPrefix(found, c.want+":"), "%s, found %q", c.want, found)
		})
	}

	// And through the store.
	commit(t, s.store, "acme", tamper(sound.Runs[0]))
	broken, err := Violations(bounded(t), s.store, "acme")
	require.NoError(t, err)
	require.True(t, hasPrefix(broken, "I2:"), "%q", broken)
}

// TestRecorder makes a history that must not be.
func TestRecorder(t *testing.T) {
	t.Parallel()
	s, id := eventful(t)
	s.store.check(t)
	run, files, _ := s.read(t, id)
	save := func(run core.Run, file core.File) []string {
		commit(t, s.store, "acme", saving(run, file))
		return s.store.violations()
	}
	closed := run
	closed.Status = core.RunFailed
	require.Empty(t, save(closed, files[3]))
	require.True(t, hasPrefix(save(closed, files[3]), "I7:"), "closed twice")

	s, id = eventful(t)
	run, files, _ = s.read(t, id)
	require.True(t, hasPrefix(save(run, files[2]), "I8:"), "a result twice")

	s, id = eventful(t)
	run, files, _ = s.read(t, id)
	completed := files[0]
	completed.Epoch, completed.Status = 9, core.FilePending
	require.True(t, hasPrefix(save(run, completed), "I8:"), "a completed file changes")

	ctx := bounded(t)
	s, id = eventful(t)
	run, files, _ = s.read(t, id)
	require.ErrorIs(t, s.store.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, saving(run, files[2])(ctx, tx))
		return errRollback
	}), errRollback)
	s.store.check(t) // what was rolled back does not count
}

func hasPrefix(list []string, prefix string) bool {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// entry finds the first entry of a kind.
func entry(c *Contents, kind core.EntryKind) *core.Entry {
	for i := range c.Entries {
		if c.Entries[i].Kind == kind {
			return &c.Entries[i]
		}
	}
	return nil
}

// again adds an entry like the first of its kind, under another key.
func again(c *Contents, kind core.EntryKind) {
	e := *entry(c, kind)
	e.Key, e.Seq = e.Key+"/again", int64(len(c.Entries))+1
	c.Entries = append(c.Entries, e)
}

// saving writes a run and a file as they are.
func saving(run core.Run, file core.File) func(context.Context, ports.Tx) error {
	return func(ctx context.Context, tx ports.Tx) error {
		if err := tx.Runs().Save(ctx, ports.RunRows{Run: run}); err != nil {
			return err
		}
		return tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{file}, FilesOnly: true})
	}
}

// tamper writes a run with credits that nobody has charged.
func tamper(run core.Run) func(context.Context, ports.Tx) error {
	run.CreditsConsumed++
	run.CreditsFromPurchased++
	return func(ctx context.Context, tx ports.Tx) error { return tx.Runs().Save(ctx, ports.RunRows{Run: run}) }
}
