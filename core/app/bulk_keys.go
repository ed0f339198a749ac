package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// bulkDeed is the making of a bulk continue, once per key. That of one tenant is remembered
// as every deed is, and moves with its tenant; that over several tenants is remembered beside
// the bulk continues themselves. The key of one that was made is kept for ever: it charges
// long after it was made, and the ledger does not know its key.
type bulkDeed struct {
	s *Service
	deed

	actor core.Actor
	asked BulkRequest
}

// bulkMade is what is remembered of one that was made.
type bulkMade struct {
	Bulk     core.BulkID
	Expected core.Credits `json:",omitempty"` // as core.Bulk has it
}

// first gives what was answered under the context's key; nil if nothing was.
func (d bulkDeed) first(ctx context.Context) (*core.Reply, error) {
	key := idempotencyOf(ctx).Key
	if key == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	var first core.Reply
	var err error
	if d.tenant == "" {
		first, err = d.s.store.BulkContinues().Reply(ctx, key)
	} else {
		err = d.s.store.View(ctx, d.tenant, func(tx ports.Tx) (err error) {
			first, err = tx.Replies().Get(ctx, d.op, key)
			return err
		})
	}
	if errors.Is(err, ports.ErrNotFound) {
		return nil, nil //nolint:nilnil // as above
	}
	return &first, err
}

// replay answers a repeat.
func (d bulkDeed) replay(ctx context.Context, first core.Reply) (BulkView, error) {
	asked, err := d.reply(d.s, first.Key)
	if err != nil {
		return BulkView{}, err
	}
	made, err := replay[bulkMade](ctx, first, asked)
	if err != nil {
		return BulkView{}, err
	}
	v, err := d.s.bulkMadeBefore(ctx, made)
	if d.tenant == "" || !errors.Is(err, core.ErrBulkNotFound) {
		return v, err
	}
	again, failed := d.makeAgain(ctx, made)
	if failed != nil {
		return BulkView{}, failed
	}
	if !again {
		return v, err
	}
	d.s.log.Warn("a bulk continue was lost by its database when it was made, and is made again", "bulk", made.Bulk, "tenant", d.tenant)
	d.s.signalBulk()
	return d.s.bulkMadeBefore(ctx, made)
}

// makeAgain makes one of a single tenant whose part is there, but which is not. In one database
// the two are made together. Where a tenant's rows are on another server than the bulk continues
// themselves, a crash between their commits loses the latter, although the key is answered. It
// is made again under its ID as long as nothing else can have removed it: the part was never
// driven, and is younger than any that is swept.
func (d bulkDeed) makeAgain(ctx context.Context, made bulkMade) (again bool, err error) {
	err = d.s.store.InTx(ctx, d.tenant, func(tx ports.Tx) error {
		again = false
		part, err := tx.BulkParts().Lock(ctx, made.Bulk)
		if errors.Is(err, ports.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := d.s.clock.Now()
		young := now.Add(-min(bulkMaking, d.s.opts.BulkKeep, d.s.opts.IdempotencyTTL))
		if part.Fence != 0 || part.Totals.Waiting != part.Totals.Runs() || !part.CreatedAt.After(young) {
			return nil
		}
		again = true
		err = tx.BulkParts().Make(ctx, d.asked.bulk(made.Bulk, d.actor, part.Totals.Waiting, made.Expected, part.CreatedAt))
		if errors.Is(err, ports.ErrExists) {
			return nil // another repeat was faster
		}
		return err
	})
	return again, err
}

// bulk is what a request makes.
func (r BulkRequest) bulk(id core.BulkID, actor core.Actor, runs int, expected core.Credits, now time.Time) core.Bulk {
	return core.Bulk{
		ID: id, Tenant: r.Tenant, Key: r.IdempotencyKey, Fingerprint: r.fingerprint(), By: actor, CreatedAt: now,
		Selection: r.selection(), Terms: r.Terms, Runs: runs, Expected: expected,
		Status: core.BulkRunning, ChangedBy: actor, ChangedAt: now,
	}
}

// bulkMadeBefore gives the bulk continue that an earlier request under the key has made.
func (s *Service) bulkMadeBefore(ctx context.Context, made bulkMade) (BulkView, error) {
	b, err := s.store.BulkContinues().Get(ctx, made.Bulk)
	if errors.Is(err, ports.ErrNotFound) {
		kept(ctx)
		return BulkView{}, &core.Error{
			Code:    core.CodeBulkNotFound,
			Message: fmt.Sprintf("bulk continue %s was made under this Idempotency-Key and is not here any more: it ended long ago and was removed, was left behind by its tenant's move, or was lost by the database as it was made; nothing more was made or charged", made.Bulk),
		}
	}
	if err != nil {
		return BulkView{}, err
	}
	return s.bulkView(ctx, b)
}

// make makes what was planned, or remembers why not. It gives what another request under
// the key has made if that was faster, or its refusal.
func (d bulkDeed) make(ctx context.Context, plan *bulkPlan, refusal *core.Error) (bulkMade, error) {
	if d.tenant == "" {
		return d.makeOverSeveral(ctx, plan, refusal)
	}
	if refusal != nil && idempotencyOf(ctx).Key == "" {
		return bulkMade{}, refusal
	}
	return once(ctx, d.s, d.deed, func(tx ports.Tx) (bulkMade, error) {
		if refusal != nil {
			return bulkMade{}, refusal
		}
		for n, of := range plan.chosen { // there is one
			if err := d.s.insertBulkPart(ctx, tx, plan, n); err != nil {
				return bulkMade{}, notFound(err, tenantNotFound(of.tenant))
			}
		}
		return bulkMade{plan.ID, plan.Expected}, tx.BulkParts().Make(ctx, plan.Bulk)
	})
}

// makeOverSeveral needs several transactions, see insertBulkParts.
func (d bulkDeed) makeOverSeveral(ctx context.Context, plan *bulkPlan, refusal *core.Error) (bulkMade, error) {
	all, made := d.s.store.BulkContinues(), bulkMade{Bulk: plan.ID}
	var reply *core.Reply
	if key := idempotencyOf(ctx).Key; key != "" {
		r, err := d.reply(d.s, key)
		if err != nil {
			return bulkMade{}, err
		}
		reply = &r
	}
	if refusal != nil {
		switch {
		case reply == nil:
			return bulkMade{}, refusal
		case !remembered(refusal.Code):
			return d.orFirst(ctx, *reply, bulkMade{}, refusal)
		}
		reply.Refusal = refusal
		err := all.Refuse(ctx, *reply)
		if err == nil {
			kept(ctx)
			return bulkMade{}, refusal
		}
		return d.orFirst(ctx, *reply, bulkMade{}, err)
	}
	written, err := d.s.insertBulkParts(ctx, plan)
	if err != nil {
		d.s.undoBulkParts(ctx, plan.ID, written)
		return bulkMade{}, err
	}
	if reply == nil {
		return made, all.Insert(ctx, plan.Bulk, nil)
	}
	if reply.Result, err = json.Marshal(made); err != nil {
		return bulkMade{}, fmt.Errorf("app: the result of %s is not kept: %w", d.op, err)
	}
	first, err := d.orFirst(ctx, *reply, made, all.Insert(ctx, plan.Bulk, reply))
	if first.Bulk != plan.ID && !errors.Is(err, ports.ErrCommitUnknown) {
		d.s.undoBulkParts(ctx, plan.ID, written)
	}
	return first, err
}

// orFirst gives the first answer under the key of asked if err is that there is one, or a
// refusal, since the key was looked at: another request under it may have been faster.
func (d bulkDeed) orFirst(ctx context.Context, asked core.Reply, made bulkMade, err error) (bulkMade, error) {
	exists := errors.Is(err, ports.ErrExists)
	if _, refused := asRefusal(err); !exists && !refused {
		return orNone(made, err)
	}
	first, found := d.s.store.BulkContinues().Reply(ctx, asked.Key)
	if errors.Is(found, ports.ErrNotFound) {
		if exists {
			err = core.InProgress() // it was forgotten a moment ago: the next repeat is the first
		}
		return bulkMade{}, err
	}
	if found != nil {
		return bulkMade{}, found
	}
	return replay[bulkMade](ctx, first, asked)
}

// part is what a new bulk continue has of a tenant: all of it waits.
func (of runsOf) part(b core.Bulk) (core.BulkPart, []core.BulkRun) {
	runs := make([]core.BulkRun, len(of.runs))
	for i, run := range of.runs {
		runs[i] = core.BulkRun{Place: i, Run: run.ID, State: core.BulkRunWaiting}
	}
	return core.NewBulkPart(of.tenant, b.ID, len(runs), b.CreatedAt), runs
}
