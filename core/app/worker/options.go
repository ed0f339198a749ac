package worker

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

// Options are the numbers that an operator may set. Zero means the default.
type Options struct {
	Concurrency int // jobs executed at once; default 16

	// Ahead is how many more may be claimed while jobs take so little time that executors
	// would wait for the next; default 4 times Concurrency and at most 1000, negative for
	// none. With some jobs of a message up to 250 others of it may come. Jobs that take
	// longer than some milliseconds are never claimed ahead.
	Ahead int

	// TenantConcurrency and TemplateConcurrency are how many of them may be of one
	// tenant, and of one template of a tenant; 0 for no limit of its own. They hold
	// in this process: N processes work N times as many.
	TenantConcurrency, TemplateConcurrency int
	// TenantLimit and TemplateLimit are asked for the limit of one; nil for the same
	// for all. 0 is no limit. They are called often and must be quick, and must not
	// call the worker.
	TenantLimit   func(core.TenantID) int
	TemplateLimit func(ports.TemplateKey) int
	// Parked is how many jobs that came in spite of a limit are kept for when
	// it frees; default 32, negative for none.
	Parked int

	Breaker Breaker

	// Transactions is how many groups are written to the store at once; default 4.
	// Half as many more may wait for runs that are locked. It should be well below the
	// store's connections, which others need too.
	Transactions int
	// Linger is how long a result waits for others to be recorded with, if nothing
	// is being recorded, and a free place for others to be filled with; default 2 ms,
	// negative for not at all.
	Linger time.Duration

	// CancelEvery is how often the jobs under way are looked at, to stop those whose run
	// was cancelled; default 1 s, negative for only when their leases are renewed.
	CancelEvery  time.Duration
	RecoverEvery time.Duration // how often recovery looks for due runs; default 5 s
	RefillEvery  time.Duration // how often the monthly refill is looked after; default 10 min
	SweepEvery   time.Duration // how often uploads that became no run, and old idempotency keys, are looked for; default 1 h
	BulkEvery    time.Duration // how often bulk continues that no server drives are looked for; default 15 s
	// DrainTimeout is how long running jobs may go on after the stop before
	// they are handed back; default 30 s. Negative: hand back at once.
	DrainTimeout time.Duration
	Log          *slog.Logger // nil: slog.Default()
}

// Breaker says when a template's jobs are kept back because they could not be done
// now, and until when; see the package's comment.
type Breaker = scheduler.Breaker

func (o Options) withDefaults() Options {
	for _, n := range []struct {
		field *int
		value int
	}{
		{&o.Concurrency, 16},
		{&o.Parked, 32},
		{&o.Breaker.Failures, 10},
		{&o.Transactions, 4},
	} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Breaker.OpenFor, 30 * time.Second},
		{&o.Breaker.MaxOutage, time.Hour},
		{&o.Breaker.InterruptAfter, 30 * time.Second},
		{&o.Linger, 2 * time.Millisecond},
		{&o.CancelEvery, time.Second},
		{&o.RecoverEvery, 5 * time.Second},
		{&o.RefillEvery, 10 * time.Minute},
		{&o.SweepEvery, time.Hour},
		{&o.BulkEvery, 15 * time.Second},
		{&o.DrainTimeout, 30 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Ahead == 0 {
		o.Ahead = min(4*o.Concurrency, 1000)
	}
	if o.TenantLimit == nil && o.TenantConcurrency > 0 {
		limit := o.TenantConcurrency
		o.TenantLimit = func(core.TenantID) int { return limit }
	}
	if o.TemplateLimit == nil && o.TemplateConcurrency > 0 {
		limit := o.TemplateConcurrency
		o.TemplateLimit = func(ports.TemplateKey) int { return limit }
	}
	if o.Breaker.Endpoint == nil {
		o.Breaker.Endpoint = func(t ports.TemplateKey) string { return string(t.Tenant) + "/" + string(t.Template) }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// guardCallbacks lets the embedder's functions panic without taking the pool down:
// what has no limit then is not stopped.
func (o *Options) guardCallbacks() {
	log := o.Log
	recovered := func(what string) {
		if p := recover(); p != nil {
			log.Error("an option of the worker panicked", "option", what, "panic", p, "stack", string(debug.Stack()))
		}
	}
	if ask := o.TenantLimit; ask != nil {
		o.TenantLimit = func(t core.TenantID) (limit int) {
			defer recovered("TenantLimit")
			return ask(t)
		}
	}
	if ask := o.TemplateLimit; ask != nil {
		o.TemplateLimit = func(t ports.TemplateKey) (limit int) {
			defer recovered("TemplateLimit")
			return ask(t)
		}
	}
	ask := o.Breaker.Endpoint
	o.Breaker.Endpoint = func(t ports.TemplateKey) (name string) {
		defer recovered("Breaker.Endpoint")
		return ask(t)
	}
}

func (o Options) validate() error {
	switch {
	case o.Concurrency < 1 || o.Transactions < 1:
		return errors.New("worker.New: Concurrency and Transactions must be 1 or more")
	case o.TenantConcurrency < 0 || o.TemplateConcurrency < 0:
		return errors.New("worker.New: TenantConcurrency and TemplateConcurrency must not be negative")
	case o.RecoverEvery < 0 || o.RefillEvery < 0 || o.SweepEvery < 0 || o.BulkEvery < 0 || o.Breaker.OpenFor < 0 || o.Breaker.MaxOutage < 0 || o.Breaker.InterruptAfter < 0:
		return errors.New("worker.New: RecoverEvery, RefillEvery, SweepEvery, BulkEvery and the breaker's times must be positive")
	}
	return nil
}

// config is what the scheduler goes by.
func (o Options) config(lease time.Duration) scheduler.Config {
	return scheduler.Config{
		Concurrency: o.Concurrency, Ahead: max(o.Ahead, 0),
		TenantConcurrency: o.TenantConcurrency, TemplateConcurrency: o.TemplateConcurrency,
		TenantLimit: o.TenantLimit, TemplateLimit: o.TemplateLimit,
		Parked: max(o.Parked, 0), Breaker: o.Breaker,
		Transactions: o.Transactions, Linger: max(o.Linger, 0),
		Lease: lease, CancelEvery: max(o.CancelEvery, 0), DrainTimeout: max(o.DrainTimeout, 0),
		Seed: rand.Uint64(), //nolint:gosec // pauses of workers are to differ, and no secret
	}
}

const (
	// recoverPage bounds the runs that recovery asks for at a time.
	recoverPage = 100
	// interruptTimeout bounds the closing of runs that wait because of a fault of ours;
	// the next probe goes on with what is left.
	interruptTimeout = time.Minute
	// betweenLooks is how long a run must have stood still for that.
	betweenLooks = time.Second
	// watchTimeout bounds a look at whether jobs were cancelled.
	watchTimeout = 5 * time.Second
	// watchFiles bounds the files of a job that are looked at to see whether it was
	// cancelled.
	watchFiles = 50
)
