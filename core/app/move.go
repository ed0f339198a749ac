package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Mover moves tenants from one store to another, each by itself. What it was doing when it
// was interrupted, it goes on with when it is called again.
//
// The order of what it writes is what makes that safe:
//
//  1. target: the tenant is expected. Nobody else can make it there, and nobody but this
//     move may bring it.
//  2. source: the tenant is leaving. From here on nothing is written for it there, so what
//     is read is its last state.
//  3. target: the whole tenant and "arriving", in one transaction. It stays closed.
//  4. Both sides' ledgers are checked, and everything is read back and compared.
//  5. target: arrived. From here on it lives there.
//  6. source: gone.
//
// So it takes writes at the source until 2, at the target from 5 on, and nowhere between. A
// run that was RUNNING is taken up at the target by recovery; the executions that were under
// way at the source are lost with their leases.
type Mover struct {
	// From and To are stores that implement ports.Mover.
	From, To ports.Store
	// Alone says that no server works on From, so that leases there mean nothing.
	Alone bool
	// Interrupt moves tenants of whose files some are being worked on; they are executed
	// again at the target, at the operator's expense. Without it Tenant fails with ErrAtWork.
	Interrupt bool
	// Files copies contents of a run's files, before the tenant arrives. nil: they are left
	// where they are.
	Files func(ctx context.Context, tenant core.TenantID, run core.RunID, refs []core.FileRef) error
	// Step is told what comes next. May be nil.
	Step func(tenant core.TenantID, what string)
	// Clock is the system's clock if it is nil.
	Clock ports.Clock
}

// What a move is refused with. Nothing was changed, or it was changed back.
var (
	// ErrAtWork: files of the tenant have leases that are valid.
	ErrAtWork = errors.New("files of the tenant are being worked on")
	// ErrTenantThere: the target has a tenant of this ID that did not come by this move.
	ErrTenantThere = errors.New("the target has this tenant")
	// ErrOtherMove: the source has given the tenant to another database.
	ErrOtherMove = errors.New("the tenant moves to another database, or did")
	// ErrLedger: a ledger differs from balances or runs.
	ErrLedger = errors.New("the ledger differs from the balances or the runs")
)

// Moved is what Mover.Tenant did.
type Moved struct {
	MoveCounts

	// Checksum is of everything that the tenant owns, and is that of both sides.
	Checksum string
	// Before says that it had arrived before; nothing was done or counted.
	Before bool
}

// moving is the move of one tenant.
type moving struct {
	*Mover

	from, to movable
	tenant   core.TenantID
	here     ports.Move // at the source
	there    ports.Move // at the target
}

// begin reads where the move of a tenant stands.
func (m *Mover) begin(ctx context.Context, tenant core.TenantID) (*moving, error) {
	from, ok := m.From.(movable)
	to, alsoOK := m.To.(movable)
	if !ok || !alsoOK {
		return nil, errors.New("app: a store that cannot move tenants: it is no ports.Mover")
	}
	if m.Clock == nil {
		m.Clock = SystemClock{}
	}
	if m.Step == nil {
		m.Step = func(core.TenantID, string) {}
	}
	v := &moving{Mover: m, from: from, to: to, tenant: tenant}
	var err error
	if v.here, err = from.MoveOf(ctx, tenant); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if v.there, err = to.MoveOf(ctx, tenant); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	return v, nil
}

// Tenant moves one tenant, or goes on with it.
func (m *Mover) Tenant(ctx context.Context, tenant core.TenantID) (Moved, error) {
	v, err := m.begin(ctx, tenant)
	if err != nil {
		return Moved{}, err
	}
	switch v.here.State {
	case "", ports.MoveArrived:
		if err := v.leave(ctx); err != nil {
			return Moved{}, err
		}
	case ports.MoveLeaving:
		if v.there.ID != v.here.ID {
			return Moved{}, fmt.Errorf("%w: move %s of %s; go on with that one, or cancel it", ErrOtherMove, v.here.ID, v.here.At.Format(time.RFC3339))
		}
		// A move that was interrupted may not have waited for the transactions of before.
		if err := v.from.SetMove(ctx, tenant, v.here, v.here); err != nil {
			return Moved{}, fmt.Errorf("source: %w", err)
		}
	case ports.MoveGone:
		if v.there.ID == v.here.ID && v.there.State == ports.MoveArrived {
			return Moved{Before: true}, nil
		}
		return Moved{}, fmt.Errorf("%w: move %s of %s", ErrOtherMove, v.here.ID, v.here.At.Format(time.RFC3339))
	default:
		return Moved{}, fmt.Errorf("the tenant is not at home at the source: its own move there is %s; end that one first", v.here.State)
	}
	return v.goOn(ctx)
}

// leave closes the tenant on both sides, or on none.
func (v *moving) leave(ctx context.Context) error {
	v.Step(v.tenant, "closing it at the source")
	if err := v.absent(ctx); err != nil {
		return err
	}
	if err := v.exists(ctx, v.from); err != nil {
		return notFound(err, tenantNotFound(v.tenant))
	}
	id, before := UUIDs{}.NewID(), v.here
	expected := ports.Move{ID: id, State: ports.MoveExpected, At: v.Clock.Now()}
	if err := v.to.SetMove(ctx, v.tenant, v.there, expected); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	v.there = expected
	// Again: it may have been made meanwhile. From here on it cannot.
	if err := v.absent(ctx); err != nil {
		return errors.Join(err, v.forget(ctx))
	}
	leaving := ports.Move{ID: id, State: ports.MoveLeaving, At: v.Clock.Now()}
	if err := v.from.SetMove(ctx, v.tenant, before, leaving); err != nil {
		if errors.Is(err, ports.ErrMoveChanged) {
			return errors.Join(fmt.Errorf("source: %w", err), v.forget(ctx))
		}
		return fmt.Errorf("source: %w", err) // it may have been written
	}
	v.here = leaving
	if err := v.ready(ctx); err != nil {
		return errors.Join(err, v.reopen(ctx, before))
	}
	return nil
}

// ready refuses a tenant that is better not moved now.
func (v *moving) ready(ctx context.Context) error {
	if err := v.checkLedger(ctx, v.from, "source"); err != nil {
		return err
	}
	if v.Alone || v.Interrupt {
		return nil
	}
	leased, until, err := v.leased(ctx)
	if err == nil && leased > 0 {
		err = fmt.Errorf("%w: %d, at most until %s unless a server renews them; stop the servers of the source and wait for that, or interrupt the work: it is then done again at the target", ErrAtWork, leased, until.Format(time.RFC3339))
	}
	return err
}

// leased counts the files that a worker may be at work on.
func (v *moving) leased(ctx context.Context) (n int, until time.Time, err error) {
	now := v.Clock.Now()
	running := ports.RunFilter{Statuses: []core.RunStatus{core.RunRunning}, Limit: exportFiles}
	err = eachRun(running, runPages(ctx, v.from, v.tenant), func(run core.Run) error {
		filter := ports.FileFilter{Limit: exportFiles, Statuses: []core.FileStatus{core.FileProcessing}}
		return eachPage(exportFiles, func(core.File) ([]core.File, error) {
			return viewed(ctx, v.from, v.tenant, func(tx ports.Tx) ([]core.File, error) { return tx.FileViews().Page(ctx, run.ID, filter) })
		}, eachOf(func(f core.File) error {
			filter.From = f.Index + 1
			if f.LeaseUntil.After(now) {
				n++
			}
			if f.LeaseUntil.After(until) {
				until = f.LeaseUntil
			}
			return nil
		}))
	})
	return n, until, err
}

// absent refuses a target that has the tenant.
func (v *moving) absent(ctx context.Context) error {
	err := v.exists(ctx, v.to)
	switch {
	case err == nil:
		return fmt.Errorf("%w, %s", ErrTenantThere, v.tenant)
	case errors.Is(err, ports.ErrNotFound):
		return nil
	default:
		return fmt.Errorf("target: %w", err)
	}
}

func (v *moving) exists(ctx context.Context, store ports.Store) error {
	return store.View(ctx, v.tenant, func(tx ports.Tx) error {
		_, err := tx.Tenants().Get(ctx)
		return err
	})
}

// reopen gives the move up and lets the tenant go on at the source. The target is told
// first: an import that is under way elsewhere then fails. What came to it stays, closed.
func (v *moving) reopen(ctx context.Context, as ports.Move) error {
	ctx = context.WithoutCancel(ctx)
	if v.there.State != ports.MoveAbandoned {
		abandoned := ports.Move{ID: v.there.ID, State: ports.MoveAbandoned, At: v.Clock.Now()}
		if err := v.to.SetMove(ctx, v.tenant, v.there, abandoned); err != nil {
			return fmt.Errorf("target: %w", err)
		}
		v.there = abandoned
	}
	if err := v.from.SetMove(ctx, v.tenant, v.here, as); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	v.here = as
	switch err := v.absent(ctx); {
	case errors.Is(err, ErrTenantThere):
		return nil
	case err != nil:
		return err
	}
	return v.forget(ctx)
}

func (v *moving) forget(ctx context.Context) error {
	if err := v.to.SetMove(context.WithoutCancel(ctx), v.tenant, v.there, ports.Move{}); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	v.there = ports.Move{}
	return nil
}

// goOn does what is left of the move of a tenant that is closed at the source.
func (v *moving) goOn(ctx context.Context) (moved Moved, err error) {
	var sent *inventory
	if v.there.State == ports.MoveExpected {
		v.Step(v.tenant, "copying it")
		sent = newInventory()
		arriving := ports.Move{ID: v.here.ID, State: ports.MoveArriving, At: v.Clock.Now()}
		records := sent.passing(exportTenant(ctx, v.from, v.tenant))
		if err := v.to.Import(ctx, v.tenant, v.there, arriving, records); err != nil {
			err = fmt.Errorf("import: %w", err)
			if errors.Is(err, ports.ErrExists) { // for good
				err = errors.Join(err, v.reopen(ctx, ports.Move{}))
			}
			return Moved{}, err
		}
		v.there = arriving
	}
	if v.there.State == ports.MoveArriving {
		if moved, err = v.verify(ctx, sent); err != nil {
			return Moved{}, err
		}
		if err := v.copyFiles(ctx); err != nil {
			return Moved{}, err
		}
		arrived := ports.Move{ID: v.here.ID, State: ports.MoveArrived, At: v.Clock.Now()}
		if err := v.to.SetMove(ctx, v.tenant, v.there, arrived); err != nil {
			return Moved{}, fmt.Errorf("target: %w", err)
		}
		v.there = arrived
	} else {
		moved.Before = true
	}
	if v.there.State != ports.MoveArrived {
		return Moved{}, fmt.Errorf("the move %s was given up at the target; cancel it to open the tenant at the source again", v.here.ID)
	}
	gone := ports.Move{ID: v.here.ID, State: ports.MoveGone, At: v.Clock.Now()}
	if err := v.from.SetMove(ctx, v.tenant, v.here, gone); err != nil {
		return Moved{}, fmt.Errorf("source: %w", err)
	}
	return moved, nil
}

// verify checks both ledgers, and that both sides own the same. sent is what was read of the
// source, nil if that has to be read again.
func (v *moving) verify(ctx context.Context, sent *inventory) (Moved, error) {
	v.Step(v.tenant, "checking it on both sides")
	if err := v.checkLedger(ctx, v.from, "source"); err != nil {
		return Moved{}, err
	}
	if err := v.checkLedger(ctx, v.to, "target"); err != nil {
		return Moved{}, err
	}
	if sent == nil {
		sent = newInventory()
		if err := sent.take(exportTenant(ctx, v.from, v.tenant)); err != nil {
			return Moved{}, fmt.Errorf("source: %w", err)
		}
	}
	came := newInventory()
	if err := came.take(exportTenant(ctx, v.to, v.tenant)); err != nil {
		return Moved{}, fmt.Errorf("target: %w", err)
	}
	if sent.MoveCounts != came.MoveCounts || sent.checksum() != came.checksum() {
		return Moved{}, fmt.Errorf("the target differs from the source: %s, checksum %s, instead of %s, %s; the tenant stays closed on both sides: cancel the move to open it at the source",
			came.MoveCounts, came.checksum(), sent.MoveCounts, sent.checksum())
	}
	return Moved{MoveCounts: came.MoveCounts, Checksum: came.checksum()}, nil
}

func (v *moving) checkLedger(ctx context.Context, store ports.Store, side string) error {
	audit, err := CheckLedger(ctx, store, v.tenant)
	if err != nil {
		return fmt.Errorf("%s: %w", side, err)
	}
	if d := audit.Differences(); len(d) > 0 {
		return fmt.Errorf("%s: %w in %d places, the first: %s is %s and should be %s", side, ErrLedger, len(d), d[0].What, d[0].Recorded, d[0].Recomputed)
	}
	return nil
}

// copyFiles hands over the references of every run's files.
func (v *moving) copyFiles(ctx context.Context) error {
	if v.Files == nil {
		return nil
	}
	v.Step(v.tenant, "copying its files")
	return EachFileRef(ctx, v.from, v.tenant, func(run core.RunID, refs []core.FileRef) error {
		return v.Files(ctx, v.tenant, run, refs)
	})
}

// Cancel gives up a move that was begun and did not arrive, and opens the tenant at the
// source again. What came to the target stays there, closed for ever: the target then has
// this tenant. It reports whether there was anything to cancel.
func (m *Mover) Cancel(ctx context.Context, tenant core.TenantID) (bool, error) {
	v, err := m.begin(ctx, tenant)
	if err != nil {
		return false, err
	}
	switch {
	case v.here.State != ports.MoveLeaving && v.there.State == ports.MoveExpected:
		return true, v.forget(ctx) // it was interrupted before it closed the source
	case v.here.State != ports.MoveLeaving:
		return false, nil
	case v.there.ID != v.here.ID:
		// The target has never heard of this move, or no more. It may be another database
		// than the move's, in which the tenant may live by now.
		return false, fmt.Errorf("%w: move %s of %s; name the database that it goes to", ErrOtherMove, v.here.ID, v.here.At.Format(time.RFC3339))
	case v.there.State == ports.MoveArrived:
		return false, errors.New("the tenant has arrived at the target; run the move again to end it at the source")
	}
	return true, v.reopen(ctx, ports.Move{})
}
