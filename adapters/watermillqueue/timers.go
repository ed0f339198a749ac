package watermillqueue

import (
	"sync"
	"time"
)

// timers run things later, until they are stopped.
type timers struct {
	mu      sync.Mutex
	stopped bool
	running map[*time.Timer]struct{}
}

// after runs do in a goroutine of its own, unless stop comes first.
func (t *timers) after(d time.Duration, do func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	if t.running == nil {
		t.running = map[*time.Timer]struct{}{}
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		t.mu.Lock()
		_, on := t.running[timer]
		delete(t.running, timer)
		t.mu.Unlock()
		if on {
			do()
		}
	})
	t.running[timer] = struct{}{}
}

func (t *timers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for timer := range t.running {
		timer.Stop()
	}
	clear(t.running)
}
