package sched

import (
	"context"
	"errors"
	"iter"
	"runtime/debug"
	"time"
)

// state is what an actor waits for.
type state uint8

const (
	idle     state = iota // it has nothing to do, or is done
	ready                 // it can go on
	blocked               // somebody has to wake it
	sleeping              // it waits for a time
)

// killed unwinds a coroutine whose actor was killed. Whatever it does on its way
// out has no effect: each port asks Alive, or yields, which panics again.
type killed struct{}

// errKilled is what a wait for a lock answers to a killed actor.
var errKilled = errors.New("sched: killed")

// Panic is what an actor's own code panicked with, and where.
type Panic struct {
	Value any
	Stack []byte // taken inside the coroutine: outside it would be lost
}

// Actor is a coroutine that can be given one thing to do after another.
type Actor struct {
	id    ActorID
	state state
	dead  bool // killed and not unwound yet
	steps uint32
	asked uint16 // how often Next was asked at this step
	wake  time.Time
	body  func()

	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool

	woken    bool // from its wait for a lock
	lockWait func(context.Context) error
	lockWake func()

	panicked *Panic
}

// start makes the coroutine; it is reused for everything that the actor does.
func (a *Actor) start() {
	a.resume, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		a.yield = yield
		for yield(struct{}{}) {
			a.run()
			a.state, a.dead, a.body = idle, false, nil
		}
	})
	a.resume()
}

func (a *Actor) run() {
	defer func() {
		p := recover()
		if _, ok := p.(killed); ok || p == nil {
			return
		}
		a.panicked = &Panic{p, debug.Stack()}
	}()
	if !a.dead { // killed before it began
		a.body()
	}
}

// pause gives control to the scheduler until the actor is chosen again.
func (a *Actor) pause() {
	if !a.tryPause() {
		panic(killed{})
	}
}

// tryPause is pause without the panic: false if the actor was killed.
func (a *Actor) tryPause() (alive bool) {
	if a.dead || !a.yield(struct{}{}) || a.dead {
		a.dead = true
		return false
	}
	return true
}
