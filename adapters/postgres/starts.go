package postgres

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type starts struct{ t *tx }

const (
	// retriableFiles reads the files of several runs.
	retriableFiles = `
SELECT f.run_id, ` + readFile + `
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[]) AS u (run_id) OFFSET 0) wanted
  JOIN files f ON f.tenant_id = wanted.tenant_id AND f.run_id = wanted.run_id
 WHERE f.status = ANY('{failed,pending}'::text[])`
	startTemplates = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 AND template_id = ANY($2::text[])`
	startAnswers   = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = $1 AND key = ANY($2::text[])`
)

// Read takes one round trip. Each of its statements sees what was committed before it, the
// first of them waits for the lock, and so the others are as it leaves them.
func (s starts) Read(ctx context.Context, want ports.StartReads) (ports.StartInputs, error) {
	found := ports.StartInputs{
		Files:     make(map[core.RunID][]core.File, len(want.Runs)),
		Templates: make(map[core.TemplateID]core.Template, len(want.Templates)),
		Answers:   make(map[core.Key]core.Answer, len(want.Keys)),
	}
	if err := s.t.writable(); err != nil {
		return found, err
	}
	batch := &pgx.Batch{}
	account := ledger(s).queueLock(batch, want.Period) // nothing, if it is held
	switch len(want.Runs) {
	case 0:
	case 1:
		run := want.Runs[0]
		batch.Queue(filesInStatus, s.t.tenant, findable(run), []core.FileStatus{core.FileFailed, core.FilePending}).
			Query(each(scanFile, func(file core.File) { found.Files[run] = append(found.Files[run], file) }))
	default:
		batch.Queue(retriableFiles+ofTenant(s.t.citus, "f")+` ORDER BY f.run_id, f.index`, s.t.tenant, findableTexts(want.Runs)).
			Query(each(scanFileOf, func(f fileOf) { found.Files[f.run] = append(found.Files[f.run], f.File) }))
	}
	if len(want.Templates) > 0 {
		batch.Queue(startTemplates, s.t.tenant, findableTexts(want.Templates)).
			Query(each(scanTemplate, func(t core.Template) { found.Templates[t.ID] = t }))
	}
	if len(want.Keys) > 0 {
		batch.Queue(startAnswers, s.t.tenant, findableTexts(want.Keys)).
			Query(each(scanAnswer, func(a core.Answer) { found.Answers[a.Key] = a }))
	}
	if batch.Len() > 0 {
		if err := s.t.batch(ctx, batch); err != nil {
			return ports.StartInputs{}, err
		}
	}
	a, err := account()
	if err != nil {
		return ports.StartInputs{}, err
	}
	found.Balance = a.balance(want.Period)
	return found, nil
}

// fileOf is a file and its run.
type fileOf struct {
	run core.RunID
	core.File
}

func scanFileOf(row pgx.CollectableRow) (f fileOf, err error) {
	var file fileRow
	err = row.Scan(append([]any{&f.run}, file.targets()...)...)
	f.File = file.file()
	return f, err
}

// Write takes one round trip, and another one if a charge is of a period that was not read
// under the lock. Statements are sent together, so what is in the way of one is found out after others were written.
func (s starts) Write(ctx context.Context, list []ports.Start, given []core.Answer) ([]core.Entry, error) {
	if err := s.t.writable(); err != nil {
		return nil, err
	}
	posted, err := s.post(ctx, list)
	if err != nil {
		return nil, err
	}
	w := writeBatch{tenant: s.t.tenant, citus: s.t.citus}
	allSaved := runs(s).queueSave(&w.batch, overwritten(list))
	if err := w.queue(list, posted, s.t.account, given); err != nil {
		return nil, err
	}
	var jobs []core.Job
	for i := range list {
		jobs = append(jobs, list[i].Jobs...)
	}
	if err := s.t.queueJobs(ctx, &w.batch, jobs); err != nil {
		return nil, err
	}
	if w.batch.Len() == 0 {
		return nil, nil
	}
	if err = s.t.batch(ctx, &w.batch); err == nil {
		err = cmp.Or(allSaved(), w.missing)
	} else {
		err = cmp.Or(w.missing, err) // files are refused too, after their run that was there already
	}
	if err != nil {
		s.t.failed, s.t.account = err, nil
		return nil, err
	}
	return posted, nil
}

// post decides by the rule of core what the charges leave, one after the other, and
// writes nothing.
func (s starts) post(ctx context.Context, list []ports.Start) ([]core.Entry, error) {
	var posted []core.Entry
	for i := range list {
		for _, e := range list[i].Charge {
			a, err := ledger(s).lock(ctx, e.Period)
			if err != nil {
				return nil, err
			}
			after, err := a.balance(e.Period).Apply(e)
			if err != nil {
				s.t.failed = err
				return nil, err
			}
			a.lastSeq++
			e.Tenant, e.Seq = s.t.tenant, a.lastSeq
			a.purchased, a.monthly[e.Period] = after.Purchased, after.Monthly
			posted = append(posted, e)
		}
	}
	return posted, nil
}

// overwritten gives the runs that are there, with what changes of their files.
func overwritten(list []ports.Start) []ports.RunRows {
	var rows []ports.RunRows
	for i := range list {
		if b := &list[i]; !b.New {
			rows = append(rows, ports.RunRows{Run: b.Run, Files: b.Files})
		}
	}
	return rows
}

// writeBatch queues what starts write. Each statement must write a row of its table;
// why one did not is in missing.
type writeBatch struct {
	tenant  core.TenantID
	citus   bool
	batch   pgx.Batch
	missing error
}

func (w *writeBatch) write(otherwise error, what, sql string, args ...any) {
	w.batch.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 && w.missing == nil {
			w.missing = fmt.Errorf("%w: %s", otherwise, what)
		}
		return nil
	})
}

func (w *writeBatch) queue(list []ports.Start, posted []core.Entry, a *account, given []core.Answer) error {
	for i := range list {
		b := &list[i]
		if b.New {
			for _, st := range insertingRun(w.citus, w.tenant, b.Run, b.Files) {
				w.write(ports.ErrExists, "run", st.sql, st.args...)
			}
		}
		for _, st := range insertingAttempt(w.citus, w.tenant, &b.Attempt) {
			w.write(ports.ErrExists, "attempt", st.sql, st.args...)
		}
	}
	w.charge(posted, a)
	for i := range given {
		args, err := answerArgs(w.tenant, given[i])
		if err != nil {
			return err
		}
		w.write(ports.ErrExists, "answer", insertAnswer, args...)
	}
	return nil
}

// charge writes the entries, and the balances once, as the last entry leaves them.
func (w *writeBatch) charge(posted []core.Entry, a *account) {
	if len(posted) == 0 {
		return
	}
	months := map[core.Period]bool{}
	for i := range posted {
		w.write(ports.ErrExists, "ledger entry", insertEntry+` ON CONFLICT DO NOTHING`, entryArgs(posted[i])...)
		months[posted[i].Period] = true
	}
	w.write(ports.ErrNotFound, "credits", `UPDATE credits SET purchased = $2, last_seq = $3 WHERE tenant_id = $1`, w.tenant, a.purchased, a.lastSeq)
	for p := range months {
		if row, there := a.rows[p]; there && row == a.monthly[p] {
			continue // it was paid with purchased credits alone
		}
		a.rows[p] = a.monthly[p]
		w.write(ports.ErrNotFound, "allowance", saveAllowance, w.tenant, p.String(), a.monthly[p])
	}
}
