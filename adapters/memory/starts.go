package memory

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type starts struct{ t *tx }

func (s starts) Read(ctx context.Context, want ports.StartReads) (found ports.StartInputs, err error) {
	if found.Balance, err = ledger(s).BalanceForUpdate(ctx, want.Period); err != nil {
		return found, err
	}
	found.Files = make(map[core.RunID][]core.File, len(want.Runs))
	for _, id := range want.Runs {
		files, err := runFiles(s).InStatus(ctx, id, core.FileFailed, core.FilePending)
		if err != nil {
			return found, err
		}
		if len(files) > 0 {
			found.Files[id] = files
		}
	}
	if found.Templates, err = those(ctx, want.Templates, templates(s).Get); err != nil {
		return found, err
	}
	found.Answers, err = those(ctx, want.Keys, answers(s).Get)
	return found, err
}

// those gives the rows that there are.
func those[K comparable, V any](ctx context.Context, keys []K, get func(context.Context, K) (V, error)) (map[K]V, error) {
	found := make(map[K]V, len(keys))
	for _, key := range keys {
		row, err := get(ctx, key)
		switch {
		case errors.Is(err, ports.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			found[key] = row
		}
	}
	return found, nil
}

// Write is all or nothing: after a failure the transaction is broken.
func (s starts) Write(ctx context.Context, list []ports.Start, given []core.Answer) ([]core.Entry, error) {
	posted, err := s.write(ctx, list, given)
	if err != nil && s.t.broken == nil && !errors.Is(err, errOver) && !errors.Is(err, ports.ErrReadOnly) {
		s.t.broken = err
	}
	return posted, err
}

func (s starts) write(ctx context.Context, list []ports.Start, given []core.Answer) ([]core.Entry, error) {
	var posted []core.Entry
	for i := range list {
		if err := s.begin(ctx, &list[i]); err != nil {
			return nil, err
		}
		for _, e := range list[i].Charge {
			e, err := ledger(s).Post(ctx, e)
			if err != nil {
				return nil, err
			}
			posted = append(posted, e)
		}
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
	} else {
		if err := runs(s).Save(ctx, ports.RunRows{Run: b.Run, Files: b.Files}); err != nil {
			return err
		}
	}
	if err := attempts(s).Insert(ctx, b.Attempt); err != nil || len(b.Jobs) == 0 {
		return err
	}
	return outbox(s).Send(ctx, b.Jobs)
}
