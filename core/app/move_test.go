package app_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// breaking is a store whose writes about moves break at one of them, before or after it had
// its effect, as when the process is killed there.
type breaking struct {
	*memory.Store

	writes *int // of both sides, so far
	at     int  // the write that breaks; 0: none
	after  bool // it has its effect
}

var errKilled = errors.New("killed")

func (b breaking) write(do func() error) error {
	*b.writes++
	if b.at == 0 || *b.writes < b.at {
		return do()
	}
	if *b.writes == b.at && b.after {
		return errors.Join(do(), errKilled)
	}
	return errKilled // nothing works any more
}

func (b breaking) SetMove(ctx context.Context, tenant core.TenantID, was, is ports.Move) error {
	return b.write(func() error { return b.Store.SetMove(ctx, tenant, was, is) })
}

func (b breaking) Import(ctx context.Context, tenant core.TenantID, was, is ports.Move, records iter.Seq2[ports.Record, error]) error {
	return b.write(func() error { return b.Store.Import(ctx, tenant, was, is, records) })
}

// writable reports whether a tenant that is there takes writes.
func writable(t *testing.T, s ports.Store, key string) bool {
	t.Helper()
	err := s.InTx(t.Context(), "acme", func(tx ports.Tx) error {
		p := core.PeriodOf(time.Now())
		_, err := tx.Ledger().Post(t.Context(), core.Entry{
			Tenant: "acme", Key: core.Key(key), Kind: core.EntryPurchase, Period: p, Amount: core.Split{Purchased: 1}, Actor: core.System, At: time.Now(),
		})
		return err
	})
	if errors.Is(err, ports.ErrMoved) || errors.Is(err, ports.ErrNotFound) {
		return false
	}
	require.NoError(t, err)
	return true
}

// sourceOfMove has a tenant with a run under way and one that can be continued.
func sourceOfMove(t *testing.T) *memory.Store {
	t.Helper()
	store, queue := memory.NewStore(), memory.NewQueue()
	svc, err := app.New(app.Deps{Store: store, Queue: queue, Files: memory.NewFiles(), Executor: &flaky{}}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	require.NoError(t, err)
	ctx := t.Context()
	ada := setUp(ctx, svc)
	for range 2 {
		_, err := svc.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "summarise", Upload: upload(ctx, svc, "a.txt", "b.txt")})
		require.NoError(t, err)
	}
	for range 2 { // the first run; the second waits
		deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, svc.Work(ctx, deliveries[0]))
	}
	return store
}

// Wherever a move is killed, at most one side takes writes; repeated, it ends with the
// tenant at the target, and cancelled, with the tenant where it can be.
func TestMoveKilledAnywhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, after := range []bool{false, true} {
		for _, cancelled := range []bool{false, true} {
			for at := 1; ; at++ {
				name := fmt.Sprint("write ", at, ", after it ", after, ", cancelled ", cancelled)
				from, to := sourceOfMove(t), memory.NewStore()
				writes := 0
				m := &app.Mover{
					From: breaking{from, &writes, at, after}, To: breaking{to, &writes, at, after}, Interrupt: true,
				}
				_, err := m.Tenant(ctx, "acme")
				ended := err == nil
				if !ended {
					require.ErrorIs(t, err, errKilled, name)
				}
				arrived, err := to.MoveOf(ctx, "acme")
				require.NoError(t, err)
				if arrived.State != ports.MoveArrived {
					require.False(t, writable(t, to, "while it moves"), name)
				} else {
					require.False(t, writable(t, from, "while it moves"), name)
				}
				again := &app.Mover{From: from, To: to, Interrupt: true}
				if cancelled {
					gaveUp, err := again.Cancel(ctx, "acme")
					if arrived.State == ports.MoveArrived {
						require.False(t, gaveUp, name)
						require.False(t, writable(t, from, "cancelled"), name)
						require.True(t, writable(t, to, "cancelled"), name)
					} else {
						require.NoError(t, err, name)
						require.True(t, writable(t, from, "cancelled"), name)
						require.False(t, writable(t, to, "cancelled"), name)
					}
				} else {
					_, err := again.Tenant(ctx, "acme")
					require.NoError(t, err, name)
					require.False(t, writable(t, from, "moved"), name)
					require.True(t, writable(t, to, "moved"), name)
					audit, err := app.CheckLedger(ctx, to, "acme")
					require.NoError(t, err)
					require.Empty(t, audit.Differences(), name)
				}
				if ended {
					require.Greater(t, at, 5, "it was killed at every write")
					break
				}
			}
		}
	}
}

// What a move refuses leaves both sides as they were.
func TestMoveRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()

	t.Run("TheTargetHasIt", func(t *testing.T) {
		t.Parallel()
		from, to := sourceOfMove(t), sourceOfMove(t)
		_, err := (&app.Mover{From: from, To: to}).Tenant(ctx, "acme")
		require.ErrorIs(t, err, app.ErrTenantThere)
		require.True(t, writable(t, from, "k"))
		require.True(t, writable(t, to, "k"))
	})
	t.Run("AtWork", func(t *testing.T) {
		t.Parallel()
		from, to := sourceOfMove(t), memory.NewStore()
		queue := memory.NewQueue()
		svc, err := app.New(app.Deps{Store: from, Queue: queue, Files: memory.NewFiles(), Executor: &flaky{}}, app.Options{})
		require.NoError(t, err)
		_, err = svc.Resume(ctx)
		require.NoError(t, err)
		_, _, err = svc.Claim(ctx, queue.Waiting()[:1], app.WaitForLock)
		require.NoError(t, err)
		_, err = (&app.Mover{From: from, To: to}).Tenant(ctx, "acme")
		require.ErrorIs(t, err, app.ErrAtWork)
		require.True(t, writable(t, from, "k"))
		require.False(t, writable(t, to, "k"))
		for _, s := range []*memory.Store{from, to} {
			left, err := s.MoveOf(ctx, "acme")
			require.NoError(t, err)
			require.Zero(t, left)
		}
		_, err = (&app.Mover{From: from, To: to, Alone: true}).Tenant(ctx, "acme")
		require.NoError(t, err, "no server is there any more")
	})
	t.Run("ItWentElsewhere", func(t *testing.T) {
		t.Parallel()
		from := sourceOfMove(t)
		_, err := (&app.Mover{From: from, To: memory.NewStore()}).Tenant(ctx, "acme")
		require.NoError(t, err)
		_, err = (&app.Mover{From: from, To: memory.NewStore()}).Tenant(ctx, "acme")
		require.ErrorIs(t, err, app.ErrOtherMove)
	})
	t.Run("NoSuchTenant", func(t *testing.T) {
		t.Parallel()
		to := memory.NewStore()
		_, err := (&app.Mover{From: sourceOfMove(t), To: to}).Tenant(ctx, "nobody")
		require.ErrorIs(t, err, core.ErrTenantNotFound)
		left, err := to.MoveOf(ctx, "nobody")
		require.NoError(t, err)
		require.Zero(t, left)
	})
}

// Workers of a tenant that has left let go of its jobs instead of trying again and again;
// it goes on where it is now.
func TestMovedUnderWorkers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from, to := sourceOfMove(t), memory.NewStore()
	queue := memory.NewQueue()
	svc, err := app.New(app.Deps{Store: from, Queue: queue, Files: memory.NewFiles(), Executor: &flaky{}}, app.Options{})
	require.NoError(t, err)
	_, err = svc.Resume(ctx)
	require.NoError(t, err)
	jobs := queue.Waiting()
	require.Len(t, jobs, 2)
	claimed, _, err := svc.Claim(ctx, jobs[:1], app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	_, err = (&app.Mover{From: from, To: to, Interrupt: true}).Tenant(ctx, "acme")
	require.NoError(t, err)

	none, held, err := svc.Claim(ctx, jobs[1:], app.WaitForLock)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Empty(t, held)
	lost, _, err := svc.Renew(ctx, jobs[:1], app.WaitForLock)
	require.NoError(t, err)
	require.Equal(t, jobs[:1], lost)
	require.NoError(t, svc.HandBack(ctx, jobs[:1]))
	result := core.FileResult{Index: jobs[0].Files[0], Outcome: core.OutcomeCompleted, Output: "late"}
	_, err = svc.Settle(ctx, []core.Settlement{{Job: jobs[0], Results: []core.FileResult{result}}}, app.WaitForLock)
	require.NoError(t, err)
	visited, err := svc.Recover(ctx, 10)
	require.NoError(t, err)
	require.Zero(t, visited)

	there := memory.NewQueue()
	svc, err = app.New(app.Deps{Store: to, Queue: there, Files: memory.NewFiles(), Executor: &flaky{}}, app.Options{})
	require.NoError(t, err)
	visited, err = svc.Resume(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, visited)
	require.Len(t, there.Waiting(), 2, "the claimed one and the one that waited")
}

// An operator sees how much there is of everything that was moved.
func TestMoveCountsInWords(t *testing.T) {
	t.Parallel()
	var counts app.MoveCounts
	v := reflect.ValueOf(&counts).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(1000 + i))
	}
	for i := range v.NumField() {
		require.Contains(t, counts.String(), fmt.Sprintf("%d ", 1000+i), v.Type().Field(i).Name)
	}
}
