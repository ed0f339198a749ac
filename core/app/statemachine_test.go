package app_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// TestStateMachine drives the use cases with random operations, among them lost,
// late and repeated messages, dying workers, and faults of the queue and the
// store at bad moments. The invariants of spec 10 are checked after every step,
// and in the end, when the faults have stopped, every run must close (I11).
func TestStateMachine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":              m.check,
			"initiate":      m.initiate,
			"continue":      m.continueSome,
			"continueAgain": m.continueSome, // twice as likely
			"cancel":        m.cancel,
			"work":          m.work,
			"workAgain":     m.work,
			"claim":         m.claim,
			"settle":        m.settle,
			"settleLate":    m.settle,
			"redeliver":     m.redeliver,
			"lose":          m.lose,
			"renew":         m.renew,
			"handBack":      m.handBack,
			"recover":       m.recover,
			"time":          m.time,
			"credits":       m.credits,
			"template":      m.template,
			"fault":         m.armFault,
			"faultAgain":    m.armFault,
		})
		m.settleDown(rt)
	})
}

// machine is the world, and the test's own records of it.
type machine struct {
	*world
	t    *rapid.T
	runs []core.RunID
	jobs []core.Job    // every job that was ever seen on the queue
	held []app.Claimed // claimed jobs of all workers, the dead ones too

	fault string // armed for the next operation that it can affect
	last  map[core.RunID][]core.File
	// worked counts results by run, file and the attempt that paid for them.
	worked map[paid]int
}

type paid struct {
	run     core.RunID
	file    int
	attempt core.AttemptNumber
}

func newMachine(rt *rapid.T) *machine {
	var opts []worldOption
	if rapid.Bool().Draw(rt, "batch") {
		opts = append(opts, withBatch())
	}
	opts = append(opts, withOptions(func(o *app.Options) { o.Recovery.MaxRedeliveries = 1 }))
	return &machine{
		world: newWorld(rt, opts...), t: rt,
		last: map[core.RunID][]core.File{}, worked: map[paid]int{},
	}
}

// tolerate accepts success, a refusal that changed nothing, and the fault that
// was armed.
func (m *machine) tolerate(t *rapid.T, before state, err error) {
	m.disarm()
	var refusal *core.Error
	switch {
	case err == nil, errors.Is(err, errStore), errors.Is(err, errQueue), errors.Is(err, ports.ErrCommitUnknown):
	case errors.As(err, &refusal):
		if refusal.Code != core.CodeEnqueueFailed {
			require.Equal(t, before, m.state(), "a refusal changed something: %v", err)
		}
	default:
		t.Fatalf("neither refusal nor armed fault: %v", err)
	}
}

// pick chooses a run. Skip, here and below, is rapid's: the operation does not
// apply now, and another one is drawn.
func (m *machine) pick(t *rapid.T) core.RunID {
	if len(m.runs) == 0 {
		t.Skip("no run yet")
	}
	return rapid.SampledFrom(m.runs).Draw(t, "run")
}

func (m *machine) actor(t *rapid.T) core.Actor {
	return rapid.SampledFrom([]core.Actor{admin, admin, admin, platform, user, stranger}).Draw(t, "actor")
}

func (m *machine) key(t *rapid.T) core.Key {
	return rapid.SampledFrom([]core.Key{"", "", "", "k1", "k2"}).Draw(t, "key")
}

func (m *machine) initiate(t *rapid.T) {
	req := m.request(rapid.IntRange(1, 4).Draw(t, "files"))
	req.IdempotencyKey = m.key(t)
	actor := m.actor(t)
	m.arm()
	before := m.state()
	_, err := m.svc.Initiate(m.ctx, actor, req)
	m.tolerate(t, before, err)
	m.look()
}

func (m *machine) continueSome(t *rapid.T) {
	id, actor, key := m.pick(t), m.actor(t), m.key(t)
	preview, previewErr := m.svc.PreviewRetry(m.ctx, actor, id)
	clean := m.fault == "" && key == ""
	m.arm()
	before := m.state()
	_, err := m.svc.RetryFailed(m.ctx, actor, id, app.RetryRequest{IdempotencyKey: key})
	m.tolerate(t, before, err)
	if clean {
		// The result must be that of the preview.
		switch {
		case previewErr != nil:
			require.Equal(t, previewErr.Error(), err.Error())
		case preview.Refusal != nil:
			require.Equal(t, preview.Refusal.Error(), err.Error())
		default:
			require.NoError(t, err)
			require.Equal(t, preview.Balance.Available()-preview.Plan.Price(), m.balance().Available())
		}
	}
	m.look()
}

func (m *machine) cancel(t *rapid.T) {
	id, actor := m.pick(t), m.actor(t)
	before := m.state()
	_, err := m.svc.Cancel(m.ctx, actor, id)
	m.tolerate(t, before, err)
}

// receive takes the next message, or a later one: queues reorder.
func (m *machine) receive(t *rapid.T) ports.Delivery {
	if m.queue.Len() == 0 {
		t.Skip("queue is empty")
	}
	for range rapid.IntRange(0, m.queue.Len()-1).Draw(t, "skipped") {
		deliveries, err := m.queue.Receive(m.ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, deliveries[0].Nack(m.ctx))
	}
	deliveries, err := m.queue.Receive(m.ctx, 1, ports.Skip{})
	require.NoError(t, err)
	return deliveries[0]
}

func (m *machine) work(t *rapid.T) {
	m.draw(t)
	d := m.receive(t)
	m.arm()
	err := m.svc.Work(m.ctx, d)
	m.disarm()
	if err != nil && !errors.Is(err, errStore) && !errors.Is(err, ports.ErrCommitUnknown) {
		t.Fatal(err)
	}
}

// draw decides how files end from now on.
func (m *machine) draw(t *rapid.T) {
	m.script.set(rapid.SampledFrom([]string{"", "ffff", "cfce", "eeee", "fcfc", "iiii", "cifi"}).Draw(t, "outcomes"))
}

func (m *machine) claim(t *rapid.T) {
	d := m.receive(t)
	m.hold(t, d.Jobs()[0])
	require.NoError(t, d.Ack(m.ctx))
}

func (m *machine) hold(t *rapid.T, job core.Job) {
	m.arm()
	claimed, _, err := m.svc.Claim(m.ctx, []core.Job{job}, app.WaitForLock)
	m.disarm()
	if err == nil {
		m.held = append(m.held, claimed...)
	} else if !errors.Is(err, errStore) && !errors.Is(err, ports.ErrCommitUnknown) {
		t.Fatal(err)
	}
}

// redeliver claims any earlier job, however stale.
func (m *machine) redeliver(t *rapid.T) {
	if len(m.jobs) == 0 {
		t.Skip("no job yet")
	}
	m.hold(t, rapid.SampledFrom(m.jobs).Draw(t, "job"))
}

func (m *machine) lose(t *rapid.T) { require.NoError(t, m.receive(t).Ack(m.ctx)) }

func (m *machine) pickHeld(t *rapid.T) app.Claimed {
	if len(m.held) == 0 {
		t.Skip("nothing held")
	}
	return rapid.SampledFrom(m.held).Draw(t, "held")
}

// settle records a result, perhaps of a job whose lease expired long ago, perhaps for the
// second time.
func (m *machine) settle(t *rapid.T) {
	c := m.pickHeld(t)
	letters := rapid.SliceOfN(rapid.SampledFrom([]byte("cccffe")), len(c.Files), len(c.Files)).Draw(t, "letters")
	s := core.Settlement{Job: c.Job}
	for i, f := range c.Files {
		s.Results = append(s.Results, resultOf(f.Index, letters[i]))
	}
	m.arm()
	_, err := m.svc.Settle(m.ctx, []core.Settlement{s}, app.WaitForLock)
	m.disarm()
	if err != nil && !errors.Is(err, errStore) && !errors.Is(err, ports.ErrCommitUnknown) {
		t.Fatal(err)
	}
}

func (m *machine) renew(t *rapid.T) {
	_, _, err := m.svc.Renew(m.ctx, []core.Job{m.pickHeld(t).Job}, app.WaitForLock)
	require.NoError(t, err)
}

func (m *machine) handBack(t *rapid.T) {
	require.NoError(t, m.svc.HandBack(m.ctx, []core.Job{m.pickHeld(t).Job}))
	m.look()
}

func (m *machine) recover(t *rapid.T) {
	armed := m.fault != ""
	m.arm()
	_, err := m.svc.Recover(m.ctx, 10)
	m.disarm()
	if !armed {
		require.NoError(t, err)
	}
	m.look()
}

func (m *machine) time(t *rapid.T) {
	policy := m.svc.Options().Recovery
	m.clock.Advance(rapid.SampledFrom([]time.Duration{
		time.Second, policy.Lease / 2, policy.Lease, policy.DispatchGrace, policy.RedispatchAfter,
		core.PeriodOf(m.clock.Now()).End().Sub(m.clock.Now()), // the month ends
	}).Draw(t, "for"))
}

func (m *machine) credits(t *rapid.T) {
	key := core.Key(fmt.Sprint("top-up-", rapid.IntRange(0, 5).Draw(t, "key")))
	amount := core.Credits(rapid.SampledFrom([]int{10, 40}).Draw(t, "amount"))
	before := m.state()
	var err error
	if rapid.Bool().Draw(t, "purchase") {
		_, err = m.svc.PurchaseCredits(m.ctx, platform, acme, "p"+key, amount)
	} else {
		_, err = m.svc.GrantAllowance(m.ctx, platform, acme, "a"+key, core.PeriodOf(m.clock.Now()), amount)
	}
	m.tolerate(t, before, err)
}

func (m *machine) template(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "delete") == 0 {
		_, err := m.svc.DeleteTemplate(m.ctx, platform, acme, template)
		require.NoError(t, err)
		return
	}
	price := core.Credits(rapid.SampledFrom([]int{0, 3, 10, 17}).Draw(t, "price"))
	before := m.state()
	_, err := m.svc.ChangeTemplate(m.ctx, platform, acme, template, core.TemplateChange{CreditsPerRun: &price})
	m.tolerate(t, before, err)
}

// armFault chooses a fault for the next operation that it can affect.
func (m *machine) armFault(t *rapid.T) {
	m.fault = rapid.SampledFrom([]string{
		"enqueue fails", "enqueue fails half-way", "enqueue takes fewer", "enqueue fails after a claim",
		"enqueue fails and so does the store", "enqueue fails over the end of the month",
		"first transaction fails", "second transaction fails", "commit's answer is lost",
	}).Draw(t, "fault")
}

func (m *machine) arm() {
	switch m.fault {
	case "enqueue fails":
		m.faultyQueue.fail(0)
	case "enqueue fails half-way":
		m.faultyQueue.fail(1)
	case "enqueue takes fewer":
		m.faultyQueue.set(func(ctx context.Context, q *memory.Queue, jobs []core.Job) (int, error) {
			return q.Enqueue(ctx, jobs[1:])
		})
	case "enqueue fails after a claim":
		m.faultyQueue.set(func(_ context.Context, _ *memory.Queue, jobs []core.Job) (int, error) {
			claimed, _, err := m.svc.Claim(m.ctx, jobs[:1], app.WaitForLock)
			m.held = append(m.held, claimed...)
			return 0, errors.Join(errQueue, err)
		})
	case "enqueue fails and so does the store":
		m.faultyQueue.set(func(context.Context, *memory.Queue, []core.Job) (int, error) {
			m.faultyStore.failFrom(0)
			return 0, errQueue
		})
	case "enqueue fails over the end of the month":
		m.faultyQueue.set(func(context.Context, *memory.Queue, []core.Job) (int, error) {
			m.clock.Set(core.PeriodOf(m.clock.Now()).End())
			return 0, errQueue
		})
	case "first transaction fails":
		m.faultyStore.failFrom(0)
	case "second transaction fails":
		m.faultyStore.failFrom(1)
	case "commit's answer is lost":
		m.faultyStore.loseAnswer()
	}
}

func (m *machine) disarm() {
	m.fault = ""
	m.faultyQueue.heal()
	m.faultyStore.heal()
}

// look records the jobs on the queue and the existing runs.
func (m *machine) look() {
	m.jobs = append(m.jobs, m.queue.Waiting()...)
	if len(m.jobs) > 200 {
		m.jobs = m.jobs[len(m.jobs)-200:]
	}
	m.runs = nil
	for _, r := range m.state().Runs {
		m.runs = append(m.runs, r.ID)
	}
}

// check is asked after every step.
func (m *machine) check(t *rapid.T) {
	m.t = t
	differences, err := m.svc.CheckLedger(m.ctx, platform, acme) // I1 to I4 as far as the ledger goes
	require.NoError(t, err)
	require.Empty(t, differences)
	s := m.state()
	for _, run := range s.Runs {
		m.checkRun(t, run, s.Files[run.ID], s.Attempts[run.ID])
	}
	charges := map[string]bool{}
	for _, e := range s.Entries[acme] {
		if e.Kind == core.EntryCharge {
			at := fmt.Sprint(e.Run, e.Attempt)
			require.False(t, charges[at], "I3: two charges of %s", at)
			charges[at] = true
		}
	}
	require.Empty(t, s.Entries[globex], "I10")
}

func (m *machine) checkRun(t *rapid.T, run core.Run, files []core.File, attempts []core.Attempt) {
	require.Equal(t, core.TallyOf(files), run.Tally)
	require.LessOrEqual(t, run.CompletedJobs+run.FailedJobs, run.AttemptJobs, "I7")
	require.LessOrEqual(t, run.AttemptJobs, run.TotalJobs, "I7")
	require.Equal(t, run.Status.Closed(), !run.ClosedAt.IsZero())
	require.Equal(t, int(run.Attempt)+1, len(attempts))
	before := m.last[run.ID]
	for i, f := range files {
		require.True(t, 0 <= f.FreeRetries && f.FreeRetries <= f.RetryAttempt, "I6")
		require.LessOrEqual(t, f.RetryAttempt-f.FreeRetries, run.MaxRetryCount, "I6")
		require.LessOrEqual(t, f.Epoch, run.Epoch)
		if f.Status == core.FileProcessing {
			require.Equal(t, core.RunRunning, run.Status)
		}
		if f.Status == core.FilePending || f.Status == core.FileProcessing {
			require.False(t, attempts[f.PaidBy].Compensated(), "I5: file %d of %s is not paid for", i, run.ID)
		}
		if before == nil {
			continue
		}
		was := before[i]
		if was.Status == core.FileCompleted || was.Status == core.FileError {
			require.Equal(t, was, f, "I8: a final file changed")
		}
		// A result, unless it is the undoing of an attempt that made it pending.
		settled := f.Status != core.FilePending && f.Status != core.FileProcessing
		unsettled := was.Status == core.FilePending || was.Status == core.FileProcessing
		if settled && unsettled && f.PaidBy == was.PaidBy && !attempts[was.PaidBy].Compensated() {
			m.worked[paid{run.ID, i, f.PaidBy}]++
		}
	}
	m.last[run.ID] = files
	for _, a := range attempts {
		charged := 0
		for _, f := range a.Files {
			if !f.Charged {
				continue
			}
			charged++
			if before == nil {
				continue // changes within the first step were not recorded
			}
			done := m.worked[paid{run.ID, f.Index, a.Number}]
			row := files[f.Index]
			unfinished := row.PaidBy == a.Number && (row.Status == core.FilePending || row.Status == core.FileProcessing)
			if a.Compensated() {
				require.Zero(t, done, "I12: both work and refund for file %d of %s", f.Index, run.ID)
			} else {
				require.True(t, done > 0 || unfinished, "I12: credits vanished for file %d of attempt %d of %s", f.Index, a.Number, run.ID)
			}
		}
		price, err := a.Price.Times(charged)
		require.NoError(t, err)
		require.Equal(t, price, a.Charge.Amount.Total(), "I3")
	}
}

// settleDown runs everything without faults: every run must close.
func (m *machine) settleDown(t *rapid.T) {
	m.disarm()
	m.script.set("")
	policy := m.svc.Options().Recovery
	for round := 0; ; round++ {
		open := 0
		for _, run := range m.state().Runs {
			if !run.Status.Closed() {
				open++
			}
		}
		if open == 0 {
			break
		}
		require.Less(t, round, 200, "I11: %d runs stay RUNNING", open)
		m.workAll()
		m.clock.Advance(policy.Lease)
		_, err := m.svc.Recover(m.ctx, 100)
		require.NoError(t, err)
	}
	m.check(t)
}
