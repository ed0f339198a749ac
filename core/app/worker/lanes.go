package worker

import (
	"sync"
	"time"
)

// lanes gather what is to be written, a lane for each key. While one group of a
// lane is being written the next gathers, so groups grow with the load; lanes do
// not wait for each other.
type lanes[K comparable, T any] struct {
	linger time.Duration // before the first group of a lane that was empty
	cost   func(T) int
	write  func(key K, take func() []T) // take gives the group; call it as late as possible
	active *sync.WaitGroup

	mu      sync.Mutex
	waiting map[K][]T // a key that is here has a goroutine
}

func newLanes[K comparable, T any](active *sync.WaitGroup, cost func(T) int, write func(K, func() []T)) *lanes[K, T] {
	return &lanes[K, T]{cost: cost, write: write, active: active, waiting: map[K][]T{}}
}

// add puts items into a lane; they are written soon. It does not block.
func (l *lanes[K, T]) add(key K, items ...T) {
	if len(items) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gathered, busy := l.waiting[key]
	l.waiting[key] = append(gathered, items...)
	if !busy {
		l.active.Go(func() { l.run(key) })
	}
}

func (l *lanes[K, T]) run(key K) {
	if l.linger > 0 {
		time.Sleep(l.linger) // by the machine's clock: it is about company, not about what time it is
	}
	for l.more(key) {
		l.write(key, func() []T { return l.take(key, groupCost) })
	}
}

// more reports whether there is something to write; if not, the lane ends.
func (l *lanes[K, T]) more(key K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[key]) > 0 {
		return true
	}
	delete(l.waiting, key)
	return false
}

// take takes what has gathered, up to a cost, but at least one if there is any.
func (l *lanes[K, T]) take(key K, most int) []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	gathered := l.waiting[key]
	n, cost := 0, 0
	for ; n < len(gathered); n++ {
		if cost += l.cost(gathered[n]); n > 0 && cost > most {
			break
		}
	}
	if n == len(gathered) {
		l.waiting[key] = nil
		return gathered
	}
	l.waiting[key] = append([]T(nil), gathered[n:]...) // the group must not be kept alive by what is left
	return gathered[:n:n]
}
