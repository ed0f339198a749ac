package scheduler

import (
	"container/heap"
	"time"
)

// timer is something to be done at a time.
type timer struct {
	at   time.Time
	seq  uint64 // of two at the same time the one that was set first comes first
	fire func() // nil once it has fired or was stopped
	// every is after what time it fires again; 0: it fires once.
	every time.Duration
}

// stop is of no effect for one that is nil, has fired or was stopped.
func (t *timer) stop() {
	if t != nil {
		t.fire = nil
	}
}

// timers are those that are set, as a heap. One that was stopped stays until its time.
type timers struct {
	heap timerHeap
	seq  uint64
}

func (t *timers) set(at time.Time, fire func()) *timer {
	one := &timer{fire: fire}
	t.push(one, at)
	return one
}

// repeat fires again and again, first after that time.
func (t *timers) repeat(now time.Time, every time.Duration, fire func()) {
	t.push(&timer{fire: fire, every: every}, now.Add(every))
}

func (t *timers) push(one *timer, at time.Time) {
	t.seq++
	one.at, one.seq = at, t.seq
	heap.Push(&t.heap, one)
}

// run fires what is due.
func (t *timers) run(now time.Time) {
	for len(t.heap) > 0 && (t.heap[0].fire == nil || !now.Before(t.heap[0].at)) {
		one := heap.Pop(&t.heap).(*timer)
		fire := one.fire
		switch {
		case fire == nil:
			continue
		case one.every > 0:
			t.push(one, now.Add(one.every))
		default:
			one.fire = nil
		}
		fire()
	}
}

// next is when the next is due; zero if there is none.
func (t *timers) next() time.Time {
	for len(t.heap) > 0 && t.heap[0].fire == nil {
		heap.Pop(&t.heap)
	}
	if len(t.heap) == 0 {
		return time.Time{}
	}
	return t.heap[0].at
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *timerHeap) Push(one any) { *h = append(*h, one.(*timer)) }

func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
