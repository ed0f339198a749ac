package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type starts struct{ t *tx }

func (s starts) Retriable(ctx context.Context, ids []core.RunID) (map[core.RunID][]core.File, error) {
	found := make(map[core.RunID][]core.File, len(ids))
	err := s.t.read(ctx, ofFiles, func(c *conn) error {
		statuses := jsonWords([]core.FileStatus{core.FileFailed, core.FilePending})
		for _, id := range ids {
			args, err := bind([]any{s.t.tenant, findable(id), statuses})
			if err != nil {
				return err
			}
			var list []core.File
			if err := c.query(filesInStatus, args, func(r *row) { list = append(list, scanFile(r)) }); err != nil {
				return err
			}
			if len(list) > 0 {
				found[id] = list
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, list := range found {
		s.t.knowRead(id, list)
	}
	return found, nil
}

func (s starts) Answers(ctx context.Context, keys []core.Key) ([]core.Answer, error) {
	const sql = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = ? AND key IN (SELECT value FROM json_each(?))`
	if len(keys) == 0 {
		return nil, s.t.usable(ctx)
	}
	return all(ctx, s.t, ofAnswers, scanAnswer, sql, s.t.tenant, jsonWords(keys))
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
