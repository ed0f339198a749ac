package watermillqueue

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/redrive/redrive/core"
)

// DeadLetter is a message that no server could read.
type DeadLetter struct {
	ID        string // names it among the dead letters
	MessageID string
	Tenant    core.TenantID // empty where the message does not say
	Origin    string        // the topic or table that it came from
	Reason    string        // ReasonUndecodable, ReasonVersion
	Detail    string        // what went wrong
	At        time.Time
	Metadata  message.Metadata
	Payload   []byte
}

// DeadLetters is what operators see of them.
type DeadLetters interface {
	// List gives the oldest dead letters, at most limit.
	List(ctx context.Context, limit int) ([]DeadLetter, error)
	// Requeue sends them again, as they are, and says how many it found. One that
	// still cannot be read becomes a dead letter again.
	Requeue(ctx context.Context, ids ...string) (int, error)
}

// memoryDead keeps dead letters in memory, the latest ones.
type memoryDead struct {
	limit int
	send  func(ctx context.Context, l DeadLetter) error

	mu      sync.Mutex
	letters []DeadLetter
	last    uint64
}

var _ DeadLetters = (*memoryDead)(nil)

func (m *memoryDead) add(l DeadLetter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	l.ID = strconv.FormatUint(m.last, 10)
	m.letters = append(m.letters, l)
	if over := len(m.letters) - m.limit; over > 0 {
		m.letters = slices.Delete(m.letters, 0, over)
	}
}

func (m *memoryDead) List(ctx context.Context, limit int) ([]DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.letters[:min(max(limit, 0), len(m.letters))]), ctx.Err()
}

func (m *memoryDead) Requeue(ctx context.Context, ids ...string) (int, error) {
	m.mu.Lock()
	var found []DeadLetter
	m.letters = slices.DeleteFunc(m.letters, func(l DeadLetter) bool {
		if slices.Contains(ids, l.ID) {
			found = append(found, l)
			return true
		}
		return false
	})
	m.mu.Unlock()
	for i, l := range found {
		if err := m.send(ctx, l); err != nil {
			m.mu.Lock()
			m.letters = append(m.letters, found[i:]...)
			m.mu.Unlock()
			return i, err
		}
	}
	return len(found), nil
}
