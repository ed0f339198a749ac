package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// Bounds of what is read and kept for the streams of a tenant.
const (
	// tenantRunning is how many running runs of a tenant are followed, the newest ones.
	tenantRunning = 200
	// tenantNewest is how many of the newest runs are read, so that runs which begin and close
	// between two looks are seen.
	tenantNewest = 50
	// tenantBacklog is how many events are kept for streams that are behind, or come back. A
	// stream that is further behind gets the whole state anew, so that no client, however
	// slow, makes this server keep more.
	tenantBacklog = 256
)

// tenantHub polls the store for what changes of the watched tenants: once for each tenant,
// however many streams watch it. Like the hub of runs it depends on the store alone.
type tenantHub struct {
	svc *app.Service
	cfg StreamConfig
	ctx context.Context // ends with the server

	mu      sync.Mutex
	watched map[core.TenantID]*watchedTenant
	polling bool
	failing bool
	wake    chan struct{}
}

// watchedTenant is guarded by tenantHub.mu; what poll reads into it is its own alone.
type watchedTenant struct {
	watchers map[*tenantWatcher]struct{}
	due      time.Time
	name     string // of this life: numbers of events are only comparable within it

	known    map[core.RunID]tenantRunJSON // as they were read last; nil until then
	look     app.TenantLook
	seq      int64    // of the latest event
	events   [][]byte // the latest ones, the last of which has the number seq
	snapshot []byte   // the whole state with the number seq; nil: not made yet
}

// tenantWatcher is one stream's view of a tenant.
type tenantWatcher struct {
	hub     *tenantHub
	tenant  core.TenantID
	state   *watchedTenant
	changed chan struct{}
	seq     int64 // up to which it has sent; -1: nothing
}

func newTenantHub(ctx context.Context, svc *app.Service, cfg StreamConfig) *tenantHub {
	return &tenantHub{svc: svc, cfg: cfg, ctx: ctx, watched: map[core.TenantID]*watchedTenant{}, wake: make(chan struct{}, 1)}
}

// watch begins to watch a tenant. lastEventID is where the client was; if that is not known
// here it gets the whole state.
func (h *tenantHub) watch(tenant core.TenantID, lastEventID string) *tenantWatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := h.watched[tenant]
	if state == nil {
		state = &watchedTenant{watchers: map[*tenantWatcher]struct{}{}, name: rand.Text()[:10]}
		h.watched[tenant] = state
	}
	w := &tenantWatcher{hub: h, tenant: tenant, state: state, changed: make(chan struct{}, 1), seq: -1}
	name, number, _ := strings.Cut(lastEventID, "-")
	if seq, err := strconv.ParseInt(number, 10, 64); err == nil && name == state.name && seq >= 0 && seq <= state.seq {
		w.seq = seq
	}
	state.watchers[w] = struct{}{}
	if state.known != nil {
		signal(w.changed)
	}
	if !h.polling {
		h.polling = true
		go h.poll()
	} else {
		signal(h.wake)
	}
	return w
}

func (w *tenantWatcher) moved() <-chan struct{} { return w.changed }

func (w *tenantWatcher) stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(w.state.watchers, w)
	if len(w.state.watchers) == 0 {
		delete(h.watched, w.tenant)
		signal(h.wake)
	}
}

// next gives what the client has to get now; nothing if it is up to date.
func (w *tenantWatcher) next() ([]byte, error) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	s := w.state
	if s.known == nil || w.seq == s.seq {
		return nil, nil
	}
	if behind := s.seq - w.seq; w.seq >= 0 && behind <= int64(len(s.events)) {
		var all []byte
		for _, event := range s.events[int64(len(s.events))-behind:] {
			all = append(all, event...)
		}
		w.seq = s.seq
		return all, nil
	}
	if s.snapshot == nil {
		view := tenantSnapshotJSON{
			Tenant: string(w.tenant), Balance: toBalance(w.tenant, s.look.Balance),
			Running: []tenantRunJSON{}, MoreRunning: s.look.MoreRunning,
		}
		for i := range s.look.Running {
			view.Running = append(view.Running, toTenantRun(s.look.Running[i]))
		}
		data, err := json.Marshal(view)
		if err != nil {
			return nil, fmt.Errorf("encode the state of tenant %s: %w", w.tenant, err)
		}
		s.snapshot = frame(nil, "snapshot", s.id(), data)
	}
	w.seq = s.seq
	return s.snapshot, nil
}

// id is the ID of the latest event.
func (s *watchedTenant) id() string { return s.name + "-" + strconv.FormatInt(s.seq, 10) }

// poll reads the tenants that are due until nothing is watched or the server stops.
func (h *tenantHub) poll() {
	for {
		due, wait, some := h.due(time.Now())
		if !some {
			return
		}
		for _, tenant := range due {
			h.read(tenant)
		}
		if len(due) > 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-h.wake:
		case <-h.ctx.Done():
		}
		timer.Stop()
	}
}

// due gives the tenants that are to be read now, and how long to wait if there are none. some
// is false once nothing is watched or the server stops; polling is then over.
func (h *tenantHub) due(now time.Time) (due []core.TenantID, wait time.Duration, some bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watched) == 0 || h.ctx.Err() != nil {
		h.polling = false
		return nil, 0, false
	}
	wait = h.cfg.TenantEvery
	for tenant, state := range h.watched {
		if left := state.due.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		due = append(due, tenant)
	}
	return due, wait, true
}

// read reads a tenant and makes the events of what has changed.
func (h *tenantHub) read(tenant core.TenantID) {
	h.mu.Lock()
	state := h.watched[tenant]
	if state == nil { // nobody watches it any more
		h.mu.Unlock()
		return
	}
	var running []core.RunID // those whose closing must not be missed
	for id, run := range state.known {
		if run.Status == string(core.RunRunning) {
			running = append(running, id)
		}
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(h.ctx, askTimeout)
	look, err := h.svc.LookAtTenant(ctx, tenant, running, tenantRunning, tenantNewest)
	cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	state.due = time.Now().Add(h.cfg.TenantEvery)
	if err == nil {
		err = state.update(tenant, look)
	}
	h.report(err)
}

// update makes events of the differences to what was read before, and wakes the watchers.
func (s *watchedTenant) update(tenant core.TenantID, look app.TenantLook) error {
	first, before := s.known == nil, s.seq
	known := map[core.RunID]tenantRunJSON{}
	var errs []error
	// Oldest first, so that a client sees runs in the order in which they began.
	for _, list := range [][]core.Run{look.Others, look.Newest, look.Running} {
		for i := len(list) - 1; i >= 0; i-- {
			run := toTenantRun(list[i])
			known[list[i].ID] = run
			if first {
				continue
			}
			was, seen := s.known[list[i].ID]
			for _, change := range changesOf(was, run, seen, s.look.Since) {
				errs = append(errs, s.add("run", runEventJSON{change, run}))
			}
		}
	}
	if !first && s.look.Balance != look.Balance {
		errs = append(errs, s.add("balance", toBalance(tenant, look.Balance)))
	}
	s.known, s.look = known, look
	if first || s.seq != before {
		s.snapshot = nil
		for w := range s.watchers {
			signal(w.changed)
		}
	}
	return errors.Join(errs...)
}

// changesOf says what has happened to a run since the last look, which has seen every run
// that was created after since. A run that began and closed in between gives two.
func changesOf(was, now tenantRunJSON, seen bool, since time.Time) []string {
	closed := core.RunStatus(now.Status).Closed()
	switch {
	case seen && was == now:
		return nil
	case !seen && now.CreatedAt.After(since):
		if closed {
			return []string{runCreated, runClosed}
		}
		return []string{runCreated}
	case !seen && closed:
		return nil // an old one that is in a list because another one is not any more
	case !seen && now.Attempt == 0:
		return []string{runChanged} // it was running unseen, behind too many others
	case !seen:
		return []string{runContinued}
	}
	var changes []string
	if now.Attempt > was.Attempt {
		changes = append(changes, runContinued)
	}
	if closed && (was.Status == string(core.RunRunning) || now.Attempt > was.Attempt) {
		changes = append(changes, runClosed)
	}
	if changes == nil {
		changes = []string{runChanged}
	}
	return changes
}

// add makes an event; the oldest one is forgotten.
func (s *watchedTenant) add(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	s.seq++
	if len(s.events) == tenantBacklog {
		s.events = append(s.events[:0:0], s.events[1:]...)
	}
	s.events = append(s.events, frame(nil, name, s.id(), data))
	return nil
}

// report logs once that the store cannot be read, and once that it can be read again.
func (h *tenantHub) report(err error) {
	was := h.failing
	h.failing = err != nil
	switch {
	case h.ctx.Err() != nil:
	case err != nil && !was:
		h.cfg.Log.Warn("events: a tenant cannot be read; streams wait", "error", err)
	case err == nil && was:
		h.cfg.Log.Info("events: tenants can be read again")
	}
}
