package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/pgtest"
)

const (
	floorWorkers = 8   // goroutines
	floorGroup   = 100 // jobs that are claimed, and settled, at a time
)

// floorSide is the least that Postgres has to do for Redrive's jobs: the rows of the
// runs and files, with all their checks, are inserted, claimed and settled in groups,
// under the runs' locks and with their counters. There is no queue but a slice, no
// ledger, no plan and no fault that it would survive.
type floorSide struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	waiting []floorJobs
	wake    *sync.Cond
	closed  bool

	settled atomic.Int64
}

// floorJobs are files of one run.
type floorJobs struct {
	tenant, run string
	from, to    int // indexes
}

func newFloor(b *testing.B, server *pgtest.Server) *floorSide {
	b.Helper()
	config, err := pgxpool.ParseConfig(server.New(b).URL)
	require.NoError(b, err)
	config.MaxConns = int32(*conns)
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	for i := range tenants {
		_, err = pool.Exec(b.Context(), `
WITH tenant AS (INSERT INTO tenants VALUES ($1, 'Bench', 0, now()))
INSERT INTO templates VALUES ($1, $2, 'No-op', '', 1, 'per_file', 'published', now(), now())`, tenantOf(i), template)
		require.NoError(b, err)
	}
	f := &floorSide{pool: pool}
	f.wake = sync.NewCond(&f.mu)
	return f
}

func (f *floorSide) database() *pgxpool.Pool { return f.pool }

// insert writes each group as a run, and hands its jobs over.
func (f *floorSide) insert(b *testing.B, l load, name string) {
	b.Helper()
	names, refs := make([]string, l.each), make([]string, l.each)
	for i := range names {
		names[i], refs[i] = fmt.Sprintf("file-%d.txt", i), fmt.Sprintf("sha256:%064d", i)
	}
	const run = `
INSERT INTO runs (tenant_id, run_id, template_id, mode, status, reason, created_by_subject, created_by_tenant, created_by_role, created_at,
       max_retry_count, attempt, epoch, dispatch, total_jobs, attempt_jobs, completed_jobs, failed_jobs, file_count,
       tally_unfinished, tally_completed, tally_failed, tally_error, credits_consumed, credits_from_monthly, credits_from_purchased,
       recover_at, dispatched_at, redispatches)
VALUES ($1, $2, $3, 'per_file', 'RUNNING', '', 'bench', '', 'bubble_admin', now(), 3, 0, 1, 'confirmed', $4, $4, 0, 0, $4, $4, 0, 0, 0, 0, 0, 0, now(), now(), 0)`
	const files = `
INSERT INTO files (tenant_id, run_id, index, name, ref, size, status, retry_attempt, max_retry_count, epoch, redeliveries, paid_by,
       output, failure_code, failure_message)
SELECT $1, $2, u.place - 1, u.name, u.ref, 1000, 'pending', 0, 3, 1, 0, 0, '', '', ''
  FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS u (name, ref, place)`
	require.NoError(b, l.eachGroup(func(group int) error {
		tenant, id := string(tenantOf(group)), fmt.Sprintf("%s-%d", name, group)
		batch := &pgx.Batch{}
		batch.Queue(run, tenant, id, string(template), l.each)
		batch.Queue(files, tenant, id, names, refs)
		if err := f.pool.SendBatch(b.Context(), batch).Close(); err != nil {
			return err
		}
		f.mu.Lock()
		for from := 0; from < l.each; from += floorGroup {
			f.waiting = append(f.waiting, floorJobs{tenant, id, from, min(from+floorGroup, l.each)})
		}
		f.mu.Unlock()
		f.wake.Broadcast()
		return nil
	}))
}

// take waits for jobs, and gives up to floorGroup of them; none when it is over.
func (f *floorSide) take() (group []floorJobs) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.waiting) == 0 && !f.closed {
		f.wake.Wait()
	}
	for n := 0; len(f.waiting) > 0; {
		if n += f.waiting[0].to - f.waiting[0].from; n > floorGroup && len(group) > 0 {
			break
		}
		group = append(group, f.waiting[0])
		f.waiting = f.waiting[1:]
	}
	return group
}

// work starts the workers, and gives what stops them.
func (f *floorSide) work(b *testing.B) (stop func()) {
	b.Helper()
	f.closed = false
	var running sync.WaitGroup
	for range floorWorkers {
		running.Go(func() {
			for group := f.take(); len(group) > 0; group = f.take() {
				if err := f.workGroup(b.Context(), group); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	return func() {
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.wake.Broadcast()
		running.Wait()
	}
}

const (
	floorLock = `
SELECT FROM runs r WHERE (tenant_id, run_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
 ORDER BY tenant_id, run_id FOR UPDATE`
	floorOf = `
  FROM (SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS u (tenant_id, run_id, index) OFFSET 0) u
 WHERE f.tenant_id = u.tenant_id AND f.run_id = u.run_id AND f.index = u.index AND f.epoch = 1`
	floorClaim  = `UPDATE files f SET status = 'processing', lease_until = $4` + floorOf + ` AND f.status = 'pending'`
	floorSettle = `UPDATE files f SET status = 'completed', lease_until = NULL, output = 'ok'` + floorOf + ` AND f.status = 'processing'`
	floorCount  = `
UPDATE runs r SET completed_jobs = completed_jobs + n, tally_completed = tally_completed + n, tally_unfinished = tally_unfinished - n,
       status = CASE WHEN tally_unfinished = n THEN 'COMPLETED' ELSE status END,
       closed_at = CASE WHEN tally_unfinished = n THEN now() END, recover_at = CASE WHEN tally_unfinished <> n THEN recover_at END
  FROM unnest($1::text[], $2::text[], $3::int[]) AS u (tenant_id, run_id, n)
 WHERE r.tenant_id = u.tenant_id AND r.run_id = u.run_id`
)

// workGroup claims and settles, in two transactions of one round trip each.
func (f *floorSide) workGroup(ctx context.Context, group []floorJobs) error {
	var runTenants, runs, tenants, ids []string
	var counts, indexes []int32
	place := map[string]int{}
	for _, g := range group {
		at, known := place[g.run]
		if !known {
			at = len(runs)
			place[g.run] = at
			runTenants, runs, counts = append(runTenants, g.tenant), append(runs, g.run), append(counts, 0)
		}
		counts[at] += int32(g.to - g.from)
		for i := g.from; i < g.to; i++ {
			tenants, ids, indexes = append(tenants, g.tenant), append(ids, g.run), append(indexes, int32(i))
		}
	}
	all := func(tag pgconn.CommandTag) error {
		if int(tag.RowsAffected()) != len(indexes) {
			return fmt.Errorf("%d of %d files", tag.RowsAffected(), len(indexes))
		}
		return nil
	}
	claim := &pgx.Batch{}
	claim.Queue(floorLock, runTenants, runs)
	claim.Queue(floorClaim, tenants, ids, indexes, time.Now().Add(time.Minute)).Exec(all)
	if err := f.pool.SendBatch(ctx, claim).Close(); err != nil {
		return err
	}
	settle := &pgx.Batch{}
	settle.Queue(floorLock, runTenants, runs)
	settle.Queue(floorSettle, tenants, ids, indexes).Exec(all)
	settle.Queue(floorCount, runTenants, runs, counts)
	if err := f.pool.SendBatch(ctx, settle).Close(); err != nil {
		return err
	}
	f.settled.Add(int64(len(indexes)))
	return nil
}

// done waits until as many jobs have been settled since.
func (f *floorSide) done(b *testing.B, since int64, jobs int) {
	b.Helper()
	late := time.Now().Add(timeout)
	for f.settled.Load() < since+int64(jobs) {
		require.False(b, b.Failed())
		require.Less(b, time.Now(), late, "the floor did not do its jobs")
		time.Sleep(time.Millisecond)
	}
}

func (f *floorSide) measure(b *testing.B, l load, timed stopwatch) (got figures) {
	b.Helper()
	stop := f.work(b)
	f.insert(b, warmUp, "warm-up")
	f.done(b, 0, warmUp.jobs())
	before := f.settled.Load()
	got.endToEnd = timed("end to end", func() {
		f.insert(b, l, "end-to-end")
		f.done(b, before, l.jobs())
	})
	stop()

	f.insert(b, l, "work-only")
	before = f.settled.Load()
	got.workOnly = timed("work only", func() {
		stop = f.work(b)
		f.done(b, before, l.jobs())
	})
	stop()

	var files, left, running int
	require.NoError(b, f.pool.QueryRow(b.Context(),
		`SELECT count(*), count(*) FILTER (WHERE status <> 'completed'), (SELECT count(*) FROM runs WHERE status <> 'COMPLETED') FROM files`).
		Scan(&files, &left, &running))
	require.Equal(b, 2*l.jobs()+warmUp.jobs(), files)
	require.Zero(b, left)
	require.Zero(b, running)
	return got
}
