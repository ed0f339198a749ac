package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"sync"

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

// asked counts the times that anybody asked for jobs to be enqueued.
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

// faultyStore is the memory store, which fails or panics when told to.
type faultyStore struct {
	*memory.Store
	mu    sync.Mutex
	err   error
	panic any
}

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
	mu   sync.Mutex
	err  error
	puts int
}

// kept counts the files that were given to be kept.
func (f *faultyFiles) kept() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.puts
}

func (f *faultyFiles) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Put implements ports.Files.
func (f *faultyFiles) Put(ctx context.Context, tenant core.TenantID, content io.Reader) (ports.Stored, error) {
	f.mu.Lock()
	f.puts++
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return ports.Stored{}, err
	}
	return f.Files.Put(ctx, tenant, content)
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
