package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Deps are the ports that the use cases drive. The first four are required.
type Deps struct {
	Store    ports.Store
	Queue    ports.Queue
	Executor ports.Executor
	Files    ports.Files
	Clock    ports.Clock  // nil: SystemClock
	IDs      ports.IDs    // nil: UUIDs
	Log      *slog.Logger // nil: slog.Default()
	// Webhooks sends events to tenants' endpoints; nil: none can be made.
	Webhooks ports.WebhookSender
	// Random gives the bytes of webhook secrets; nil: crypto/rand.
	Random io.Reader
	// NewWait makes the waits of requests for their turn at their tenant's credits; nil:
	// channels.
	NewWait NewWait
}

// Options are the numbers that an operator may set. A zero value means the
// default of that field.
type Options struct {
	// MaxFiles is the most files that a run may have; default 10,000.
	MaxFiles int
	// MaxTenantUploadBytes is what the uploads of one tenant that belong to no run yet
	// may hold at once through this Service, in bytes, and MaxTenantUploads how many
	// of them there may be; default 2 GiB and 64, negative for no limit.
	MaxTenantUploadBytes int64
	MaxTenantUploads     int
	// UploadGrace is after what time an upload that belongs to no run is swept;
	// default 24 h. An upload that takes longer than half of it is refused, so that
	// none is swept while its run is being made.
	UploadGrace time.Duration
	// IdempotencyTTL is for how long replies under idempotency keys, and refusals of
	// initiations and Continues, are remembered at least; default 24 h. What was charged or
	// granted keeps its key for ever.
	IdempotencyTTL time.Duration
	// Recovery says when recovery acts. Its Lease is how long a claim holds
	// without renewal. Default: grace 30 s, redispatch after 5 min doubling up
	// to 1 h, lease 1 min, 3 redeliveries.
	Recovery core.RecoveryPolicy
	// Retry says how transient failures are retried inside a job. Default: 3
	// tries, waits of up to 1 s, 2 s, …, at most 30 s, within 5 min.
	Retry core.RetryPolicy
	// DispatchTimeout bounds what follows the commit of an initiation or a
	// Continue (enqueueing, then its bookkeeping or its compensation, each).
	// The caller's own cancellation does not reach it. Default 15 s; it should
	// be below Recovery.DispatchGrace. Negative: no bound but that of the queue
	// and the store, for simulations, in which this machine's clock decides nothing.
	DispatchTimeout time.Duration
	// MaxOutputBytes is the longest output of a file that is kept; a longer one is
	// failed (core.FailureOutputTooLarge). Default 4 MiB.
	MaxOutputBytes int
	// TrialTimeout bounds the trial of a template on one file, in-job retries included,
	// and MaxTrials how many of them this Service does at once, so that they take little
	// from the workers; default 2 min and 2.
	TrialTimeout time.Duration
	MaxTrials    int
	// MaxDownloads is how many downloads of runs' outputs this Service writes at once, and
	// MaxTenantDownloads how many of one tenant; each takes a few megabytes. Default 32 and
	// 8, negative for no limit.
	MaxDownloads       int
	MaxTenantDownloads int
	// MaxFileDownloads is how many single files, and other long answers, are sent at once
	// through this Service, and MaxTenantFileDownloads how many of one tenant; each takes a
	// connection, and an output its length in memory. Default 512 and 64, negative for no
	// limit.
	MaxFileDownloads       int
	MaxTenantFileDownloads int
	// BulkLease is after what time without a sign of life of the server that drives a bulk
	// continue another one does, and BulkKeep how long one is kept after its end; default
	// 15 s and 90 days.
	BulkLease time.Duration
	BulkKeep  time.Duration
	// Webhooks says when events are sent again, and when an endpoint is paused; default:
	// core.DefaultDeliveryPolicy.
	Webhooks core.DeliveryPolicy
	// WebhookRetention is how long events and what became of them are kept; default 30 days.
	WebhookRetention time.Duration
	// Roll draws the jitter of in-job retries and of webhooks, a number in [0, 1).
	Roll func() float64
}

// DefaultOptions gives what New uses where a field is zero.
func DefaultOptions() Options {
	return Options{
		MaxFiles:             core.DefaultMaxFiles,
		MaxTenantUploadBytes: 2 << 30,
		MaxTenantUploads:     64,
		UploadGrace:          24 * time.Hour,
		IdempotencyTTL:       24 * time.Hour,
		Recovery: core.RecoveryPolicy{
			DispatchGrace:   30 * time.Second,
			RedispatchAfter: 5 * time.Minute, MaxRedispatchAfter: time.Hour,
			Lease: time.Minute, MaxRedeliveries: 3,
		},
		Retry: core.RetryPolicy{
			MaxTries: 3, BaseDelay: time.Second, MaxDelay: 30 * time.Second, Budget: 5 * time.Minute,
		},
		DispatchTimeout: 15 * time.Second,
		MaxOutputBytes:  4 << 20,
		TrialTimeout:    2 * time.Minute,
		MaxTrials:       2,
		MaxDownloads:    32, MaxTenantDownloads: 8,
		MaxFileDownloads: 512, MaxTenantFileDownloads: 64,
		BulkLease: 15 * time.Second,
		BulkKeep:  90 * 24 * time.Hour,
		Webhooks:  core.DefaultDeliveryPolicy(), WebhookRetention: 30 * 24 * time.Hour,
		Roll: mathrand.Float64,
	}
}

func (o Options) withDefaults() Options {
	d := DefaultOptions()
	if o.MaxFiles == 0 {
		o.MaxFiles = d.MaxFiles
	}
	if o.MaxTenantUploadBytes == 0 {
		o.MaxTenantUploadBytes = d.MaxTenantUploadBytes
	}
	if o.MaxTenantUploads == 0 {
		o.MaxTenantUploads = d.MaxTenantUploads
	}
	if o.UploadGrace == 0 {
		o.UploadGrace = d.UploadGrace
	}
	if o.IdempotencyTTL == 0 {
		o.IdempotencyTTL = d.IdempotencyTTL
	}
	if o.Recovery == (core.RecoveryPolicy{}) {
		o.Recovery = d.Recovery
	}
	if o.Retry == (core.RetryPolicy{}) {
		o.Retry = d.Retry
	}
	if o.DispatchTimeout == 0 {
		o.DispatchTimeout = d.DispatchTimeout
	}
	if o.MaxOutputBytes == 0 {
		o.MaxOutputBytes = d.MaxOutputBytes
	}
	if o.TrialTimeout == 0 {
		o.TrialTimeout = d.TrialTimeout
	}
	if o.MaxTrials == 0 {
		o.MaxTrials = d.MaxTrials
	}
	if o.MaxDownloads == 0 {
		o.MaxDownloads = d.MaxDownloads
	}
	if o.MaxTenantDownloads == 0 {
		o.MaxTenantDownloads = d.MaxTenantDownloads
	}
	if o.MaxFileDownloads == 0 {
		o.MaxFileDownloads = d.MaxFileDownloads
	}
	if o.MaxTenantFileDownloads == 0 {
		o.MaxTenantFileDownloads = d.MaxTenantFileDownloads
	}
	if o.BulkLease == 0 {
		o.BulkLease = d.BulkLease
	}
	if o.BulkKeep == 0 {
		o.BulkKeep = d.BulkKeep
	}
	if o.Webhooks.Waits == nil {
		o.Webhooks = d.Webhooks
	}
	if o.WebhookRetention == 0 {
		o.WebhookRetention = d.WebhookRetention
	}
	if o.Roll == nil {
		o.Roll = d.Roll
	}
	return o
}

// Service has the use cases. It keeps no state of its own besides counters and what
// uploads, trials and decisions under way hold, so any number of them may work on the same store and queue. Its methods may be
// called by many goroutines at once; it starts none.
type Service struct {
	store         ports.Store
	queue         ports.Queue
	executor      ports.Executor
	files         ports.Files
	clock         ports.Clock
	ids           ports.IDs
	log           *slog.Logger
	opts          Options
	stats         counters
	outcomes      outcomes
	uploads       uploadsUnderWay
	downloads     downloadsUnderWay // of runs' outputs
	fileDownloads downloadsUnderWay
	selections    places              // of bulk continues
	waiting       combiner            // of initiations and Continues
	trials        chan struct{}       // one for each that is under way
	sender        ports.WebhookSender // nil: there are no webhooks
	random        io.Reader
	told          chan struct{}  // has one if events may have been written since it was read
	acceptor      ports.Acceptor // the executor, if it says what it takes; else nil

	bulkSignal chan struct{} // see BulkSignal
}

// New checks its parts and gives a Service.
func New(d Deps, o Options) (*Service, error) {
	for name, missing := range map[string]bool{
		"Store": d.Store == nil, "Queue": d.Queue == nil, "Executor": d.Executor == nil, "Files": d.Files == nil,
	} {
		if missing {
			return nil, fmt.Errorf("app.New: Deps.%s is required", name)
		}
	}
	o = o.withDefaults()
	if err := errors.Join(o.Recovery.Validate(), o.Retry.Validate(), o.Webhooks.Validate()); err != nil {
		return nil, err
	}
	if o.MaxFiles < 1 || o.MaxOutputBytes < 1 {
		return nil, errors.New("app.New: MaxFiles and MaxOutputBytes must be 1 or more")
	}
	if o.TrialTimeout < 0 || o.MaxTrials < 0 {
		return nil, errors.New("app.New: TrialTimeout and MaxTrials must not be negative")
	}
	if o.BulkLease < 0 || o.BulkKeep < 0 {
		return nil, errors.New("app.New: BulkLease and BulkKeep must not be negative")
	}
	if o.UploadGrace < 0 || o.IdempotencyTTL < 0 || o.WebhookRetention < 0 {
		return nil, errors.New("app.New: UploadGrace, IdempotencyTTL and WebhookRetention must not be negative")
	}
	acceptor, ok := d.Executor.(ports.Acceptor)
	if ok && acceptor.MaxFileBytes() < 1 {
		return nil, errors.New("app.New: the executor's MaxFileBytes must be 1 or more")
	}
	if d.Clock == nil {
		d.Clock = SystemClock{}
	}
	if d.IDs == nil {
		d.IDs = UUIDs{}
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.NewWait == nil {
		d.NewWait = channelWaits
	}
	return &Service{
		store: d.Store, queue: d.Queue, executor: d.Executor, files: d.Files,
		clock: d.Clock, ids: d.IDs, log: d.Log, opts: o, acceptor: acceptor,
		bulkSignal: make(chan struct{}, 1),
		sender:     d.Webhooks, random: d.Random, told: make(chan struct{}, 1),
		trials: make(chan struct{}, o.MaxTrials), waiting: combiner{newWait: d.NewWait, lines: map[core.TenantID]*line{}},
	}, nil
}

// Options gives the options in force.
func (s *Service) Options() Options { return s.opts }

// Clock gives the clock in use, for the loops around the use cases.
func (s *Service) Clock() ports.Clock { return s.clock }

// Stats counts what an operator wants to be told about. The numbers only grow
// and are those of this Service, not of the whole installation.
type Stats struct {
	Compensated          int64 // attempts undone and refunded because enqueueing failed
	CompensationFailures int64 // attempts that could not be undone; recovery finishes them
	Unconfirmed          int64 // dispatches whose bookkeeping failed
	Dropped              int64 // jobs, leases and results that had no effect
	ExpiredLeases        int64
	Redispatched         int64 // jobs that recovery sent again
	GivenUp              int64 // runs that recovery closed INTERRUPTED
	Interrupted          int64 // runs that a fault of ours closed INTERRUPTED
	ExecutorPanics       int64
	SweptUploads         int64 // uploads of no run that were removed after UploadGrace
	WebhooksDelivered    int64 // events that endpoints have taken
	WebhookFailures      int64 // tries that failed
	WebhooksPaused       int64 // endpoints that were paused because they fail or are gone
}

type counters struct {
	compensated, compensationFailures, unconfirmed, dropped, expiredLeases, redispatched, givenUp, interrupted, executorPanics atomic.Int64

	sweptUploads, webhooksDelivered, webhookFailures, webhooksPaused atomic.Int64
}

// Stats reads the counters.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{
		Compensated: c.compensated.Load(), CompensationFailures: c.compensationFailures.Load(),
		Unconfirmed: c.unconfirmed.Load(), Dropped: c.dropped.Load(), ExpiredLeases: c.expiredLeases.Load(),
		Redispatched: c.redispatched.Load(), GivenUp: c.givenUp.Load(), Interrupted: c.interrupted.Load(), ExecutorPanics: c.executorPanics.Load(),
		SweptUploads: c.sweptUploads.Load(), WebhooksDelivered: c.webhooksDelivered.Load(),
		WebhookFailures: c.webhookFailures.Load(), WebhooksPaused: c.webhooksPaused.Load(),
	}
}

// AuthorizeRun finds whose run it is and whether the actor may do that to it, in the
// order of spec 3.1: CodeRunNotFound, CodeWrongTenant, CodeRoleNotAllowed.
func (s *Service) AuthorizeRun(ctx context.Context, actor core.Actor, action core.Action, id core.RunID) (core.TenantID, error) {
	owner, err := s.store.TenantOf(ports.LikelyOwner(ctx, actor.Tenant), id)
	if err != nil {
		return "", notFound(err, runNotFound(id))
	}
	return owner, core.Authorize(actor, action, owner)
}

// lockBalance locks the tenant's credits and reads the balance of the present month. It
// reads the clock after it has acquired the lock: a caller that waits over the end of a
// month spends the new month's allowance.
func (s *Service) lockBalance(ctx context.Context, tx ports.Tx, tenant core.TenantID) (core.Balance, time.Time, error) {
	return s.underCredits(ctx, tx, tenant, func(p core.Period) (core.Balance, error) { return tx.Ledger().BalanceForUpdate(ctx, p) })
}

// readStarts is lockBalance that reads what starts are decided on as well.
func (s *Service) readStarts(ctx context.Context, tx ports.Tx, tenant core.TenantID, want ports.StartReads) (found ports.StartInputs, now time.Time, err error) {
	balance, now, err := s.underCredits(ctx, tx, tenant, func(p core.Period) (core.Balance, error) {
		want.Period = p
		found, err = tx.Starts().Read(ctx, want)
		return found.Balance, err
	})
	found.Balance = balance
	return found, now, err
}

func (s *Service) underCredits(ctx context.Context, tx ports.Tx, tenant core.TenantID, lock func(core.Period) (core.Balance, error)) (core.Balance, time.Time, error) {
	asked := core.PeriodOf(s.clock.Now())
	balance, err := lock(asked)
	if err != nil {
		return core.Balance{}, time.Time{}, notFound(err, tenantNotFound(tenant))
	}
	now := s.clock.Now()
	if p := core.PeriodOf(now); p != asked {
		if balance, err = tx.Ledger().Balance(ctx, p); err != nil {
			return core.Balance{}, time.Time{}, err
		}
	}
	return balance, now, nil
}

// notFound turns a store's ErrNotFound into the refusal that names what was not found.
func notFound(err error, refusal *core.Error) error {
	if errors.Is(err, ports.ErrNotFound) {
		return refusal
	}
	return err
}

func runNotFound(id core.RunID) *core.Error {
	return &core.Error{Code: core.CodeRunNotFound, Run: id, Message: "there is no such run"}
}

func tenantNotFound(id core.TenantID) *core.Error {
	return &core.Error{Code: core.CodeTenantNotFound, Message: fmt.Sprintf("there is no tenant %q", id)}
}

func templateNotFound(id core.TemplateID) *core.Error {
	return &core.Error{Code: core.CodeTemplateNotFound, Message: fmt.Sprintf("there is no template %q", id)}
}

func fileNotFound(id core.RunID, index int) *core.Error {
	return &core.Error{Code: core.CodeFileNotFound, Run: id, Message: fmt.Sprintf("the run has no file %d", index)}
}
