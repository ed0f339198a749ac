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

// isResult is the recording of a result.
const isResult = `was = 'processing' AND became IN ('completed', 'failed', 'error')`

// auditRules are what must not be in the log: each query gives a sentence for each
// violation.
var auditRules = []struct{ invariant, sql string }{
	{"I8: two results of one epoch", `
SELECT format('run %s, file %s, epoch %s: %s', run_id, index, epoch, string_agg(became, ', ' ORDER BY n))
  FROM chaos_files WHERE ` + isResult + ` GROUP BY tenant_id, run_id, index, epoch HAVING count(*) > 1`},
	{"I8: two claims of one epoch", `
SELECT format('run %s, file %s, epoch %s: %s claims', run_id, index, epoch, count(*))
  FROM chaos_files WHERE was = 'pending' AND became = 'processing' GROUP BY tenant_id, run_id, index, epoch HAVING count(*) > 1`},
	{"I8: a result of another epoch than its claim", `
SELECT format('run %s, file %s: %s of epoch %s became %s of epoch %s', run_id, index, was, epoch, became, new_epoch)
  FROM chaos_files WHERE epoch <> new_epoch AND (` + isResult + ` OR became = 'processing')`},
	{"I8: a final file changed", `
SELECT format('run %s, file %s: %s became %s', run_id, index, was, became)
  FROM chaos_files WHERE was IN ('completed', 'error')`},
	{"I8: an epoch went back, or was used for another wait", `
SELECT format('run %s, file %s: %s of epoch %s became %s of epoch %s', run_id, index, was, epoch, became, new_epoch)
  FROM chaos_files WHERE new_epoch < epoch OR (was = 'processing' AND became = 'pending' AND new_epoch <= epoch)`},
	{"the log and the files differ", `
SELECT format('run %s, file %s: the last change says %s, the file %s', f.run_id, f.index, last.became, f.status)
  FROM files f
  LEFT JOIN LATERAL (SELECT became FROM chaos_files c
         WHERE c.tenant_id = f.tenant_id AND c.run_id = f.run_id AND c.index = f.index ORDER BY n DESC LIMIT 1) last ON true
 WHERE coalesce(last.became, 'pending') <> f.status`},
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
	// The legal transitions are core's own table.
	changes, err := texts(ctx, pool, `SELECT DISTINCT was || ' ' || became FROM chaos_files`)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		var was, became core.FileStatus
		if _, err := fmt.Sscan(change, &was, &became); err != nil {
			return nil, err
		}
		if !was.CanBecome(became) {
			wrong = append(wrong, "I8: a file went from "+change)
		}
	}
	return wrong, nil
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
