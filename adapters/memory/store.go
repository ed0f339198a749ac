package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// Store is a ports.Store in memory.
type Store struct {
	locks  *locktable.Table
	spare  spare
	outbox ports.Queue // nil: transactions send nothing

	mu      sync.RWMutex // guards what is committed; never held while waiting for a lock
	tenants map[core.TenantID]*tenantState
	owners  map[core.RunID]core.TenantID
	running map[ports.RunKey]struct{}
	moves   map[core.TenantID]ports.Move

	sessions sessions
	bulks    bulks
	tickets  tickets

	// What Reset has emptied, to be used again.
	spareTenants []*tenantState
	spareRuns    []*runState
}

// tenantState is everything of one tenant that is committed.
type tenantState struct {
	tenant    core.Tenant
	templates rows[core.TemplateID, core.Template]
	versions  map[core.TemplateID][]core.TemplateVersion // as they were inserted
	runs      map[core.RunID]*runState
	order     []ports.RunCursor // every run, oldest first
	answers   rows[core.Key, core.Answer]
	bulks     map[core.BulkID]*bulkState
	apiKeys   map[core.APIKeyID]core.APIKey
	replies   map[replyKey]core.Reply
	webhooks  webhookState

	purchased core.Credits
	monthly   []core.Balance // of each period; Purchased is not kept up
	entries   []core.Entry   // Seq is the place, from 1
	byKey     map[core.Key]int
	refunds   map[core.Key]bool // charges that were refunded

	audit []core.AuditEvent // as they were inserted
}

type runState struct {
	run        core.Run
	files      []core.File // by index
	attempts   []core.Attempt
	amendments []core.Amendment
}

// Option changes a Store.
type Option func(*Store)

// WithWaits makes transactions wait for locks in another way than by parking
// their goroutine.
func WithWaits(n NewWait) Option { return func(s *Store) { s.locks = locktable.New(n) } }

// NewWait makes one wait of one transaction for a lock. The store calls wait once,
// holding nothing; it returns nil once wake was called, before or after wait began, or
// with ctx's error. wake must not block.
type NewWait = locktable.NewWait

// NewStore makes an empty store.
func NewStore(opts ...Option) *Store {
	s := &Store{
		locks:   locktable.New(nil),
		tenants: map[core.TenantID]*tenantState{},
		owners:  map[core.RunID]core.TenantID{},
		running: map[ports.RunKey]struct{}{},
		moves:   map[core.TenantID]ports.Move{},
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

var _ ports.Store = (*Store)(nil)

// InTx implements ports.Store. It runs fn once: a deadlock is reported, not retried.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := s.begin(tenant, false)
	defer s.end(t) // also after a panic: what was not committed is forgotten here
	if err := fn(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.commit(t)
}

// View implements ports.Store. Commits wait until fn has returned.
func (s *Store) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.begin(tenant, true)
	defer s.end(t)
	return fn(t)
}

// TenantOf implements ports.Store.
func (s *Store) TenantOf(_ context.Context, run core.RunID) (core.TenantID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tenant, ok := s.owners[run]
	if !ok {
		return "", ports.ErrNotFound
	}
	return tenant, nil
}

// DueRuns implements ports.Store.
func (s *Store) DueRuns(_ context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.RunKey, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	type due struct {
		key ports.RunKey
		at  time.Time
	}
	var room [8]due
	list := room[:0]
	for key := range s.running {
		if len(s.moves) > 0 && s.moves[key.Tenant].State.Closed() {
			continue
		}
		if run := &s.tenants[key.Tenant].runs[key.Run].run; core.RecoveryDue(*run, now, horizon) {
			list = append(list, due{key, run.RecoverAt})
		}
	}
	slices.SortFunc(list, func(a, b due) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key.Run, b.key.Run))
	})
	keys := make([]ports.RunKey, 0, min(limit, len(list)))
	for _, d := range list[:cap(keys)] {
		keys = append(keys, d.key)
	}
	return keys, nil
}

// Ungranted implements ports.Store.
func (s *Store) Ungranted(_ context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error) {
	return s.tenantsWhere(after, limit, func(st *tenantState) bool {
		_, granted := st.byKey[key]
		return !granted && st.tenant.MonthlyAllowance > 0 && !s.moves[st.tenant.ID].State.Closed()
	})
}

// AllTenants implements ports.Store.
func (s *Store) AllTenants(_ context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return s.tenantsWhere(after, limit, func(*tenantState) bool { return true })
}

// OpenTenants implements ports.Store.
func (s *Store) OpenTenants(_ context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return s.tenantsWhere(after, limit, func(st *tenantState) bool { return !s.moves[st.tenant.ID].State.Closed() })
}

func (s *Store) tenantsWhere(after core.TenantID, limit int, wanted func(*tenantState) bool) ([]core.Tenant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]core.Tenant, 0, len(s.tenants))
	for id, st := range s.tenants {
		if id > after && wanted(st) {
			list = append(list, st.tenant)
		}
	}
	slices.SortFunc(list, func(a, b core.Tenant) int { return cmp.Compare(a.ID, b.ID) })
	return list[:min(limit, len(list))], nil
}

// commit makes everything that the transaction wrote visible at once. What is received of
// the jobs that it sends finds the store locked until they are true.
func (s *Store) commit(t *tx) error {
	w := t.wrote
	if w == &nothing {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.moves) > 0 && s.moves[t.tenant].State.Closed() && !t.imports {
		return ports.ErrMoved
	}
	if len(w.jobs) > 0 {
		if _, err := s.outbox.Enqueue(context.Background(), w.jobs); err != nil {
			return err
		}
	}
	s.apply(t.tenant, w)
	return nil
}

// apply makes what was written what is committed. The caller holds mu.
func (s *Store) apply(tenant core.TenantID, w *writes) {
	if w.newTenant {
		s.tenants[tenant] = s.newTenant()
	}
	st := s.tenants[tenant]
	if st == nil {
		return // nothing can be written for a tenant that is not there
	}
	if w.savedTenant {
		st.tenant = w.tenant
	}
	for i := range w.templates {
		st.templates.put(w.templates[i].ID, &w.templates[i])
	}
	for _, v := range w.versions {
		if st.versions == nil {
			st.versions = map[core.TemplateID][]core.TemplateVersion{}
		}
		st.versions[v.Template] = append(st.versions[v.Template], v)
	}
	for i := range w.answers {
		st.answers.put(w.answers[i].Key, &w.answers[i])
	}
	for _, b := range w.bulks {
		st.saveBulk(b)
	}
	s.bulks.made(w.made)
	st.saveAPIKeys(w.apiKeys)
	st.audit = append(st.audit, w.audit...)
	for _, r := range w.replies {
		if st.replies == nil {
			st.replies = map[replyKey]core.Reply{}
		}
		st.replies[replyKey{r.Operation, r.Key}] = r
	}
	if len(w.posted.entries) > 0 {
		st.post(&w.posted)
	}
	if w.webhooks != nil {
		st.webhooks.apply(tenant, w.webhooks)
	}
	for _, r := range w.runs {
		s.commitRun(st, ports.RunKey{Tenant: tenant, Run: r.id}, r)
	}
}

func (st *tenantState) post(w *ledgerWrites) {
	st.purchased = w.purchased
	for i := range w.monthly {
		*st.month(w.monthly[i].Period) = w.monthly[i]
	}
	for i := range w.entries {
		e := &w.entries[i]
		st.byKey[e.Key] = len(st.entries)
		st.entries = append(st.entries, *e)
		if e.Kind == core.EntryRefund {
			st.refunds[e.Charge] = true
		}
	}
}

// month finds a period's bucket, which it makes if there is none.
func (st *tenantState) month(p core.Period) *core.Balance {
	for i := range st.monthly {
		if st.monthly[i].Period == p {
			return &st.monthly[i]
		}
	}
	st.monthly = append(st.monthly, core.Balance{Period: p})
	return &st.monthly[len(st.monthly)-1]
}

func (s *Store) commitRun(st *tenantState, key ports.RunKey, w *runWrites) {
	r := st.runs[key.Run]
	if r == nil {
		r = s.newRun()
		if len(w.newFiles) > cap(r.files) {
			r.files, w.newFiles = w.newFiles, nil // no other reference to it is left
		} else {
			r.files = append(r.files, w.newFiles...)
		}
		st.runs[key.Run] = r
		s.owners[key.Run] = key.Tenant
		cursor := ports.RunCursor{CreatedAt: w.run.CreatedAt, ID: key.Run}
		at, _ := slices.BinarySearchFunc(st.order, cursor, compareCursors)
		st.order = slices.Insert(st.order, at, cursor)
	}
	was := r.run.Status
	if w.saved {
		r.run = w.run
	}
	for i := range w.files {
		r.files[w.files[i].Index] = w.files[i]
	}
	r.attempts = append(r.attempts, w.attempts...)
	for n, at := range w.compensated {
		for i := range r.attempts {
			if r.attempts[i].Number == n {
				r.attempts[i].CompensatedAt = at
			}
		}
	}
	r.amendments = append(r.amendments, w.amendments...)
	switch {
	case r.run.Status == was:
	case r.run.Status == core.RunRunning:
		s.running[key] = struct{}{}
	case was == core.RunRunning:
		delete(s.running, key)
	}
}

func compareCursors(a, b ports.RunCursor) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
