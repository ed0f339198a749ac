package memory

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type answers struct{ t *tx }

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	var row core.Answer
	err := r.t.read(ctx, func(st *tenantState) error {
		own, ok := r.t.answers[key]
		if !ok && st != nil {
			own, ok = st.answers[key]
		}
		if !ok {
			return ports.ErrNotFound
		}
		row = cloneAnswer(own)
		return nil
	})
	return row, err
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
	if err := r.t.read(ctx, r.t.exists); err != nil {
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
	if r.t.answers == nil {
		r.t.answers = map[core.Key]core.Answer{}
	}
	row.Tenant = r.t.tenant
	r.t.answers[row.Key] = cloneAnswer(row)
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
