package sim

import (
	"fmt"
	"runtime"
	"time"
)

// watch reports progress and notices worlds that hang.
func (k *campaign) watch(done <-chan struct{}, players []*player) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := make([]uint64, len(players))
	since := make([]time.Time, len(players))
	for i := range since {
		since[i] = time.Now()
	}
	for {
		select {
		case <-done:
			return nil
		case now := <-tick.C:
			for i, p := range players {
				if n := p.worlds.Load(); n != last[i] {
					last[i], since[i] = n, now
				}
				if now.Sub(since[i]) > k.config.Hang {
					k.limit.Store(0)
					return fmt.Errorf("%w: seed %d made no progress for %s\n%s", ErrHang, p.seed.Load(), k.config.Hang, stacks())
				}
			}
			if k.config.Progress != nil {
				k.mu.Lock()
				so := k.report
				k.mu.Unlock()
				so.Elapsed = now.Sub(k.began)
				k.config.Progress(so)
			}
		}
	}
}

func stacks() []byte {
	buffer := make([]byte, 1<<20)
	return buffer[:runtime.Stack(buffer, true)]
}
