package watermillqueue

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ wsql.BackoffManager = (*pgFeed)(nil)

// HandleError is asked after each query. It returns when there is something to
// take for somebody who waits, so that an idle feed asks nothing.
func (f *pgFeed) HandleError(_ watermill.LoggerAdapter, _ bool, err error) time.Duration {
	for {
		switch {
		case f.ctx.Err() != nil:
			return time.Minute // Watermill is about to be closed, which ends this wait
		case err != nil:
			f.pauseAfter(err)
			err = nil
			continue
		}
		f.failures = 0
		if want := f.inbox.demand(); want.limit > 0 {
			want.limit = min(want.limit, f.opts.MaxBatch)
			if f.plan, err = f.next(want); len(f.plan) > 0 {
				return 0
			}
			if err != nil {
				continue
			}
		}
		f.sleep(f.opts.PollInterval, true)
	}
}

// pauseAfter waits after a fault, longer each time.
func (f *pgFeed) pauseAfter(err error) {
	delay := min(100*time.Millisecond<<min(f.failures, 6), 3*time.Second)
	f.log.Warn("the queue cannot be read, will try again", "error", err, "in", delay)
	f.failures++
	f.mu.Lock()
	f.unseen = true
	f.mu.Unlock()
	f.sleep(delay, false)
}

// sleep waits, if it is told to only until there may be something new.
func (f *pgFeed) sleep(d time.Duration, wakeful bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wanted, woken := f.inbox.wanted, f.woken
	if !wakeful {
		wanted, woken = nil, nil
	}
	select {
	case <-wanted:
	case <-woken:
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// next plans what to take. Whose jobs there are is looked up only when it is not
// known: when nobody of those who are known has any, when somebody else may have
// sent some, and now and then, because a notification can get lost and what a
// dead server had in hand becomes free without one.
func (f *pgFeed) next(want demand) ([]share, error) {
	f.mu.Lock()
	plan := f.flows.shares(want.limit, want.skip)
	age := time.Since(f.looked)
	look := age >= f.opts.PollInterval || f.unseen && (len(plan) == 0 || age >= lookEvery)
	if !look {
		f.mu.Unlock()
		return plan, nil
	}
	f.unseen = false
	from := f.cursor
	f.mu.Unlock()

	ctx, cancel := context.WithTimeout(f.ctx, statementTimeout)
	defer cancel()
	found, err := f.lookUp(ctx, from)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Now()
	f.cursor = ports.TemplateKey{}
	if len(found) == flowsPage {
		f.cursor, f.unseen = found[flowsPage-1], true
	}
	f.flows.each(func(known *flow) { known.after = 0 })
	for _, key := range found {
		f.flows.add(key)
	}
	return f.flows.shares(want.limit, want.skip), nil
}

// lookUp lists who has jobs.
func (f *pgFeed) lookUp(ctx context.Context, from ports.TemplateKey) (found []ports.TemplateKey, err error) {
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	batch.Queue(flowsSQL, string(from.Tenant), string(from.Template), flowsPage).Query(func(rows pgx.Rows) error {
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (key ports.TemplateKey, err error) {
			var tenant, template string
			err = row.Scan(&tenant, &template)
			return ports.TemplateKey{Tenant: core.TenantID(tenant), Template: core.TemplateID(template)}, err
		})
		return err
	})
	err = f.pool.SendBatch(ctx, batch).Close()
	return found, err
}

// queryRows takes rows.
func queryRows(ctx context.Context, pool *pgxpool.Pool, query string, args []any) (taken []takenRow, err error) {
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	batch.Queue(asyncSQL)
	batch.Queue(query, args...).Query(func(rows pgx.Rows) error {
		taken, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r takenRow, err error) {
			err = row.Scan(&r.tenant, &r.template, &r.messageID, &r.seq, &r.deliveries, &r.metadata, &r.payload)
			return r, err
		})
		return err
	})
	err = pool.SendBatch(ctx, batch).Close()
	return taken, err
}
