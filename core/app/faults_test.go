package app_test

import (
	"context"
	"errors"
	"sync"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var (
	errQueue = errors.New("broker unreachable")
	errStore = errors.New("database unreachable")
)

// faultyQueue is the memory queue with faults in front of it.
type faultyQueue struct {
	*memory.Queue
	mu sync.Mutex
	// enqueue, if set, decides what gets out and what is answered.
	enqueue func(ctx context.Context, q *memory.Queue, jobs []core.Job) (int, error)
}

func (q *faultyQueue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	q.mu.Lock()
	enqueue := q.enqueue
	q.mu.Unlock()
	if enqueue != nil {
		return enqueue(ctx, q.Queue, jobs)
	}
	return queuetest.Singly{Queue: q.Queue}.Enqueue(ctx, jobs)
}

func (q *faultyQueue) set(enqueue func(ctx context.Context, q *memory.Queue, jobs []core.Job) (int, error)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enqueue = enqueue
}

// fail enqueues the first n of the jobs and then gives an error.
func (q *faultyQueue) fail(n int) {
	q.set(func(ctx context.Context, q *memory.Queue, jobs []core.Job) (int, error) {
		if _, err := q.Enqueue(ctx, jobs[:min(n, len(jobs))]); err != nil {
			return 0, err
		}
		return 0, errQueue
	})
}

func (q *faultyQueue) heal() { q.set(nil) }

// faultyStore is the memory store with faults around its transactions.
type faultyStore struct {
	*memory.Store
	mu sync.Mutex
	// inTx, if set, stands in front of every transaction.
	inTx func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error
	// view, if set, stands in front of everything that only reads.
	view func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error
}

func (s *faultyStore) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	s.mu.Lock()
	view := s.view
	s.mu.Unlock()
	if view != nil {
		return view(ctx, tenant, fn)
	}
	return s.Store.View(ctx, tenant, fn)
}

func (s *faultyStore) setView(view func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = view
}

func (s *faultyStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	s.mu.Lock()
	inTx := s.inTx
	s.mu.Unlock()
	if inTx != nil {
		return inTx(ctx, tenant, fn)
	}
	return s.Store.InTx(ctx, tenant, fn)
}

func (s *faultyStore) set(inTx func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inTx = inTx
}

// failFrom lets n more transactions through and fails the ones after.
func (s *faultyStore) failFrom(n int) {
	s.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if n--; n < 0 {
			return errStore
		}
		return s.Store.InTx(ctx, tenant, fn)
	})
}

// loseAnswer commits the next transaction and gives ports.ErrCommitUnknown.
func (s *faultyStore) loseAnswer() {
	s.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		s.heal()
		if err := s.Store.InTx(ctx, tenant, fn); err != nil {
			return err
		}
		return ports.ErrCommitUnknown
	})
}

func (s *faultyStore) heal() { s.set(nil) }

// recording records the order of the calls in a transaction.
func (s *faultyStore) recording(log *[]string) {
	s.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		*log = append(*log, "begin")
		err := s.Store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(recordingTx{tx, log}) })
		if err != nil {
			*log = append(*log, "rollback")
		} else {
			*log = append(*log, "commit")
		}
		return err
	})
}

type recordingTx struct {
	ports.Tx
	log *[]string
}

func (t recordingTx) Runs() ports.Runs     { return recordingRuns{t.Tx.Runs(), t.log} }
func (t recordingTx) Ledger() ports.Ledger { return recordingLedger{t.Tx.Ledger(), t.log} }
func (t recordingTx) Starts() ports.Starts { return recordingStarts{t.Tx.Starts(), t.log} }

type recordingStarts struct {
	ports.Starts
	log *[]string
}

func (s recordingStarts) Read(ctx context.Context, want ports.StartReads) (ports.StartInputs, error) {
	*s.log = append(*s.log, "lock tenant")
	return s.Starts.Read(ctx, want)
}

func (s recordingStarts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
	for _, start := range starts {
		for _, e := range start.Charge {
			*s.log = append(*s.log, "post "+string(e.Kind))
		}
	}
	return s.Starts.Write(ctx, starts, answers)
}

type recordingRuns struct {
	ports.Runs
	log *[]string
}

func (r recordingRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	*r.log = append(*r.log, "lock run")
	return r.Runs.Lock(ctx, wait, want...)
}

type recordingLedger struct {
	ports.Ledger
	log *[]string
}

func (l recordingLedger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	*l.log = append(*l.log, "lock tenant")
	return l.Ledger.BalanceForUpdate(ctx, p)
}

func (l recordingLedger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	*l.log = append(*l.log, "post "+string(e.Kind))
	return l.Ledger.Post(ctx, e)
}

// failingTx cannot lock some runs.
type failingTx struct {
	ports.Tx
	runs map[core.RunID]bool
}

func (t failingTx) Runs() ports.Runs { return failingRuns{t.Tx.Runs(), t.runs} }

type failingRuns struct {
	ports.Runs
	runs map[core.RunID]bool
}

func (r failingRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	for _, w := range want {
		if r.runs[w.Run] {
			return nil, errStore
		}
	}
	return r.Runs.Lock(ctx, wait, want...)
}
