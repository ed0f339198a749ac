package history

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/redrive/redrive/core"
)

// Verdict is what a check says of a history.
type Verdict uint8

// The verdicts.
const (
	OK      Verdict = iota // there is an order that explains every answer
	Illegal                // there is none
	Unknown                // the time ran out before either was found
)

// String names the verdict.
func (v Verdict) String() string {
	return [...]string{"linearizable", "not linearizable", "unknown"}[v]
}

// History is what one tenant's clients asked and were answered, with what others
// wrote of its runs.
type History struct {
	Tenant core.TenantID
	Ops    []*Op
	runs   int
}

// Open counts the requests whose outcome is not known.
func (h *History) Open() int {
	n := 0
	for _, o := range h.Ops {
		if o.Open && o.Kind != Undo {
			n++
		}
	}
	return n
}

// String writes the history, one operation a line, by the time of its call.
func (h *History) String() string {
	var b strings.Builder
	for _, o := range h.Ops {
		until := "…"
		if o.Return != never {
			until = fmt.Sprint(o.Return)
		}
		who := fmt.Sprintf("client %d", o.Client)
		if o.Kind == Move || o.Kind == Grant || o.Kind == Given {
			who = "system"
		}
		fmt.Fprintf(&b, "%5d–%-5s %-9s %s\n", o.Call, until, who, o)
	}
	return b.String()
}

// Check looks for an order that explains every answer, for as long as limit; 0 for
// no limit.
func (h *History) Check(limit time.Duration) Verdict {
	ops := make([]porcupine.Operation, len(h.Ops))
	for i, o := range h.Ops {
		ops[i] = porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return}
	}
	switch porcupine.CheckOperationsTimeout(h.model(), ops, limit) {
	case porcupine.Ok:
		return OK
	case porcupine.Illegal:
		return Illegal
	default:
		return Unknown
	}
}

func (h *History) model() porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{(&state{runs: make([]run, h.runs)}).done()[0]} },
		Step: func(s, input, _ any) []any {
			states := step(s.(*state), input.(*Op)) //nolint:forcetypeassert // they are what Init and Check give
			next := make([]any, len(states))
			for i := range states {
				next[i] = states[i]
			}
			return next
		},
		Equal: func(a, b any) bool { return a.(*state).text == b.(*state).text }, //nolint:forcetypeassert // as above
		Hash: func(s any) uint64 {
			sum := fnv.New64a()
			_, _ = sum.Write([]byte(s.(*state).text)) //nolint:forcetypeassert // as above; a hash takes everything
			return sum.Sum64()
		},
	}
	return nondeterministic.ToModel()
}

// Histories makes a history of each tenant out of what was taken down. Requests
// without an answer stay open.
func (r *Recorder) Histories() []*History {
	r.mu.Lock()
	defer r.mu.Unlock()
	histories := make([]*History, 0, len(r.order))
	for _, id := range r.order {
		histories = append(histories, r.history(id, r.tenants[id]))
	}
	return histories
}

func (r *Recorder) history(id core.TenantID, t *recorded) *History {
	h := &History{Tenant: id}
	runs := map[core.RunID]int{}
	initiated := map[core.Key]core.RunID{}
	for _, o := range t.ops {
		if (o.Kind == Initiate || o.Kind == Given) && !o.Open && o.Run != "" {
			if _, known := runs[o.Run]; !known {
				runs[o.Run] = len(runs)
			}
			if o.Kind == Initiate && o.Key != "" {
				initiated[o.Key] = o.Run
			}
		}
	}
	h.runs = len(runs)
	for _, o := range t.ops {
		if o.Open && (o.Kind == Balance || o.Kind == Preview) {
			continue
		}
		if o.Kind == Initiate && o.Run == "" {
			o.Run = initiated[o.Key]
			if o.Key == "" || o.Run == "" { // its run will never be known
				o.place = h.runs
				h.runs++
			}
		}
		if o.place < 0 && o.Run != "" {
			place, known := runs[o.Run]
			if !known {
				continue // what is written of a run that no client knows
			}
			o.place = place
		}
		r.complete(t, o)
		h.Ops = append(h.Ops, o)
		if (o.Kind == Initiate || o.Kind == Continue) && (o.Open || o.code == core.CodeEnqueueFailed) {
			u := &Op{
				Request: Request{Client: o.Client, Kind: Undo, Run: o.Run}, Call: o.Call, Return: o.Return, Open: o.Open, place: o.place,
				code: o.code, status: o.status, attempt: o.attempt, credits: o.credits, of: o,
			}
			if o.status == core.RunRunning && !r.Prompt {
				u.Return = never // the compensation failed, perhaps only its answer
			}
			h.Ops = append(h.Ops, u)
		}
	}
	slices.SortStableFunc(h.Ops, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	for i, o := range h.Ops {
		o.id = i
	}
	return h
}

// complete gives a request the prices and months that there were meanwhile.
func (r *Recorder) complete(t *recorded, o *Op) {
	switch o.Kind {
	case Initiate, Continue, Preview:
	case Undo, Cancel, Raise, Purchase, Balance, Grant, Move, Given:
		return
	}
	for _, v := range t.templates[o.Template] {
		if v.since <= o.Return && v.until >= o.Call && !slices.Contains(o.prices, v.price) {
			o.prices = append(o.prices, v.price)
		}
	}
	for i, s := range r.times {
		last := i+1 == len(r.times) || r.times[i+1].tick >= o.Call
		if s.tick <= o.Return && last && !slices.Contains(o.periods, s.period) {
			o.periods = append(o.periods, s.period)
		}
	}
}
