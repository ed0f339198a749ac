package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type starts struct{ t *tx }

// Read reads everything on one connection.
func (s starts) Read(ctx context.Context, want ports.StartReads) (found ports.StartInputs, err error) {
	if found.Balance, err = ledger(s).BalanceForUpdate(ctx, want.Period); err != nil {
		return found, err
	}
	found.Files = make(map[core.RunID][]core.File, len(want.Runs))
	found.Templates = make(map[core.TemplateID]core.Template, len(want.Templates))
	found.Answers = make(map[core.Key]core.Answer, len(want.Keys))
	err = s.t.read(ctx, ofFiles|ofTemplates|ofAnswers, func(c *conn) error {
		statuses := jsonWords([]core.FileStatus{core.FileFailed, core.FilePending})
		for _, id := range want.Runs {
			if err := s.query(c, filesInStatus, func(r *row) { found.Files[id] = append(found.Files[id], scanFile(r)) }, findable(id), statuses); err != nil {
				return err
			}
		}
		for _, id := range want.Templates {
			if err := s.query(c, getTemplate, func(r *row) { found.Templates[id] = scanTemplate(r) }, findable(id)); err != nil {
				return err
			}
		}
		for _, key := range want.Keys {
			if err := s.query(c, getAnswer, func(r *row) { found.Answers[key] = scanAnswer(r) }, findable(key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return ports.StartInputs{}, err
	}
	for id, list := range found.Files {
		s.t.knowRead(id, list)
	}
	for id := range found.Templates {
		s.t.isThere(rowKey{kind: locktable.Template, id: string(id)})
	}
	return found, nil
}

// query gives each row of the tenant to a function.
func (s starts) query(c *conn, sql string, each func(*row), values ...any) error {
	args, err := bind(append([]any{s.t.tenant}, values...))
	if err != nil {
		return err
	}
	return c.query(sql, args, each)
}

// Write is all or nothing: after a failure the transaction can only be rolled back.
func (s starts) Write(ctx context.Context, list []ports.Start, given []core.Answer) ([]core.Entry, error) {
	posted, err := s.write(ctx, list, given)
	return posted, s.t.breaks(err)
}

func (s starts) write(ctx context.Context, list []ports.Start, given []core.Answer) ([]core.Entry, error) {
	if err := s.t.writable(ctx); err != nil {
		return nil, err
	}
	var posted []core.Entry
	for i := range list {
		if err := s.begin(ctx, &list[i]); err != nil {
			return nil, err
		}
		for _, e := range list[i].Charge {
			e, err := ledger(s).post(ctx, e)
			if err != nil {
				return nil, err
			}
			posted = append(posted, e)
		}
	}
	if err := ledger(s).saveBalances(posted); err != nil {
		return nil, err
	}
	for i := range given {
		if err := answers(s).Insert(ctx, given[i]); err != nil {
			return nil, err
		}
	}
	return posted, nil
}

// begin writes one start but for its charge.
func (s starts) begin(ctx context.Context, b *ports.Start) error {
	if b.New {
		if err := runs(s).Insert(ctx, b.Run, b.Files); err != nil {
			return err
		}
	} else if err := runs(s).Save(ctx, ports.RunRows{Run: b.Run, Files: b.Files}); err != nil {
		return err
	}
	return attempts(s).Insert(ctx, b.Attempt)
}
