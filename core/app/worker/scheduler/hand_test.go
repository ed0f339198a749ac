package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// hand plays a scheduler by hand: a test says what happens and looks at what is asked for.
type hand struct {
	t     *testing.T
	s     *Scheduler
	start time.Time
	now   time.Time
	got   []Action // of the last step
	last  MessageID
}

func plain() Config {
	return Config{
		Concurrency: 8, Transactions: 2, Lease: time.Hour, DrainTimeout: 20 * time.Second,
		Breaker: Breaker{Failures: -1, Endpoint: func(ports.TemplateKey) string { return "llm" }},
	}
}

func play1(t *testing.T, change func(*Config)) *hand {
	t.Helper()
	c := plain()
	if change != nil {
		change(&c)
	}
	start := time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)
	h := &hand{t: t, s: New(c), start: start, now: start}
	h.do(Tick{})
	return h
}

// do gives events and keeps what is asked for.
func (h *hand) do(events ...Event) *hand {
	h.got = append([]Action(nil), h.s.Handle(h.now, events...)...)
	require.NotContains(h.t, h.got, nil)
	return h
}

// at lets it be that long after the start.
func (h *hand) at(d time.Duration) *hand {
	h.now = h.start.Add(d)
	return h.do(Tick{})
}

// message delivers jobs in one message.
func (h *hand) message(jobs ...core.Job) *hand {
	return h.messages(jobs)
}

func (h *hand) messages(all ...[]core.Job) *hand {
	var e Received
	for _, jobs := range all {
		h.last++
		e.Messages = append(e.Messages, Message{ID: h.last, Jobs: jobs})
	}
	return h.do(e)
}

// all gives what was asked for of a kind.
func all[A Action](h *hand) (list []A) {
	for _, a := range h.got {
		if one, ok := a.(A); ok {
			list = append(list, one)
		}
	}
	return list
}

// one gives the only action of a kind.
func one[A Action](h *hand) A {
	h.t.Helper()
	list := all[A](h)
	require.Len(h.t, list, 1, "%+v", h.got)
	return list[0]
}

func none[A Action](h *hand) {
	h.t.Helper()
	require.Empty(h.t, all[A](h))
}

// claimed answers a claim: all of it was.
func (h *hand) claimed(c Claim) *hand {
	return h.do(ClaimAnswered{Group: c.Group, Outcomes: outcomes(len(c.Jobs), OutcomeClaimed)})
}

func outcomes(n int, o Outcome) []Outcome {
	list := make([]Outcome, n)
	for i := range list {
		list[i] = o
	}
	return list
}

func executedWell(jobs ...*Job) (events []Event) {
	for _, j := range jobs {
		events = append(events, Executed{Job: j, Verdict: answered, Rest: 1})
	}
	return events
}

// works delivers jobs, which are claimed, and gives what is executed.
func (h *hand) works(jobs ...core.Job) []*Job {
	h.t.Helper()
	h.message(jobs...)
	h.claimed(one[Claim](h))
	list := one[Execute](h).Jobs
	h.do(Answered{Message: h.last})
	return list
}

func acme(run string, n int) []core.Job { return jobsOfRun("acme", "t", core.RunID(run), n, 1) }

func globex(run string, n int) []core.Job { return jobsOfRun("globex", "t", core.RunID(run), n, 1) }

func batchOf(run string, files int) core.Job {
	return jobsOfRun("acme", "t", core.RunID(run), 1, files)[0]
}

// over checks that nothing is left.
func (h *hand) over() {
	h.t.Helper()
	w := &world{t: h.t, s: h.s, cfg: h.s.cfg}
	w.check()
	w.empty()
}
