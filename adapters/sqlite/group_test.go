package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// inOneGroup has the transactions committed together, and gives their errors.
func inOneGroup(t *testing.T, s *sqlite.Store, list ...func() error) []error {
	t.Helper()
	release := s.Hold(bounded(t))
	ended := make([]chan error, len(list))
	for i, do := range list {
		ended[i] = make(chan error, 1)
		go func() { ended[i] <- do() }()
		require.Eventually(t, func() bool { return s.Waiting() == i+1 }, testTimeout, 100*time.Microsecond)
	}
	release()
	errs := make([]error, len(list))
	for i := range ended {
		errs[i] = <-ended[i]
	}
	return errs
}

// creating inserts a tenant. One without a name of 1 to 64 characters is refused by the
// schema, when it is committed.
func creating(ctx context.Context, s *sqlite.Store, id core.TenantID) func() error {
	return func() error {
		return s.InTx(ctx, id, func(tx ports.Tx) error {
			return tx.Tenants().Insert(ctx, core.Tenant{ID: id, Name: "x", CreatedAt: time.Unix(1, 0)})
		})
	}
}

func tenantsOf(t *testing.T, s *sqlite.Store) (ids []string) {
	t.Helper()
	list, err := s.AllTenants(t.Context(), "", 1000)
	require.NoError(t, err)
	for _, x := range list {
		ids = append(ids, string(x.ID))
	}
	return ids
}

// A transaction that the schema refuses takes nothing of those that are committed with it.
func TestGroupWithARefusedMember(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), bounded(t)
	errs := inOneGroup(t, s, creating(ctx, s, "a"), creating(ctx, s, core.TenantID(fmt.Sprintf("%065d", 0))), creating(ctx, s, "c"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], ports.ErrRefused)
	require.ErrorContains(t, errs[1], "tenants_id")
	require.NoError(t, errs[2])
	require.Equal(t, []string{"a", "c"}, tenantsOf(t, s))
}

// A caller that goes away while its transaction waits has not written anything; when it has
// begun, it is told what became of it.
func TestGroupWithoutWhoWentAway(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), bounded(t)
	gone, leave := context.WithCancel(ctx)
	release := s.Hold(ctx)
	ended := make(chan error, 1)
	go func() { ended <- creating(gone, s, "gone")() }()
	require.Eventually(t, func() bool { return s.Waiting() == 1 }, testTimeout, 100*time.Microsecond)
	leave()
	require.ErrorIs(t, <-ended, context.Canceled)
	release()
	require.NoError(t, creating(ctx, s, "next")())
	require.Equal(t, []string{"next"}, tenantsOf(t, s))
}

// A panic among transactions that are committed together leaves none of them waiting, and
// the store goes on.
func TestGroupThatPanics(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), bounded(t)
	saved := func(do func() error) func() error {
		return func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("%w: %v", ports.ErrCommitUnknown, r)
				}
			}()
			return do()
		}
	}
	errs := inOneGroup(t, s, saved(creating(ctx, s, "a")), saved(func() error { return s.Break(ctx) }), saved(creating(ctx, s, "c")))
	for _, err := range errs {
		require.ErrorIs(t, err, ports.ErrCommitUnknown)
	}
	require.NoError(t, creating(ctx, s, "next")())
	require.Equal(t, []string{"next"}, tenantsOf(t, s))
}

// A COMMIT that fails by I/O leaves the outcome open for each member of the group, and the
// store goes on with what is on the disk.
func TestGroupWhoseCommitFails(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newDisk(t, folder)
	s, ctx := openStore(t, filepath.Join(folder, "redrive.db"), sqlite.WithVFS(diskVFS)), bounded(t)
	d.setFailing(true)
	errs := inOneGroup(t, s, creating(ctx, s, "a"), creating(ctx, s, "b"), creating(ctx, s, "c"))
	d.setFailing(false)
	for _, err := range errs {
		require.ErrorIs(t, err, ports.ErrCommitUnknown)
	}
	there := tenantsOf(t, s)
	require.NoError(t, creating(ctx, s, "next")(), "a new connection writes")
	require.ElementsMatch(t, append(there, "next"), tenantsOf(t, s), "what was open is decided")
	for _, id := range []core.TenantID{"a", "b", "c"} { // as callers find out who look again
		err := creating(ctx, s, id)()
		require.True(t, err == nil || errors.Is(err, ports.ErrExists), "%v", err)
	}
	require.Equal(t, []string{"a", "b", "c", "next"}, tenantsOf(t, s))
}
