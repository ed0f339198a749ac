package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// faultyQueue is the memory queue, which fails while it has an error.
type faultyQueue struct {
	*memory.Queue
	mu    sync.Mutex
	err   error
	calls int
}

func (q *faultyQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
}

// asked counts the calls of Enqueue.
func (q *faultyQueue) asked() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.calls
}

// Enqueue implements ports.Queue.
func (q *faultyQueue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	q.mu.Lock()
	q.calls++
	err := q.err
	q.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return q.Queue.Enqueue(ctx, jobs)
}

// faultyStore is the memory store, which fails or panics when a test says so.
type faultyStore struct {
	*memory.Store
	mu    sync.Mutex
	err   error
	panic any
	keys  int  // look-ups of API keys
	held  bool // another transaction holds every idempotency key
}

// APIKey implements ports.Store.
func (s *faultyStore) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	s.mu.Lock()
	s.keys++
	s.mu.Unlock()
	if err := s.fault(); err != nil {
		return core.APIKey{}, err
	}
	return s.Store.APIKey(ctx, tenant, id)
}

// looked gives how often API keys were looked up.
func (s *faultyStore) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

func (s *faultyStore) holdKeys(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
}

type heldTx struct{ ports.Tx }

// Replies implements ports.Tx.
func (t heldTx) Replies() ports.Replies { return heldReplies{t.Tx.Replies()} }

type heldReplies struct{ ports.Replies }

// Insert implements ports.Replies.
func (heldReplies) Insert(context.Context, core.Reply) error { return ports.ErrLockTimeout }

func (s *faultyStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *faultyStore) breakDown(p any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panic = p
}

func (s *faultyStore) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panic != nil {
		panic(s.panic)
	}
	return s.err
}

// InTx implements ports.Store.
func (s *faultyStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := s.fault(); err != nil {
		return err
	}
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held {
		return s.Store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(heldTx{tx}) })
	}
	return s.Store.InTx(ctx, tenant, fn)
}

// View implements ports.Store.
func (s *faultyStore) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := s.fault(); err != nil {
		return err
	}
	return s.Store.View(ctx, tenant, fn)
}

// faultyFiles are the memory files, which cannot be written while there is an error.
type faultyFiles struct {
	*memory.Files
	mu     sync.Mutex
	err    error
	there  map[core.RunID]int // contents
	writes int
}

// kept counts the contents that are there.
func (f *faultyFiles) kept() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range f.there {
		n += of
	}
	return n
}

// written counts the contents that were ever there.
func (f *faultyFiles) written() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

func (f *faultyFiles) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faultyFiles) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Begin implements ports.Files.
func (f *faultyFiles) Begin(ctx context.Context, tenant core.TenantID, id core.RunID, begun time.Time) (ports.Upload, error) {
	inner, err := f.Files.Begin(ctx, tenant, id, begun)
	return &faultyUpload{Upload: inner, files: f, id: id}, err
}

// Remove implements ports.Files.
func (f *faultyFiles) Remove(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	err := f.Files.Remove(ctx, tenant, id)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.there, id)
	return err
}

type faultyUpload struct {
	ports.Upload
	files *faultyFiles
	id    core.RunID
}

// Add implements ports.Upload.
func (u *faultyUpload) Add(ctx context.Context, content io.Reader) (ports.Stored, error) {
	if err := u.files.fault(); err != nil {
		return ports.Stored{}, err
	}
	stored, err := u.Upload.Add(ctx, content)
	if err == nil {
		u.files.mu.Lock()
		defer u.files.mu.Unlock()
		u.files.there[u.id]++
		u.files.writes++
	}
	return stored, err
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
