package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type apiKeys struct{ t *tx }

func (r apiKeys) Insert(ctx context.Context, k core.APIKey) error {
	if err := r.t.lock(ctx, lockAPIKey, string(k.ID)); err != nil {
		return err
	}
	_, err := r.Get(ctx, k.ID)
	if err == nil {
		return ports.ErrExists
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	r.put(k)
	return nil
}

func (r apiKeys) Get(ctx context.Context, id core.APIKeyID) (core.APIKey, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.APIKey{}, err
	}
	defer r.t.done()
	if k, there := r.t.wrote.apiKeys[id]; there {
		return k, nil
	}
	if st != nil {
		if k, there := st.apiKeys[id]; there {
			return k, nil
		}
	}
	return core.APIKey{}, ports.ErrNotFound
}

func (r apiKeys) Save(ctx context.Context, k core.APIKey) error {
	if err := r.t.lock(ctx, lockAPIKey, string(k.ID)); err != nil {
		return err
	}
	old, err := r.Get(ctx, k.ID)
	if err != nil {
		return err
	}
	old.Name, old.RevokedAt = k.Name, k.RevokedAt
	r.put(old)
	return nil
}

func (r apiKeys) put(k core.APIKey) {
	k.Tenant = r.t.tenant
	w := r.t.writes()
	if w.apiKeys == nil {
		w.apiKeys = map[core.APIKeyID]core.APIKey{}
	}
	w.apiKeys[k.ID] = k
}

func (r apiKeys) List(ctx context.Context) ([]core.APIKey, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	all := map[core.APIKeyID]core.APIKey{}
	if st != nil {
		maps.Copy(all, st.apiKeys)
	}
	maps.Copy(all, r.t.wrote.apiKeys)
	return slices.SortedFunc(maps.Values(all), func(a, b core.APIKey) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// saveAPIKeys makes the keys that a transaction wrote what is committed. A use that was
// noted meanwhile stays.
func (st *tenantState) saveAPIKeys(wrote map[core.APIKeyID]core.APIKey) {
	for id, k := range wrote {
		if st.apiKeys == nil {
			st.apiKeys = map[core.APIKeyID]core.APIKey{}
		}
		if old, there := st.apiKeys[id]; there && old.LastUsedAt.After(k.LastUsedAt) {
			k.LastUsedAt = old.LastUsedAt
		}
		st.apiKeys[id] = k
	}
}

// APIKey implements ports.APIKeyUses.
func (s *Store) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return core.APIKey{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.moves[tenant].State == ports.MoveGone {
		return core.APIKey{}, ports.ErrMoved
	}
	if st := s.tenants[tenant]; st != nil {
		if k, there := st.apiKeys[id]; there {
			return k, nil
		}
	}
	return core.APIKey{}, ports.ErrNotFound
}

// TouchAPIKey implements ports.APIKeyUses.
func (s *Store) TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moves[tenant].State.Closed() {
		return ports.ErrMoved
	}
	st := s.tenants[tenant]
	if st == nil {
		return ports.ErrNotFound
	}
	k, there := st.apiKeys[id]
	if !there {
		return ports.ErrNotFound
	}
	if at.After(k.LastUsedAt) {
		k.LastUsedAt = at
	}
	st.apiKeys[id] = k
	return nil
}

// SweepAPIKeys implements ports.APIKeyUses.
func (s *Store) SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tenants[tenant]
	if st == nil || s.moves[tenant].State.Moving() {
		return 0, nil
	}
	ended := func(at time.Time) bool { return !at.IsZero() && at.Before(before) }
	for id, k := range st.apiKeys {
		if ended(k.RevokedAt) || ended(k.ExpiresAt) {
			delete(st.apiKeys, id)
			n++
		}
	}
	return n, nil
}
