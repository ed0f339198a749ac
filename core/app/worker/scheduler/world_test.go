package scheduler

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// world is what is around a scheduler: a queue, a store and executors, with what must
// hold of what the scheduler asks of them.
type world struct {
	t   failer
	s   *Scheduler
	cfg Config
	now time.Time

	queue    []parcel
	messages map[MessageID]*inHand
	last     MessageID
	store    map[core.JobID]*row
	names    []core.JobID // in the order in which they came

	receive *Receive
	asked   []Action // whose answers are to come
	running []*run2
	timer   time.Time
	stop    bool // it was asked to
	stopped bool
	history []string
}

// failer is a test or a property.
type failer interface {
	Fatalf(format string, args ...any)
	Helper()
}

// parcel is jobs in the queue.
type parcel struct {
	jobs []core.Job
	from time.Time // not before
}

// inHand is a message that was delivered.
type inHand struct {
	jobs    []core.Job
	telling bool
}

// row is a job in the store.
type row struct {
	job      core.Job
	status   status
	answered bool // a claim of it was, in this process
	left     int  // files without a result
	here     int  // executions under way
	over     bool // its run was closed
}

type status int

const (
	pending status = iota
	leased
	settled
)

// run2 is an execution.
type run2 struct {
	job       *Job
	reported  int
	accepted  int
	early     int // results that can be recorded before the job is counted
	cancelled bool
}

func newWorld(t failer, c Config) *world {
	return &world{
		t: t, s: New(c), cfg: c, now: time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC),
		messages: map[MessageID]*inHand{}, store: map[core.JobID]*row{},
	}
}

// config is one with everything in it, small enough to be full often.
func config() Config {
	return Config{
		Concurrency: 4, Ahead: 8, Parked: 3, Transactions: 2, Linger: 2 * time.Millisecond,
		Lease: 30 * time.Second, CancelEvery: time.Second, DrainTimeout: 20 * time.Second,
		Breaker: Breaker{
			Failures: 2, OpenFor: 10 * time.Second, MaxOutage: time.Hour, InterruptAfter: 10 * time.Second,
			Endpoint: func(ports.TemplateKey) string { return "llm" },
		},
	}
}

// jobsOfRun makes n jobs of one file, or with files one job of so many.
func jobsOfRun(tenant core.TenantID, template core.TemplateID, run core.RunID, n, files int) (jobs []core.Job) {
	for i := range n {
		j := core.Job{Tenant: tenant, Template: template, Run: run, Epoch: 1, ID: core.FileJobID(run, i), Files: []int{i}}
		if files > 1 {
			j.ID, j.Files = core.BatchJobID(run), nil
			for f := range files {
				j.Files = append(j.Files, f)
			}
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// enqueue puts jobs in the queue as one message.
func (w *world) enqueue(jobs ...core.Job) {
	for _, j := range jobs {
		if w.store[j.ID] == nil {
			w.store[j.ID] = &row{job: j, left: len(j.Files)}
			w.names = append(w.names, j.ID)
		}
	}
	w.queue = append(w.queue, parcel{jobs: jobs, from: w.now})
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	from := max(len(w.history)-60, 0)
	for _, line := range w.history[from:] {
		format += "\n" + "%s"
		args = append(args, line)
	}
	w.t.Fatalf(format, args...)
}

// happen gives events to the scheduler and takes in what it asks for.
func (w *world) happen(events ...Event) {
	w.t.Helper()
	for _, e := range events {
		w.history = append(w.history, fmt.Sprintf("%s ◄ %T %s", w.now.Format("15:04:05.000"), e, short(e)))
	}
	for _, a := range w.s.Handle(w.now, events...) {
		w.history = append(w.history, fmt.Sprintf("%s ► %T %s", w.now.Format("15:04:05.000"), a, short(a)))
		w.do(a)
	}
	w.check()
}

func short(v any) string {
	switch v := v.(type) {
	case Claim:
		return fmt.Sprint(v.Group, names(v.Jobs), v.Wait)
	case Execute:
		return fmt.Sprint(names(v.Jobs))
	case Cancel:
		return fmt.Sprint(names(v.Jobs))
	case HandBack:
		return fmt.Sprint(v.Group, names(v.Jobs))
	case Renew:
		return fmt.Sprint(v.Group, names(v.Jobs), v.Wait)
	case Look:
		return fmt.Sprint(v.Group, names(v.Jobs))
	case Settle:
		s := fmt.Sprint(v.Group, v.Wait)
		for _, one := range v.Settlements {
			s += fmt.Sprint(" ", one.Job.ID, "/", one.Piece)
		}
		return s
	case Executed:
		return fmt.Sprint(v.Job.ID, v.GaveUp, v.Early, v.Rest, v.Verdict.kind)
	case Reported:
		return fmt.Sprint(v.Job.ID)
	case Accept:
		return fmt.Sprint(v.Job.ID, v.N)
	case Forfeit:
		return fmt.Sprint(v.Job.ID)
	case Received:
		s := fmt.Sprint(v.Failed, v.Closed)
		for _, m := range v.Messages {
			s += fmt.Sprint(" ", m.ID, ids(m.Jobs))
		}
		return s
	case Answer:
		return fmt.Sprint(v.Message, v.Reply, ids(v.Jobs))
	case ClaimAnswered, SettleAnswered, HandedBack, Answered, Receive:
		return fmt.Sprintf("%+v", v)
	}
	return ""
}

func names(jobs []*Job) (list []core.JobID) {
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

func ids(jobs []core.Job) (list []core.JobID) {
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

// TestAnything plays any events in any order, with faults, and then lets all go well.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := config()
		c.Concurrency = rapid.IntRange(1, 8).Draw(t, "concurrency")
		c.Parked = rapid.IntRange(0, 4).Draw(t, "parked")
		if rapid.Bool().Draw(t, "limits") {
			c.TenantConcurrency = rapid.IntRange(1, 4).Draw(t, "limit")
			c.TenantLimit = func(core.TenantID) int { return c.TenantConcurrency }
			c.TemplateLimit = func(k ports.TemplateKey) int { return map[core.TemplateID]int{"t": 2}[k.Template] }
		} else {
			c.TenantLimit, c.TemplateLimit = nil, nil
		}
		w := newWorld(t, c)
		how := drawn{t}
		if rapid.Bool().Draw(t, "short jobs") {
			w.s.pace.mean = time.Millisecond
		}
		w.happen(Tick{})
		runs := 0
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			if w.stopped {
				break
			}
			switch what := how.choose("step", 20); {
			case what < 3:
				runs++
				tenant := core.TenantID(fmt.Sprint("tenant", how.choose("tenant", 3)))
				template := core.TemplateID([]string{"t", "u"}[how.choose("template", 2)])
				files := []int{1, 1, 1, 7}[how.choose("files", 4)]
				n := 1
				if files == 1 {
					n += how.choose("jobs", 9)
				}
				w.enqueue(jobsOfRun(tenant, template, core.RunID(fmt.Sprintf("%s-%d", tenant, runs)), n, files)...)
			case what < 6:
				if w.receive != nil {
					w.deliver(how, false)
				}
			case what < 12:
				if len(w.asked) > 0 {
					w.give(how.choose("answer", len(w.asked)), how)
				}
			case what < 15:
				if len(w.running) > 0 {
					w.goOn(how.choose("execution", len(w.running)), how)
				}
			case what < 17:
				w.pass([]time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second, 20 * time.Second}[how.choose("time", 4)])
			case what == 17:
				if len(w.names) > 0 { // a run is cancelled
					run := w.store[w.names[how.choose("run", len(w.names))]].job.Run
					for _, r := range w.store {
						r.over = r.over || r.job.Run == run
					}
				}
			case what == 18:
				w.recoverLost()
			case how.choose("stop", 8) == 7 && !w.stop:
				w.stop = true
				w.happen(Stop{})
			}
		}
		w.calm()
		if w.stop {
			if !w.stopped {
				w.fail("the stop does not end")
			}
			for id, m := range w.messages {
				w.fail("message %d is not answered: %v", id, ids(m.jobs))
			}
		}
		w.empty()
	})
}
