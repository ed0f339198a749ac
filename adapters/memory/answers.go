package memory

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type answers struct{ t *tx }

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.Answer{}, err
	}
	defer r.t.done()
	if row := r.t.wrote.answer(key); row != nil {
		return cloneAnswer(*row), nil
	}
	if st != nil {
		if row := st.answers.get(key); row != nil {
			return cloneAnswer(*row), nil
		}
	}
	return core.Answer{}, ports.ErrNotFound
}

func (r answers) Insert(ctx context.Context, row core.Answer) error {
	if err := r.t.lock(ctx, lockAnswer, string(row.Key)); err != nil {
		return err
	}
	_, err := r.Get(ctx, row.Key)
	if err == nil {
		return ports.ErrExists
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r answers) Save(ctx context.Context, row core.Answer) error {
	if err := r.t.lock(ctx, lockAnswer, string(row.Key)); err != nil {
		return err
	}
	if _, err := r.Get(ctx, row.Key); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r answers) put(row core.Answer) {
	row.Tenant = r.t.tenant
	row = cloneAnswer(row)
	w := r.t.writes()
	if old := w.answer(row.Key); old != nil {
		*old = row
		return
	}
	w.answers = append(w.answers, row)
}

// cloneAnswer: what the caller does with its own copy is its own affair.
func cloneAnswer(a core.Answer) core.Answer {
	if a.Refusal != nil {
		refusal := *a.Refusal
		refusal.Files, refusal.Fields = slices.Clone(refusal.Files), slices.Clone(refusal.Fields)
		a.Refusal = &refusal
	}
	return a
}
