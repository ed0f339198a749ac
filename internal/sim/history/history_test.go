package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/ports"
)

var (
	at    = time.Date(2026, time.November, 3, 9, 0, 0, 0, time.UTC)
	month = core.PeriodOf(at)
)

// book writes a history by hand: a tenant with 10 monthly and 20 purchased
// credits, a template at 4, and run r1 of 3 files of which 2 have failed.
type book struct {
	t *testing.T
	*history.Recorder
}

func newBook(t *testing.T) book {
	b := book{t, history.NewRecorder()}
	b.Saw(at)
	b.Wrote("ada", 0, history.Write{Entries: []core.Entry{{Period: month, Amount: core.Split{Monthly: 10, Purchased: 20}}}})
	b.Priced("ada", "t", 4, 0)
	b.answered(b.ask(history.Request{Kind: history.Initiate, Files: 3, MaxRetryCount: 2}), runAt(core.RunRunning, 0, 10, 2), nil)
	b.wrote("", core.FileProcessing, core.FileProcessing, core.FileProcessing)
	b.wrote(core.RunCompletedWithErrors, core.FileFailed, core.FileCompleted, core.FileFailed)
	return b
}

func (b book) ask(q history.Request) *history.Asked {
	q.Tenant, q.Template = "ada", "t"
	if q.Kind != history.Initiate && q.Kind != history.Purchase && q.Kind != history.Balance {
		q.Run = "r1"
	}
	return b.Ask(q, at)
}

func (b book) answered(q *history.Asked, run core.Run, err error) {
	b.Answered(q, history.Answer{Run: run, Err: err}, at)
}

func (b book) balance(monthly, purchased core.Credits) {
	q := b.ask(history.Request{Kind: history.Balance, Client: 9})
	b.Answered(q, history.Answer{Balance: core.Balance{Period: month, Split: core.Split{Monthly: monthly, Purchased: purchased}}}, at)
}

func (b book) wrote(status core.RunStatus, files ...core.FileStatus) {
	w := history.Write{Run: "r1", Status: status}
	for i, s := range files {
		w.Files = append(w.Files, core.File{Index: i, Status: s})
	}
	b.Wrote("ada", 0, w)
}

func (b book) check(limit time.Duration) (history.Verdict, string) {
	histories := b.Histories()
	require.Len(b.t, histories, 1)
	return histories[0].Check(limit), histories[0].String()
}

func (b book) is(want history.Verdict) {
	b.t.Helper()
	got, text := b.check(0)
	require.Equal(b.t, want, got, text)
}

// runAt is run r1 as it is answered.
func runAt(status core.RunStatus, attempt core.AttemptNumber, monthly, purchased core.Credits) core.Run {
	return core.Run{ID: "r1", Status: status, Attempt: attempt, CreditsFromMonthly: monthly, CreditsFromPurchased: purchased}
}

func refused(code core.Code) error { return &core.Error{Code: code} }

func TestHistory(t *testing.T) {
	t.Parallel()
	cont := history.Request{Kind: history.Continue}
	for name, c := range map[string]struct {
		want  history.Verdict
		write func(b book)
	}{
		"one Continue wins": {history.OK, func(b book) {
			one, two := b.ask(cont), b.ask(cont)
			b.answered(one, core.Run{}, refused(core.CodeRunAlreadyRunning))
			b.answered(two, runAt(core.RunRunning, 1, 10, 10), nil)
			b.balance(0, 10)
		}},
		"two Continues win": {history.Illegal, func(b book) {
			one, two := b.ask(cont), b.ask(cont)
			b.answered(one, runAt(core.RunRunning, 1, 10, 10), nil)
			b.answered(two, runAt(core.RunRunning, 1, 10, 10), nil)
		}},
		"both Continues lose": {history.Illegal, func(b book) {
			one, two := b.ask(cont), b.ask(cont)
			b.answered(one, core.Run{}, refused(core.CodeRunAlreadyRunning))
			b.answered(two, core.Run{}, refused(core.CodeRunAlreadyRunning))
		}},
		"a Continue charges too little": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 6), nil)
		}},
		"a balance is older than an answer": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 10), nil)
			b.balance(0, 18)
		}},
		"a balance is read during a Continue": {history.OK, func(b book) {
			one := b.ask(cont)
			b.balance(0, 18)
			b.balance(0, 10)
			b.answered(one, runAt(core.RunRunning, 1, 10, 10), nil)
		}},
		"a refusal charges": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), core.Run{}, refused(core.CodeMaxRetryCountExceeded))
			b.balance(0, 10)
		}},
		"a refund after a failed enqueueing": {history.OK, func(b book) {
			one := b.ask(cont)
			b.balance(0, 18)
			b.balance(0, 10)
			b.balance(0, 18)
			b.answered(one, runAt(core.RunCompletedWithErrors, 1, 10, 2), refused(core.CodeEnqueueFailed))
			b.answered(b.ask(cont), runAt(core.RunRunning, 2, 10, 10), nil)
		}},
		"a refund of a part": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunCompletedWithErrors, 1, 10, 2), refused(core.CodeEnqueueFailed))
			b.balance(0, 14)
		}},
		"a refund although a job was claimed": {history.Illegal, func(b book) {
			one := b.ask(cont)
			b.wrote("", core.FileProcessing)
			b.answered(one, runAt(core.RunCompletedWithErrors, 1, 10, 2), refused(core.CodeEnqueueFailed))
		}},
		"a purchase without an answer is seen": {history.OK, func(b book) {
			b.ask(history.Request{Kind: history.Purchase, Key: "p", Amount: 5})
			b.balance(0, 18)
			b.balance(0, 23)
		}},
		"a purchase without an answer is undone": {history.Illegal, func(b book) {
			b.ask(history.Request{Kind: history.Purchase, Key: "p", Amount: 5})
			b.balance(0, 23)
			b.balance(0, 18)
		}},
		"a commit with an unknown outcome": {history.OK, func(b book) {
			b.answered(b.ask(cont), core.Run{}, ports.ErrCommitUnknown)
			b.balance(0, 18)
			b.answered(b.ask(cont), core.Run{}, refused(core.CodeRunAlreadyRunning))
			b.balance(0, 10)
		}},
		"a fault before the commit has no effect": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), core.Run{}, ports.ErrSerialization)
			b.balance(0, 10)
		}},
		"a purchase counts twice under one key": {history.Illegal, func(b book) {
			for range 2 {
				b.answered(b.ask(history.Request{Kind: history.Purchase, Key: "p", Amount: 5}), core.Run{}, nil)
			}
			b.balance(0, 28)
		}},
		"a refusal is forgotten under its key": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 10), nil)
			keyed := history.Request{Kind: history.Continue, Key: "k"}
			b.answered(b.ask(keyed), core.Run{}, refused(core.CodeRunAlreadyRunning))
			b.answered(b.ask(history.Request{Kind: history.Cancel}), runAt(core.RunInterrupted, 1, 10, 10), nil)
			b.answered(b.ask(keyed), runAt(core.RunRunning, 2, 10, 10), nil)
		}},
		"what was cancelled is free": {history.OK, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 10), nil)
			b.answered(b.ask(history.Request{Kind: history.Cancel}), runAt(core.RunInterrupted, 1, 10, 10), nil)
			b.answered(b.ask(cont), runAt(core.RunRunning, 2, 10, 10), nil)
			b.balance(0, 10)
		}},
		"what was cancelled is charged": {history.Illegal, func(b book) {
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 10), nil)
			b.answered(b.ask(history.Request{Kind: history.Cancel}), runAt(core.RunInterrupted, 1, 10, 10), nil)
			b.answered(b.ask(cont), runAt(core.RunRunning, 2, 10, 18), nil)
		}},
		"a price that there was meanwhile": {history.OK, func(b book) {
			one := b.ask(cont)
			b.Priced("ada", "t", 1, 0)
			b.answered(one, runAt(core.RunRunning, 1, 10, 4), nil)
		}},
		"a price that there was before": {history.Illegal, func(b book) {
			b.Priced("ada", "t", 1, 0)
			b.answered(b.ask(cont), runAt(core.RunRunning, 1, 10, 10), nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(t)
			c.write(b)
			b.is(c.want)
		})
	}
}

// A search that cannot end in time is unknown: neither right nor wrong.
func TestHistoryUnknown(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	var asked []*history.Asked
	for i := range 40 { // of 2^40 sets of purchases none gives the balance
		asked = append(asked, b.ask(history.Request{Client: i, Kind: history.Purchase, Key: core.Key(rune('A' + i)), Amount: 2 << i}))
	}
	b.balance(0, 19)
	for _, q := range asked {
		b.answered(q, core.Run{}, nil)
	}
	verdict, _ := b.check(30 * time.Millisecond)
	require.Equal(t, history.Unknown, verdict)
}
