package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// auditSchema logs every change of status and every new epoch, in the transaction that
// makes it. Only this test installs it.
const auditSchema = `
CREATE TABLE chaos_files (
    n         bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text NOT NULL, run_id text NOT NULL, index int NOT NULL,
    was text NOT NULL, became text NOT NULL, epoch bigint NOT NULL, new_epoch bigint NOT NULL, retry_attempt int NOT NULL);
CREATE FUNCTION chaos_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_files (tenant_id, run_id, index, was, became, epoch, new_epoch, retry_attempt)
    VALUES (NEW.tenant_id, NEW.run_id, NEW.index, OLD.status, NEW.status, OLD.epoch, NEW.epoch, NEW.retry_attempt);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_files AFTER UPDATE ON files FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.epoch IS DISTINCT FROM NEW.epoch)
    EXECUTE FUNCTION chaos_files();

CREATE TABLE chaos_runs (
    n         bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text NOT NULL, run_id text NOT NULL, attempt int NOT NULL, was text NOT NULL, became text NOT NULL);
CREATE FUNCTION chaos_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_runs (tenant_id, run_id, attempt, was, became)
    VALUES (NEW.tenant_id, NEW.run_id, NEW.attempt, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_runs AFTER UPDATE ON runs FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION chaos_runs();`

func installAudit(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), auditSchema)
	require.NoError(t, err)
}

// refuseEnqueues makes the queue refuse one in so many statements that send jobs:
// dispatches are undone and refunded, or finished by recovery. The count is a sequence,
// which goes on although the refused statement is rolled back.
func refuseEnqueues(t *testing.T, pool *pgxpool.Pool, every int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), fmt.Sprintf(`
CREATE SEQUENCE chaos_enqueues;
CREATE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('chaos_enqueues') %% %d = 0 THEN
        RAISE EXCEPTION 'the queue takes no jobs now' USING ERRCODE = 'insufficient_resources';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_refuse BEFORE INSERT ON queue_messages FOR EACH STATEMENT EXECUTE FUNCTION chaos_refuse()`, every))
	require.NoError(t, err)
}

// acceptEnqueues ends that, and says how many were refused.
func acceptEnqueues(t *testing.T, pool *pgxpool.Pool) (refused int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `DROP TRIGGER chaos_refuse ON queue_messages`)
	require.NoError(t, err)
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT last_value FROM chaos_enqueues`).Scan(&refused))
	return refused / *refuseEvery
}

// isResult is the recording of a result.
const isResult = `was = 'processing' AND became IN ('completed', 'failed', 'error')`

// auditRules are what must not be in the log of runs: each query gives a sentence for each
// violation. The model checks the files.
var auditRules = []struct{ invariant, sql string }{
	{"I7: an attempt did not close exactly once", `
SELECT format('run %s, attempt %s closed %s times', a.run_id, a.attempt, count(c.n))
  FROM attempts a
  LEFT JOIN chaos_runs c ON c.tenant_id = a.tenant_id AND c.run_id = a.run_id AND c.attempt = a.attempt AND c.was = 'RUNNING'
 GROUP BY a.tenant_id, a.run_id, a.attempt HAVING count(c.n) <> 1`},
	{"I11: not closed", `
SELECT format('run %s: attempt %s, epoch %s, dispatch %s, dispatched at %s, %s redispatches, recover at %s; files: %s',
       r.run_id, r.attempt, r.epoch, r.dispatch, r.dispatched_at, r.redispatches, r.recover_at,
       (SELECT string_agg(s, ', ') FROM (SELECT format('%s %s', count(*), f.status) AS s FROM files f
         WHERE f.tenant_id = r.tenant_id AND f.run_id = r.run_id GROUP BY f.status) x))
  FROM runs r WHERE status = 'RUNNING'`},
}

// auditIndexes are made when the log is complete, so that they do not slow the servers.
const auditIndexes = `
CREATE INDEX ON chaos_files (tenant_id, run_id, index, n);
CREATE INDEX ON chaos_runs (tenant_id, run_id, attempt);
ANALYZE chaos_files; ANALYZE chaos_runs; ANALYZE files; ANALYZE runs; ANALYZE attempts`

// audit gives the violations in the log. Call it once.
func audit(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	if _, err := pool.Exec(ctx, auditIndexes); err != nil {
		return nil, err
	}
	var wrong []string
	for _, rule := range auditRules {
		found, err := texts(ctx, pool, rule.sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule.invariant, err)
		}
		for _, what := range found {
			wrong = append(wrong, rule.invariant+": "+what)
		}
	}
	found, err := auditFiles(ctx, pool)
	return append(wrong, found...), err
}

// auditFiles plays the log of the files through the model, which must come to what the
// files are now.
func auditFiles(ctx context.Context, pool *pgxpool.Pool) (wrong []string, err error) {
	judge := func(rule model.Rule, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s: ", rule)+fmt.Sprintf(format, args...))
	}
	rows, err := pool.Query(ctx, `SELECT tenant_id, run_id, index, was, became, epoch, new_epoch FROM chaos_files ORDER BY n`)
	if err != nil {
		return nil, err
	}
	var log model.Log
	var c model.Change
	_, err = pgx.ForEachRow(rows, []any{&c.Tenant, &c.Run, &c.Index, &c.Was, &c.Became, &c.Epoch, &c.NewEpoch}, func() error {
		log.Add(judge, c)
		return nil
	})
	if err != nil {
		return wrong, err
	}
	if rows, err = pool.Query(ctx, `SELECT tenant_id, run_id, index, status, epoch FROM files`); err != nil {
		return wrong, err
	}
	_, err = pgx.ForEachRow(rows, []any{&c.Tenant, &c.Run, &c.Index, &c.Became, &c.NewEpoch}, func() error {
		last := log.File(c.Tenant, c.Run, c.Index)
		switch {
		case last == nil && c.Became != core.FilePending:
			judge(model.Refinement, "file %d of run %s is %s in epoch %d, and nothing changed it", c.Index, c.Run, c.Became, c.NewEpoch)
		case last != nil && (last.Status != c.Became || last.Epoch != c.NewEpoch):
			judge(model.Refinement, "file %d of run %s is %s in epoch %d, by its changes it is %s in epoch %d", c.Index, c.Run, c.Became, c.NewEpoch, last.Status, last.Epoch)
		}
		return nil
	})
	return wrong, err
}

func texts(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) ([]string, error) {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// compare gives the differences between the database and the answers that users got, and
// the files that have another file's output.
func (u *users) compare(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	wrong := slices.Clone(u.wrong)
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }

	ids, err := texts(ctx, pool, `SELECT run_id FROM runs`)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, known := u.runs[id]; !known {
			complain("I12: run %s was charged, and no user got an answer with it", id)
		}
	}
	if len(ids) != len(u.runs) {
		complain("users got answers for %d runs, there are %d", len(u.runs), len(ids))
	}

	rows, err := pool.Query(ctx, `SELECT run_id, attempt FROM attempts WHERE attempt > 0 AND compensated_at IS NULL`)
	if err != nil {
		return nil, err
	}
	made, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a attempt, err error) {
		err = row.Scan(&a.run, &a.number)
		return a, err
	})
	if err != nil {
		return nil, err
	}
	for _, a := range made {
		if _, answered := u.won[a]; !answered {
			complain("I12: attempt %d of run %s was charged, and no user got an answer with it", a.number, a.run)
		}
	}
	if len(made) != len(u.won) {
		complain("users got answers for %d Continues, there are %d", len(u.won), len(made))
	}

	rows, err = pool.Query(ctx, `SELECT run_id, index, name, output FROM files WHERE status = 'completed'`)
	if err != nil {
		return nil, err
	}
	var id, name, output string
	var index int
	_, err = pgx.ForEachRow(rows, []any{&id, &index, &name, &output}, func() error {
		n := u.runs[id]
		if name != fileName(n, index) || output != outputOf(n, index) {
			complain("run %s, file %d is %q with the output %q", id, index, name, output)
		}
		return nil
	})
	return wrong, err
}

// executions counts how often files were executed, from the provider's requests. It is for
// information: executing a file again is allowed.
type executions struct {
	epochs    int // (file, epoch) pairs that the provider saw
	requests  int
	repeated  int // of the pairs, those with more than one request (in-job retries)
	completed int // requests answered with a result
	thrown    int // pairs with a result that was not recorded: the worker died or was fenced
	twice     int // pairs with more than one result
}

// executions matches the provider's requests with the epochs under which files were
// claimed, and reports those without a match.
func (p *provider) executions(ctx context.Context, pool *pgxpool.Pool) (x executions, wrong []string, err error) {
	rows, err := pool.Query(ctx, `
SELECT c.run_id, c.index, c.epoch, r.mode, EXISTS (SELECT FROM chaos_files d
         WHERE d.tenant_id = c.tenant_id AND d.run_id = c.run_id AND d.index = c.index AND d.epoch = c.epoch AND d.became = 'completed')
  FROM chaos_files c JOIN runs r USING (tenant_id, run_id) WHERE c.was = 'pending' AND c.became = 'processing'`)
	if err != nil {
		return x, nil, err
	}
	type claim struct {
		what     string
		recorded bool // as completed
	}
	claims := map[string]claim{} // by idempotency key
	var id core.RunID
	var index int
	var epoch core.Epoch
	var mode core.Mode
	var recorded bool
	_, err = pgx.ForEachRow(rows, []any{&id, &index, &epoch, &mode, &recorded}, func() error {
		job := core.FileJobID(id, index)
		if mode == core.ModeBatch {
			job = core.BatchJobID(id)
		}
		// As adapters/llm makes the key. If it changes, no request will have a match.
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d", job, epoch, index))
		claims["redrive-"+hex.EncodeToString(sum[:16])] = claim{fmt.Sprintf("run %s, file %d, epoch %d", id, index, epoch), recorded}
		return nil
	})
	p.each(func(key string, c calls) {
		claim, known := claims[key]
		if !known {
			wrong = append(wrong, fmt.Sprintf("I8: %s was executed under an epoch that it was not claimed in", c.file))
		}
		x.epochs++
		x.requests += c.requests
		x.completed += c.completed
		if c.requests > 1 {
			x.repeated++
		}
		if c.completed > 1 {
			x.twice++
		}
		switch {
		case claim.recorded && c.completed == 0:
			wrong = append(wrong, "I8: completed without a result of the provider under that epoch: "+claim.what)
		case !claim.recorded && c.completed > 0:
			x.thrown++
		}
		delete(claims, key)
	})
	for _, claim := range claims {
		if claim.recorded {
			wrong = append(wrong, "I8: completed, and the provider was never asked: "+claim.what)
		}
	}
	return x, wrong, err
}
