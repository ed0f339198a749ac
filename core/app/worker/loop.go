package worker

import (
	"context"
	"runtime"
	"sync"

	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// loop owns the scheduler: it takes in what has happened, all that is there at a time,
// and has what follows carried out, until the scheduler has stopped.
func (w *Worker) loop() {
	defer w.alarm.stop()
	events := []scheduler.Event{scheduler.Tick{}}
	for {
		w.mu.Lock()
		now := w.time.read()
		actions := w.scheduler.Handle(now, events...)
		for _, a := range actions {
			if _, over := a.(scheduler.Stopped); over {
				w.mu.Unlock()
				return
			}
			w.carryOut(a)
		}
		w.alarm.arm(now)
		w.mu.Unlock()
		clear(events)
		<-w.inbox.wake
		runtime.Gosched() // what has ended together is given together
		events = w.inbox.take(events[:0])
	}
}

// carryOut begins an action. What takes long is done by a goroutine of its own, which
// gives the answer as an event.
func (w *Worker) carryOut(action scheduler.Action) {
	switch a := action.(type) {
	case scheduler.Receive:
		var ctx context.Context
		ctx, w.cancelReceive = context.WithCancel(w.receiving)
		go w.receive(ctx, w.cancelReceive, a)
	case scheduler.CancelReceive:
		w.cancelReceive()
	case scheduler.Claim:
		go w.claim(a)
	case scheduler.Execute:
		for _, j := range a.Jobs {
			go w.work(j)
		}
	case scheduler.Cancel:
		for _, j := range a.Jobs {
			taskOf(j).cancel()
		}
	case scheduler.Accept:
		taskOf(a.Job).accept(a.N)
	case scheduler.Forfeit:
		taskOf(a.Job).forfeit()
	case scheduler.Settle:
		go w.settle(a)
	case scheduler.Renew:
		go w.renew(a)
	case scheduler.Look:
		go w.look(a)
	case scheduler.HandBack:
		go w.handBack(a)
	case scheduler.Answer:
		go w.answer(a)
	case scheduler.Interrupt:
		go w.interrupt(a)
	case scheduler.SetTimer:
		w.alarm.set(a.At)
	case scheduler.Notify:
		w.tellOperator(a.Note)
	}
}

// inbox has the events that the scheduler is still to be given.
type inbox struct {
	wake chan struct{} // has one if there are events, or the time of the alarm has come

	mu     sync.Mutex
	events []scheduler.Event
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1)} }

// put adds an event. It does not block.
func (b *inbox) put(e scheduler.Event) {
	b.mu.Lock()
	first := len(b.events) == 0
	b.events = append(b.events, e)
	b.mu.Unlock()
	if first {
		wake(b.wake)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take gives what is there, and keeps spare for what comes.
func (b *inbox) take(spare []scheduler.Event) []scheduler.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = spare
	return events
}
