package world

import (
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/sched"
)

// Scenario is what a world is about: all of it follows from Seed and Size, and it
// can be made smaller by taking operations away.
type Scenario struct {
	Name       string // of a small scenario; empty for the default one of Seed
	Seed       uint64
	Start      time.Time
	Tenants    []Tenant
	Templates  []Template
	Runs       []Run
	Users      [][]Op // what each user does, one after the other
	Servers    []Server
	Recoverers int
	Refillers  int
	Drivers    int // of bulk continues
	// Sluggish lets servers renew too late, as one does that got no processor for a while.
	Sluggish bool
	// Reads lets users upload files, and executors read them.
	Reads bool
	// Unfilled leaves it to the refillers to grant the first month.
	Unfilled bool
	// NoRedelivery lets recovery give up on a file at the first lease that runs out.
	NoRedelivery bool
	// Early lets executors report the results of batch jobs one by one.
	Early bool
	// Looks lets servers look, between renewals, whether what they execute is lost.
	Looks bool
	// Breaker lets workers keep a template's jobs back while a fault of the operator's
	// lasts, and interrupt its runs.
	Breaker bool
	// Unmended lets such a fault last to the end of the world.
	Unmended bool
	// Ahead is the process whose clock is hours ahead until faults stop, from 1; 0 for none.
	Ahead int
	// Unlucky is the tenant whose refills fail, from 1; 0 for none.
	Unlucky int
	// Crowded lets users ask everything of the first server.
	Crowded bool
	// Outbox lets the store's transactions send jobs themselves, see ports.Outbox: the queue
	// and the store are one database.
	Outbox bool
	// Sole makes the only server one that has the store for itself, as on SQLite: its queue is
	// lost with it, and each next life begins with Service.Resume.
	Sole bool
	// RecoverLate lets recovery begin only when faults stop.
	RecoverLate bool
	// FaultSteps is after how many steps faults stop at the latest.
	FaultSteps int

	historyRoom [pastRuns]historyRoom // for the default world
}

// Tenant is one tenant with its credits.
type Tenant struct {
	ID        core.TenantID
	Allowance core.Credits // monthly
	Purchased core.Credits
}

// Template is a template of one tenant.
type Template struct {
	ID     core.TemplateID
	Tenant int
	Price  core.Credits
	Mode   core.Mode
}

// Run is a run that some user will initiate.
type Run struct {
	Template      int
	Files         int
	MaxRetryCount int
	History       History
}

// Server is one process: it answers users and works on jobs.
type Server struct {
	Concurrency   int // jobs executed at once
	Transactions  int // groups of jobs that are written to the store at once
	TenantLimit   int // jobs of one tenant executed at once; 0 for no limit of its own
	TemplateLimit int // and of one template
	// Lingers lets the first result of several, and the first free place, wait for others.
	Lingers bool
	// Drains lets jobs go on for a while when it stops, instead of handing them back at once.
	Drains bool
	// Simple makes it work without a scheduler, with Service.Work.
	Simple bool
	// Old makes it one of the release before until it is stopped or dies: it works with
	// Service.Work, and sends and reads one job a message.
	Old     bool
	Dropped bool // it works on no jobs
}

// The default world.
const (
	tenants  = 3
	runs     = 5
	pastRuns = 3 // of them, closed before the world begins
	maxFiles = 3 // of a run
	users    = 4
	servers  = 2
	firstDay = 28
)

var (
	tenantIDs   = [...]core.TenantID{"ada", "bob", "cyd"}
	templateIDs = [...]core.TemplateID{"t0", "t1", "t2", "t3"}
	ownKeys     = [users]core.Key{"own-a", "own-b", "own-c", "own-d"}
	keys        = [...]core.Key{"key-0", "key-1", "key-2", "key-3", "key-4", "key-5", "key-6", "key-7"}
)

// Default makes the default world of a seed: 3 tenants, 5 runs, 4 users who
// continue them together, an operator, recovery loops and a refill, in 2 servers.
func Default(seed uint64) *Scenario {
	s := &Scenario{}
	s.Reset(seed)
	return s
}

// Reset makes the scenario the default one of a seed, reusing its memory.
func (s *Scenario) Reset(seed uint64) {
	r := sched.NewRand(sched.Mix(seed) ^ 0x5ce9a210)
	*s = Scenario{
		Seed: seed, Tenants: s.Tenants[:0], Templates: s.Templates[:0], Runs: s.Runs[:0],
		Users: s.Users[:0], Servers: s.Servers[:0], Recoverers: 2, FaultSteps: 100,
		historyRoom: s.historyRoom,
	}
	// Half of the worlds begin shortly before a month ends.
	s.Start = time.Date(2026, time.November, firstDay, 12, 0, 0, 0, time.UTC)
	if r.IntN(2) == 0 {
		s.Start = time.Date(2026, time.November, 30, 23, 59, 50, 0, time.UTC)
	}
	s.RecoverLate, s.NoRedelivery = r.IntN(4) == 0, r.IntN(3) == 0
	for i := range tenants {
		s.Tenants = append(s.Tenants, Tenant{
			ID: tenantIDs[i], Allowance: core.Credits(r.IntN(60)), Purchased: core.Credits(r.IntN(60)),
		})
	}
	for i := range templateIDs {
		mode := core.ModePerFile
		if r.IntN(3) == 0 {
			mode = core.ModeBatch
		}
		t := Template{ID: templateIDs[i], Tenant: i % tenants, Price: core.Credits(1 + r.IntN(12)), Mode: mode}
		if r.IntN(12) == 0 {
			t.Price = 0
		}
		s.Templates = append(s.Templates, t)
	}
	for slot := range runs {
		run := Run{Template: r.IntN(len(s.Templates)), Files: max(1, r.IntN(maxFiles+1)), MaxRetryCount: 1 + r.IntN(2)}
		if s.Templates[run.Template].Mode == core.ModeBatch && r.IntN(2) == 0 {
			run.Files = max(run.Files, 2)
		}
		if slot < pastRuns {
			run.History = s.historyRoom[slot].anyHistory(&r, run.Files)
		}
		s.Runs = append(s.Runs, run)
	}
	s.Sluggish, s.Looks, s.Reads = r.IntN(6) == 0, r.IntN(3) > 0, r.IntN(6) == 0
	s.Early = r.IntN(4) > 0
	s.script(&r)
	for range servers {
		s.Servers = append(s.Servers, anyServer(&r))
	}
	switch r.IntN(8) {
	case 0:
		s.Servers[1].Old = true
	case 1:
		s.Servers[1].Simple = true
	}
	switch r.IntN(4) {
	case 0:
		s.Refillers, s.Unfilled = 2, r.IntN(2) == 0
	case 1:
		s.Refillers = 1
	}
	if s.Refillers > 0 && r.IntN(3) == 0 {
		s.Unlucky = 1 + r.IntN(len(s.Tenants))
	}
	if s.Start.Day() == firstDay && r.IntN(6) == 0 {
		s.Ahead = 1 + r.IntN(len(s.Servers))
	}
	if r.IntN(6) == 0 {
		s.crowd()
	}
	s.Outbox = sched.Mix(seed^0x0b0c)%3 == 0
	if sched.Mix(seed^0xb01c)%8 == 0 {
		s.bulk(&r)
	}
	if sched.Mix(seed^0xad31)%8 == 0 {
		s.administer(&r)
	}
	if sched.Mix(seed^0x501e)%soleEvery == 0 {
		s.alone()
	}
}

// bulk has runs of a tenant continued together, while others continue them by themselves.
func (s *Scenario) bulk(r *sched.Rand) {
	const operator = users
	s.Drivers = len(s.Servers)
	op := Op{Kind: Bulk, Tenant: s.Templates[s.Runs[0].Template].Tenant, Amount: core.Credits(1 + r.IntN(40)), Again: r.IntN(2) == 0}
	if op.Again {
		op.Key = "bulk"
	}
	script := s.user(operator)
	if op.dearer() {
		raised := s.Runs[1].Template // of which users ask less than of the first run's
		op.Tenant = s.Templates[raised].Tenant
		*script = slices.Insert(*script, 0, Op{Kind: Reprice, Template: raised, Amount: s.Templates[raised].Price + 2})
	}
	*script = slices.Insert(*script, 0, op)
}

// crowd makes everything one tenant's, and has all of it asked of one server, so that
// many wait for the same credits.
func (s *Scenario) crowd() {
	for i := range s.Templates {
		s.Templates[i].Tenant = 0
	}
	s.Crowded = true
}

func anyServer(r *sched.Rand) Server {
	s := Server{Concurrency: 1 + r.IntN(4), Transactions: 1 + r.IntN(2), Lingers: r.IntN(2) == 0, Drains: r.IntN(2) == 0}
	switch r.IntN(4) {
	case 0:
		s.TenantLimit = 1 + r.IntN(2)
	case 1:
		s.TemplateLimit = 1 + r.IntN(2)
	}
	return s
}

// historyRoom is the memory of a past.
type historyRoom struct {
	history [2][]core.FileStatus
	ends    [2][maxFiles]core.FileStatus
}

// anyHistory is what a run went through before: one attempt or two, after which
// there is something to retry, most of the time.
func (p *historyRoom) anyHistory(r *sched.Rand, files int) History {
	history := append(History(p.history[:0]), p.anyEnds(0, r, files))
	history[0][0] = core.FileFailed
	if r.IntN(4) == 0 {
		history = append(history, p.anyEnds(1, r, files))
	}
	return history
}

func (p *historyRoom) anyEnds(n int, r *sched.Rand, files int) []core.FileStatus {
	ends := p.ends[n][:files]
	for i := range ends {
		switch v := r.IntN(16); {
		case v < 7:
			ends[i] = core.FileFailed
		case v < 11:
			ends[i] = core.FileCompleted
		case v < 13:
			ends[i] = core.FilePending
		case v < 15:
			ends[i] = Interrupted
		default:
			ends[i] = core.FileError
		}
	}
	return ends
}

// user gives the nth user's script to be added to, reusing its memory.
func (s *Scenario) user(n int) *[]Op {
	for len(s.Users) <= n {
		if len(s.Users) < cap(s.Users) {
			s.Users = s.Users[:len(s.Users)+1]
			s.Users[len(s.Users)-1] = s.Users[len(s.Users)-1][:0]
		} else {
			s.Users = append(s.Users, nil)
		}
	}
	return &s.Users[n]
}

// script writes what users do: all continue the first run together, the others
// are initiated, or continued by one or two, and an operator interferes.
func (s *Scenario) script(r *sched.Rand) {
	add := func(user int, op Op) {
		u := s.user(user)
		*u = append(*u, op)
	}
	initiate := func(slot, user int) {
		op := Op{Kind: Initiate, Run: slot, Again: r.IntN(2) == 0, Accepts: anyAccepts(r)}
		if op.Again && r.IntN(2) == 0 {
			op.Key = keys[slot]
		}
		add(user, op)
	}
	first := r.IntN(users)
	early := r.IntN(2) == 0
	if early {
		initiate(pastRuns, first)
	}
	shared := core.Key("")
	if r.IntN(4) == 0 {
		shared = keys[5]
	}
	for u := range users {
		op := Op{Kind: Continue, Run: 0, Key: shared, Again: r.IntN(2) == 0}
		if shared == "" {
			if op.Accepts = anyAccepts(r); r.IntN(3) == 0 {
				op.Key = ownKeys[u]
			}
		}
		add(u, op)
	}
	if !early {
		initiate(pastRuns, first)
	}
	for slot := pastRuns + 1; slot < runs; slot++ {
		initiate(slot, (first+slot-pastRuns)%users)
	}
	for slot := 1; slot < runs; slot++ {
		for range r.IntN(3) {
			add(r.IntN(users), someContinue(r, slot))
		}
	}
	const operator = users
	for range 1 + r.IntN(3) {
		add(operator, s.operation(r))
	}
	if r.IntN(4) == 0 {
		s.Breaker, s.Unmended = r.IntN(3) > 0, r.IntN(3) == 0
		op := Op{Kind: Break, Template: s.Runs[0].Template, Amount: core.Credits(r.IntN(4))}
		if r.IntN(2) == 0 {
			op.Template = s.Runs[r.IntN(len(s.Runs))].Template
		}
		script := s.user(operator)
		*script = slices.Insert(*script, r.IntN(len(*script)+1), op)
		op.Kind = Mend
		add(operator, op)
	}
	for range r.IntN(3) {
		script := s.user(operator)
		*script = slices.Insert(*script, r.IntN(len(*script)+1), Op{Kind: Stop, Server: r.IntN(servers)})
	}
	for u := range users {
		add(u, Op{Kind: Continue, Run: r.IntN(len(s.Runs)), Filler: true})
		// The last one always takes steps, so faults come to their end.
		add(u, Op{Kind: Purchase, Tenant: r.IntN(len(s.Tenants)), Key: "filler", Amount: 3, Filler: true})
	}
}

func someContinue(r *sched.Rand, slot int) Op {
	op := Op{Kind: Continue, Run: slot, Again: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		op.Key = keys[5+r.IntN(2)]
	}
	op.Foreign = r.IntN(16) == 0
	op.Accepts = anyAccepts(r)
	op.Early = r.IntN(8) == 0
	return op
}

// anyAccepts is a price that a user accepts; most say nothing.
func anyAccepts(r *sched.Rand) Accepts {
	switch r.IntN(6) {
	case 0:
		return PriceOfNow
	case 1:
		return FirstPrice
	}
	return AnyPrice
}

// operation is something that an operator does at a bad moment.
func (s *Scenario) operation(r *sched.Rand) Op {
	op := Op{Run: r.IntN(len(s.Runs)), Template: r.IntN(len(s.Templates)), Tenant: r.IntN(len(s.Tenants)), Amount: core.Credits(1 + r.IntN(20))}
	switch r.IntN(11) {
	case 0, 1:
		op.Kind = Reprice
	case 2:
		op.Kind = Delete
	case 3, 4:
		op.Kind = Cancel
		op.AtWork = s.Early && s.Templates[s.Runs[op.Run].Template].Mode == core.ModeBatch && r.IntN(2) == 0
	case 5:
		op.Kind = Purchase
		op.Key = keys[4]
	case 6:
		op.Kind = Raise
	case 7:
		op.Kind = Preview
	case 8, 9:
		op.Kind, op.Template = Edit, s.Runs[op.Run].Template
	case 10:
		op.Kind = Enroll
	}
	return op
}

// edits reports whether a user changes a template's instructions.
func (s *Scenario) edits(template int) bool {
	for _, script := range s.Users {
		for i := range script {
			if script[i].Kind == Edit && script[i].Template == template {
				return true
			}
		}
	}
	return false
}
