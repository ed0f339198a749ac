package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// askTimeout bounds one query to the store, so that the faults of one tenant's queries
// delay the other tenants' events by no more.
const askTimeout = 5 * time.Second

// hub polls the store for the state of the watched runs: once for each run, however
// many streams watch it, and with one query for all runs of a tenant. It depends on the
// store alone, so it is as correct with many servers as with one. While nothing is
// watched it does nothing.
type hub struct {
	svc *app.Service
	cfg StreamConfig
	ctx context.Context // ends with the server

	mu      sync.Mutex
	watched map[ports.RunKey]*watchedRun
	polling bool
	failing bool
	wake    chan struct{} // signalled when the set of watched runs has changed
}

// watchedRun is guarded by hub.mu.
type watchedRun struct {
	watchers map[*watcher]struct{}
	due      time.Time // when to read it again
	seen     core.Run  // as it was read last
	last     *snapshot // nil until it was read once
}

// snapshot is a state of a run, ready to be sent; it is shared and never changed.
type snapshot struct {
	id    string
	frame []byte // of a closed run: state, then closed
}

// watcher is one stream's view of a run.
type watcher struct {
	hub     *hub
	key     ports.RunKey
	run     *watchedRun
	changed chan struct{} // holds one signal: the latest state has changed
	sent    string        // the ID of the state that the client has
}

func newHub(ctx context.Context, svc *app.Service, cfg StreamConfig) *hub {
	return &hub{svc: svc, cfg: cfg, ctx: ctx, watched: map[ports.RunKey]*watchedRun{}, wake: make(chan struct{}, 1)}
}

// watch begins to watch a run; it is read at once, unless other streams watch it already.
//
// lastEventID is that of the state that the client has; it gets the next one.
func (h *hub) watch(key ports.RunKey, lastEventID string) *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := h.watched[key]
	if run == nil {
		run = &watchedRun{watchers: map[*watcher]struct{}{}}
		h.watched[key] = run
	}
	w := &watcher{hub: h, key: key, run: run, changed: make(chan struct{}, 1), sent: lastEventID}
	run.watchers[w] = struct{}{}
	if !h.polling {
		h.polling = true
		go h.poll()
	} else {
		signal(h.wake)
	}
	return w
}

// stop ends watching.
func (w *watcher) stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(w.run.watchers, w)
	if len(w.run.watchers) == 0 {
		delete(h.watched, w.key)
		signal(h.wake)
	}
}

// next gives the newest state, unless the client has it.
func (w *watcher) next() ([]byte, error) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	now := w.run.last
	if now == nil || now.id == w.sent {
		return nil, nil
	}
	w.sent = now.id
	return now.frame, nil
}

func (w *watcher) moved() <-chan struct{} { return w.changed }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one already
	}
}

// poll reads the runs that are due until nothing is watched or the server stops.
func (h *hub) poll() {
	for {
		due, wait, some := h.due(time.Now())
		if !some {
			return
		}
		for tenant, ids := range due {
			h.read(tenant, ids)
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

// due gives the runs that are to be read now, and how long to wait if there are none.
// some is false once nothing is watched or the server stops; polling is then over.
func (h *hub) due(now time.Time) (due map[core.TenantID][]core.RunID, wait time.Duration, some bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watched) == 0 || h.ctx.Err() != nil {
		h.polling = false
		return nil, 0, false
	}
	due = map[core.TenantID][]core.RunID{}
	wait = h.cfg.ClosedEvery
	for key, run := range h.watched {
		if left := run.due.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		due[key.Tenant] = append(due[key.Tenant], key.Run)
	}
	return due, wait, true
}

// read reads runs of one tenant and signals the watchers of those that have changed.
func (h *hub) read(tenant core.TenantID, ids []core.RunID) {
	ctx, cancel := context.WithTimeout(h.ctx, askTimeout)
	defer cancel()
	runs, err := h.svc.RunsOf(ctx, tenant, ids)
	found := map[core.RunID]core.Run{}
	for i := range runs {
		found[runs[i].ID] = runs[i]
	}
	for _, id := range ids {
		run, ok := found[id]
		if !ok { // the store fails: poll it less often
			h.put(ports.RunKey{Tenant: tenant, Run: id}, core.Run{}, nil, h.cfg.ClosedEvery)
			continue
		}
		if refreshErr := h.refresh(ctx, run); refreshErr != nil && err == nil {
			err = refreshErr
		}
	}
	h.report(err)
}

// refresh makes a new snapshot of a run if it has changed.
func (h *hub) refresh(ctx context.Context, run core.Run) error {
	key := ports.RunKey{Tenant: run.Tenant, Run: run.ID}
	next := h.cfg.ClosedEvery
	if run.Status == core.RunRunning {
		next = h.cfg.RunningEvery
	}
	h.mu.Lock()
	watched := h.watched[key]
	same := watched != nil && watched.last != nil && watched.seen == run
	h.mu.Unlock()
	if watched == nil || same {
		h.put(key, run, nil, next)
		return nil
	}
	view := app.RunView{Run: run, Refusal: core.Continuable(run, false)}
	if run.Status.Closed() {
		// Whether a file has used all its retries takes another query, which is
		// made once for each time that the run closes.
		v, err := h.svc.Run(ctx, core.System, run.ID)
		if err != nil {
			h.put(key, core.Run{}, nil, next)
			return err
		}
		view = v
	}
	snap, err := newSnapshot(view)
	h.put(key, run, snap, next)
	return err
}

// put records what was read; without a snapshot, only when to read the run again.
func (h *hub) put(key ports.RunKey, seen core.Run, snap *snapshot, next time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := h.watched[key]
	if run == nil {
		return
	}
	run.due = time.Now().Add(next)
	if snap == nil {
		return
	}
	run.seen = seen
	if run.last != nil && run.last.id == snap.id {
		return
	}
	run.last = snap
	for w := range run.watchers {
		signal(w.changed)
	}
}

// report logs once that the store cannot be read, and once that it can be read again.
func (h *hub) report(err error) {
	if h.ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	was := h.failing
	h.failing = err != nil
	h.mu.Unlock()
	switch {
	case err != nil && !was:
		h.cfg.Log.Warn("events: runs cannot be read; streams wait", "error", err)
	case err == nil && was:
		h.cfg.Log.Info("events: runs can be read again")
	}
}

// newSnapshot writes the events of a state. The ID is a hash of the state, so that
// every server gives the same state the same ID. For a closed run only the last event
// has the ID: a client that missed it gets both events again.
func newSnapshot(v app.RunView) (*snapshot, error) {
	state, err := json.Marshal(toRunState(v))
	if err != nil {
		return nil, fmt.Errorf("encode the state of run %s: %w", v.Run.ID, err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(state) // a hash takes everything
	id := fmt.Sprintf("%d-%016x", v.Run.Epoch, sum.Sum64())
	if !v.Run.Status.Closed() {
		return &snapshot{id: id, frame: frame(nil, "state", id, state)}, nil
	}
	closed, err := json.Marshal(toRunClosed(v.Run))
	if err != nil {
		return nil, fmt.Errorf("encode the state of run %s: %w", v.Run.ID, err)
	}
	return &snapshot{id: id, frame: frame(frame(nil, "state", "", state), "closed", id, closed)}, nil
}

// frame appends an event. JSON has no line breaks, so one line of data holds it.
func frame(b []byte, event, id string, data []byte) []byte {
	b = slices.Concat(b, []byte("event: "+event+"\n"))
	if id != "" {
		b = append(b, "id: "+id+"\n"...)
	}
	b = append(b, "data: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}
