package world

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Options are how a world is played.
type Options struct {
	Record bool // keep events for reports; the hash is kept anyway
	// MaxSteps is after how many steps a world that does not come to its end is
	// given up; 0 for the default.
	MaxSteps int
	// Observer is told what users and stores do, for histories; nil for nobody.
	Observer Observer
}

const maxSteps = 6000

// Result is what came of a world.
type Result struct {
	Violation  *oracle.Violation // nil if everything held
	Stack      string            // of a panic
	Steps      int
	Hash       uint64 // of everything that happened
	Deviations []sched.Deviation
	DeviatedAt []int // the step at which each deviation showed, if events are recorded
	Situations oracle.Situations
	Events     []trace.Event // if recorded
	Actors     []string      // their names, by ActorID, if events are recorded
	Processes  []int         // that they run in, by ActorID; -1 for users
}

// World plays scenarios one after the other. It belongs to one goroutine.
type World struct {
	sched  *sched.Scheduler
	tape   trace.Tape
	oracle *oracle.Oracle
	env    *faults.Env
	memory *memory.Store
	queue  *faults.Queue
	files  *faults.Files

	executor *faults.Executor

	recovery     core.RecoveryPolicy
	recoverEvery time.Duration

	sc        *Scenario
	options   Options
	made      [2][]server // by how often recovery redelivers a file before it gives up
	servers   []server    // of them, those of the scenario
	actors    []actor
	bodies    [sched.MaxActors]func()
	slots     []slot
	stories   [len(historyIDs)]story
	contents  memory.Contents // of the tenant that is set up
	commit    oracle.Commit   // by which it is
	refillers sched.Set
	drivers   sched.Set // of bulk continues
	turn      turn      // what comes next
	decided   bool      // turn is, and has not come yet
	healing   bool
	paused    bool // recovery is, while it is tried to do without it
	stack     string
	outages   []outage      // by template
	healBy    time.Time     // when all must be healed
	asked     oracle.Answer // the answer that a user just got
	preview   app.Preview   // and, if it asked for one, the preview
	chooser   sched.Chooser // for when all have come to the barrier
	barrier   sched.Set     // users who are still to come to it
	doorstep  sched.Set     // actors who wait until a server has started
	exercise  exercise      // of the worker that is looked at in the end
}

// slot is a run of the scenario, once it is initiated.
type slot struct {
	id      core.RunID
	known   bool // id is
	gone    bool // it will never be
	atWork  bool // a result of it was recorded while its job went on
	waiting sched.Set
}

// recovery is the policy of all processes, unless Wrap has another one: short
// distances, so that a world needs few steps to get over them.
var recovery = core.RecoveryPolicy{
	DispatchGrace: 20 * time.Second, RedispatchAfter: 90 * time.Second, MaxRedispatchAfter: 6 * time.Minute,
	Lease: time.Minute, MaxRedeliveries: 1,
}

const (
	recoverEvery = time.Minute
	refillEvery  = 6 * time.Hour
	bulkEvery    = 5 * time.Second
)

// maxServers is the most that a scenario can have.
const maxServers = 4

// New makes a World; Close ends it.
func New() (*World, error) { return NewWith(Wrap{}) }

// NewWith makes a World whose use cases get wrapped ports.
func NewWith(wrap Wrap) (*World, error) {
	w := &World{sched: sched.New(), oracle: oracle.New()}
	options := wrap.options()
	w.recovery = options.Recovery
	w.recoverEvery = max(recoverEvery, w.recovery.MaxRedispatchAfter/6)
	w.env = &faults.Env{Sched: w.sched, Tape: &w.tape, Oracle: w.oracle, Lease: w.recovery.Lease}
	w.queue = &faults.Queue{Env: w.env}
	w.memory = memory.NewStore(memory.WithWaits(w.lockWait), memory.WithOutbox(faults.Commits{Queue: w.queue}))
	w.files = &faults.Files{Env: w.env, Library: newLibrary(), Inner: memory.NewFiles()}
	w.oracle.Closed = w.runClosed
	w.oracle.SameProcess = func(a, b uint8) bool { return w.actors[a].process == w.actors[b].process }
	w.oracle.Taken = w.env.Taken
	w.oracle.Horizon = w.recovery.Horizon()
	w.executor = &faults.Executor{Env: w.env, Outcome: w.outcome, Broken: w.broken, Unstorable: w.unstorable, Reported: w.reported}
	for n := range w.made {
		if err := w.makeServers(n, wrap, options); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// makeServers makes the processes of one number of redeliveries.
func (w *World) makeServers(redeliveries int, wrap Wrap, options app.Options) error {
	if redeliveries == 0 {
		options.Recovery.MaxRedeliveries = 0
	}
	for n := range maxServers {
		ahead, old, sends := new(time.Duration), new(bool), new(bool)
		store := &faults.Store{Env: w.env, Inner: w.memory, Queue: w.queue, Sends: sends}
		svc, err := app.New(app.Deps{
			Store: wrapped(wrap.Store, ports.Store(store)), Queue: wrapped(wrap.Queue, ports.Queue(faults.Outlet{Queue: w.queue, Old: old})),
			Executor: wrapped(wrap.Executor, ports.Executor(w.executor)), Files: w.files,
			Clock: faults.Clock{Env: w.env, Ahead: ahead}, IDs: faults.IDs{Env: w.env},
			Log: slog.New(slog.DiscardHandler), NewWait: w.env.Turn,
		}, options)
		if err != nil {
			return err
		}
		w.made[redeliveries] = append(w.made[redeliveries], server{
			svc: svc, feed: faults.Feed{Queue: w.queue, Process: n, Old: old}, ahead: ahead, old: old, sends: sends,
		})
	}
	return nil
}

// Close ends the world's coroutines.
func (w *World) Close() { w.sched.Close() }

// Run plays a scenario with a chooser.
func (w *World) Run(sc *Scenario, c sched.Chooser, o Options) (Result, error) {
	if err := w.reset(sc, c, o); err != nil {
		return Result{}, err
	}
	w.play()
	if w.oracle.Violation() != nil {
		w.sched.KillAll()
	}
	r := Result{
		Violation: w.oracle.Violation(), Stack: w.stack, Steps: w.sched.Steps,
		Deviations: w.sched.Deviations(),
	}
	if v := r.Violation; v != nil {
		w.env.Event(trace.Broken, trace.NoActor, "", "", int64(v.Rule), v.Text)
	}
	r.Hash, r.Events = w.tape.Hash(), w.tape.Events
	w.oracle.Situations(&r.Situations)
	if o.Record {
		w.cast(&r)
	}
	return r, nil
}

// cast says who the actors are, and when they did not do as they do by default.
func (w *World) cast(r *Result) {
	r.DeviatedAt = append(r.DeviatedAt, w.sched.DeviatedAt()...)
	for i := range w.actors {
		a := &w.actors[i]
		process := a.process
		if a.kind == user {
			process = -1 // a user asks now this process and now that one
		}
		r.Actors, r.Processes = append(r.Actors, a.name), append(r.Processes, process)
	}
}

func (w *World) reset(sc *Scenario, c sched.Chooser, o Options) error {
	if len(sc.Servers) < 1 || len(sc.Servers) > maxServers {
		return fmt.Errorf("world: %d servers, must be 1 to %d", len(sc.Servers), maxServers)
	}
	if o.MaxSteps == 0 {
		o.MaxSteps = maxSteps
	}
	w.sc, w.options, w.healing, w.paused, w.stack = sc, o, false, false, ""
	w.sched.Reset(c, sc.Start)
	w.tape.Reset(o.Record)
	w.oracle.Reset()
	w.oracle.Watch = nil
	if o.Observer != nil {
		w.oracle.Watch = o.Observer.Committed
		o.Observer.Began(sc)
	}
	w.env.Reset()
	w.memory.Reset()
	w.queue.Reset(memory.NewQueue())
	w.executor.Reads, w.executor.Early = sc.Reads, sc.Early
	w.outages = append(w.outages[:0], make([]outage, len(sc.Templates))...)
	w.env.Unlucky = ""
	if sc.Unlucky > 0 {
		w.env.Unlucky = sc.Tenants[sc.Unlucky-1].ID
	}
	if w.files.Used {
		w.files.Inner, w.files.Used = memory.NewFiles(), false
	}
	w.servers, w.oracle.MaxRedeliveries = w.made[1][:len(sc.Servers)], w.recovery.MaxRedeliveries
	if sc.NoRedelivery {
		w.servers, w.oracle.MaxRedeliveries = w.made[0][:len(sc.Servers)], 0
	}
	for i := range w.servers {
		p := &w.servers[i]
		p.spec, p.failures = &sc.Servers[i], p.svc.Stats().CompensationFailures
		*p.ahead, *p.old, *p.sends, p.starting = 0, p.spec.Old, sc.Outbox && !p.spec.Old, sc.Sole
		if sc.Ahead == i+1 {
			*p.ahead = aheadBy * w.healTimeout()
		}
		p.worker.reset()
	}
	w.slots, w.doorstep = append(w.slots[:0], make([]slot, len(sc.Runs))...), 0
	if err := w.setUp(); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	w.addActors()
	w.env.Faults = true
	w.setBarrier()
	return nil
}

// aheadBy is how far a clock is ahead, as a multiple of the time in which all heals.
const aheadBy = 4

// healTimeout is how long healing may take: several times what recovery can need.
func (w *World) healTimeout() time.Duration {
	return 10 * (w.recovery.MaxRedispatchAfter + 3*w.recovery.Lease)
}

// lockWait makes waits for locks choices of the scheduler.
func (w *World) lockWait() (wait func(context.Context) error, wake func()) {
	w.oracle.Met(oracle.WaitedForLock)
	return w.sched.LockWait()
}

// template is a template as the world begins with it.
func (w *World) template(n int) core.Template {
	spec, now := &w.sc.Templates[n], w.sc.Start
	return core.Template{
		ID: spec.ID, Tenant: w.sc.Tenants[spec.Tenant].ID, Name: "template", CreditsPerRun: spec.Price, Mode: spec.Mode, Version: 1,
		Status: core.TemplatePublished, CreatedAt: now, UpdatedAt: now,
	}
}

// outcome is what the scenario has for an execution of a file: it depends on
// nothing that a schedule could change but which execution it is.
func (w *World) outcome(job core.Job, index int, epoch core.Epoch, try int) core.Outcome {
	h := w.sc.Seed
	for i := range len(job.Run) {
		h = h*131 + uint64(job.Run[i])
	}
	switch v := sched.Mix(h^uint64(index)<<40^uint64(epoch)<<20^uint64(try)) % 16; {
	case v < 8:
		return core.OutcomeCompleted
	case v < 13:
		return core.OutcomeTransient
	case v < 14:
		return core.OutcomeInterrupted
	default:
		return core.OutcomePermanent
	}
}

// unstorable says which outputs the store can never hold: in some worlds one file in three.
func (w *World) unstorable(run core.RunID, index int) bool {
	if w.sc.Name != "" || sched.Mix(w.sc.Seed^0xb1b)%8 > 0 {
		return false
	}
	return sched.Mix(w.sc.Seed^uint64(index)^uint64(len(run))<<8)%3 == 0
}

// runClosed lets users go on who waited for a run to close.
func (w *World) runClosed(id core.RunID) {
	for i := range w.slots {
		if s := &w.slots[i]; s.known && s.id == id {
			w.wakeWaiters(s)
		}
	}
}

// reported lets users go on who waited until a run was worked on.
func (w *World) reported(id core.RunID) {
	for i := range w.slots {
		if s := &w.slots[i]; s.known && s.id == id && !s.atWork {
			s.atWork = true
			w.wakeWaiters(s)
		}
	}
}

func (w *World) wakeWaiters(s *slot) {
	for rest := s.waiting; rest != 0; rest &= rest - 1 {
		w.sched.Wake(rest.At(0))
	}
	s.waiting = 0
}
