package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// replyKey names a reply of a tenant.
type replyKey struct {
	op  core.Operation
	key core.Key
}

type replies struct{ t *tx }

var _ ports.Replies = replies{}

func (r replies) Get(ctx context.Context, op core.Operation, key core.Key) (core.Reply, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.Reply{}, err
	}
	defer r.t.done()
	for _, row := range r.t.wrote.replies {
		if row.Operation == op && row.Key == key {
			return cloneReply(row), nil
		}
	}
	if st != nil {
		if row, ok := st.replies[replyKey{op, key}]; ok {
			return cloneReply(row), nil
		}
	}
	return core.Reply{}, ports.ErrNotFound
}

func (r replies) Insert(ctx context.Context, row core.Reply) error {
	if err := r.lock(ctx, row); err != nil {
		return err
	}
	_, err := r.Get(ctx, row.Operation, row.Key)
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

func (r replies) Save(ctx context.Context, row core.Reply) error {
	if err := r.lock(ctx, row); err != nil {
		return err
	}
	if _, err := r.Get(ctx, row.Operation, row.Key); err != nil {
		return err
	}
	r.put(row)
	return nil
}

// lock locks a reply's row. No operation has a slash in its name.
func (r replies) lock(ctx context.Context, row core.Reply) error {
	return r.t.lock(ctx, locktable.Reply, string(row.Operation)+"/"+string(row.Key))
}

func (r replies) put(row core.Reply) {
	row.Tenant = r.t.tenant
	row = cloneReply(row)
	w := r.t.writes()
	for i := range w.replies {
		if w.replies[i].Operation == row.Operation && w.replies[i].Key == row.Key {
			w.replies[i] = row
			return
		}
	}
	w.replies = append(w.replies, row)
}

// cloneReply: what the caller does with its own copy is its own affair.
func cloneReply(r core.Reply) core.Reply {
	r.Result = slices.Clone(r.Result)
	r.Refusal = cloneAnswer(core.Answer{Refusal: r.Refusal}).Refusal
	return r
}

// Forget implements ports.Store.
func (s *Store) Forget(_ context.Context, before time.Time, limit int) (removed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, st := range s.tenants {
		if s.moves[tenant].State.Moving() {
			continue
		}
		for key, row := range st.replies {
			if removed < limit && row.At.Before(before) && !row.Forever() {
				delete(st.replies, key)
				removed++
			}
		}
		removed += st.answers.removeIf(limit-removed, func(a *core.Answer) bool {
			return a.Run == (core.Run{}) && a.At.Before(before)
		})
	}
	s.bulks.mu.Lock()
	defer s.bulks.mu.Unlock()
	for key, row := range s.bulks.replies {
		if removed < limit && row.At.Before(before) && !row.Forever() {
			delete(s.bulks.replies, key)
			removed++
		}
	}
	return removed, nil
}

// RepliesAfter implements ports.Mover.
func (s *Store) RepliesAfter(_ context.Context, tenant core.TenantID, op core.Operation, key core.Key, limit int) ([]core.Reply, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []core.Reply
	if st := s.tenants[tenant]; st != nil {
		for _, row := range st.replies {
			if row.Operation > op || row.Operation == op && row.Key > key {
				list = append(list, cloneReply(row))
			}
		}
	}
	slices.SortFunc(list, func(a, b core.Reply) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Key, b.Key))
	})
	return list[:min(limit, len(list))], nil
}
