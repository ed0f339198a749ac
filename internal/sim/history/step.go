package history

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// step gives the states in which an operation can leave the tenant so that its
// answer is right; none if it cannot be right.
func step(s *state, o *Op) []*state {
	switch o.Kind {
	case Initiate:
		return s.begin(o, s.initiated)
	case Continue:
		return s.begin(o, s.continued)
	case Undo:
		return s.undone(o)
	case Cancel:
		return s.cancelled(o)
	case Raise:
		return s.raised(o)
	case Purchase:
		return s.purchase(o)
	case Balance, Preview:
		return s.read(o)
	case Grant:
		n := s.change()
		n.account.Add(o.grant, o.periods[0])
		return n.done()
	case Move:
		return s.moved(o)
	case Given:
		n := s.change()
		n.runs[o.place] = run{Run: o.given.Clone(), by: -1}
		return n.done()
	}
	return nil
}

// outcome is what the model says to a request at one price in one period.
type outcome struct {
	code              core.Code
	needed, available core.Credits
	next              *state // after a success, not done yet
}

// begin is an initiation or a Continue.
func (s *state) begin(o *Op, plan func(*Op, core.Credits, core.Period) outcome) []*state {
	if o.Key != "" {
		if first := s.answers.Get(o.Key); first != nil {
			return s.repeated(o, first)
		}
	}
	if o.code == core.CodeIdempotencyKeyReused {
		return nil // it was not used
	}
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	if unmodelled(o.code) {
		return append(states, s.refused(o, o.code)...)
	}
	for _, price := range o.prices {
		for _, period := range o.periods {
			states = append(states, s.accept(o, plan(o, price, period))...)
		}
	}
	return distinct(states)
}

// unmodelled refusals are about templates, which the model does not have.
func unmodelled(code core.Code) bool {
	return code == core.CodeTemplateDeleted || code == core.CodeTemplateNotFound || code == core.CodeTemplateNotPublished
}

// accept gives the state after an outcome, if the answer agrees with it.
func (s *state) accept(o *Op, out outcome) []*state {
	if out.code != "" {
		if o.Open || o.code == out.code && (out.code != core.CodeInsufficientCredits || o.needed == out.needed && o.available == out.available) {
			return s.refused(o, out.code)
		}
		return nil
	}
	r := &out.next.runs[o.place]
	switch {
	case o.Open:
	case o.code == core.CodeEnqueueFailed:
		out.next.begun(half{op: o.id})
	case o.code != "" || o.attempt != r.Number() || o.credits != r.Credits:
		return nil
	}
	out.next.answers.Put(model.Answer{Key: o.Key, Kind: uint8(o.Kind), Run: o.Run, Attempt: r.Number(), Credits: r.Credits})
	return out.next.done()
}

// refused is the state after a refusal: a key remembers it.
func (s *state) refused(o *Op, code core.Code) []*state {
	if o.Key == "" {
		return []*state{s}
	}
	n := s.change()
	n.answers.Put(model.Answer{Key: o.Key, Kind: uint8(o.Kind), Run: o.Run, Code: code})
	return n.done()
}

// repeated is a request under a key that was used before.
func (s *state) repeated(o *Op, first *model.Answer) []*state {
	same := first.Kind == uint8(o.Kind) && (o.Kind != Continue || first.Run == o.Run)
	refusal := o.code != "" && o.code != core.CodeEnqueueFailed
	right := o.Open
	switch {
	case o.code == core.CodeIdempotencyKeyReused:
		right = true // whether two initiations ask for the same is not modelled
	case same && first.Code == o.code: // the model knows whether a dispatch has failed by now
		right = right || refusal || first.Run == o.Run && first.Attempt == o.attempt && first.Credits == o.credits
	}
	if !right {
		return nil
	}
	if !o.Open && o.code == core.CodeEnqueueFailed {
		n := s.change()
		n.begun(half{o.id, true})
		return n.done()
	}
	return []*state{s}
}

// refusal is an outcome without effect.
func (s *state) refusal(code core.Code, total core.Credits, p core.Period) outcome {
	out := outcome{code: code}
	if code == core.CodeInsufficientCredits {
		out.needed, out.available = total, s.account.Available(p)
	}
	return out
}

// start takes what an attempt costs.
func (s *state) start(price, total core.Credits, p core.Period, epoch core.Epoch) model.Start {
	charge := s.account.Split(total, p)
	s.account.Add(core.Split{Monthly: -charge.Monthly, Purchased: -charge.Purchased}, p)
	return model.Start{Price: price, Charge: charge, Period: p, Epoch: epoch}
}

func (s *state) initiated(o *Op, price core.Credits, p core.Period) outcome {
	total := price * core.Credits(o.Files)
	if code := model.Affordable(total, s.account.Available(p), o.MaxPrice); code != "" {
		return s.refusal(code, total, p)
	}
	n := s.change()
	r := run{by: o.id, key: o.Key}
	r.Initiate(n.judge, o.Files, o.MaxRetryCount, 0, n.start(price, total, p, 1))
	n.runs[o.place] = r
	return outcome{next: n}
}

func (s *state) continued(o *Op, price core.Credits, p core.Period) outcome {
	r := &s.runs[o.place]
	if !r.exists() {
		return outcome{code: core.CodeRunNotFound}
	}
	q := r.Quote(price)
	if code := r.Refusal(&q, s.account.Available(p), o.MaxPrice); code != "" {
		return s.refusal(code, q.Total, p)
	}
	n := s.change()
	next := n.own(o.place)
	next.by, next.key = o.id, o.Key
	next.Continue(n.judge, n.start(price, q.Total, p, r.Epoch+1))
	return outcome{next: n}
}

func (s *state) cancelled(o *Op) []*state {
	r := &s.runs[o.place]
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	if r.Status != core.RunRunning {
		if o.code == core.CodeRunNotRunning {
			states = append(states, s)
		}
		return states
	}
	if !o.Open && (o.code != "" || o.status != core.RunInterrupted || o.attempt != r.Number()) {
		return states
	}
	n := s.change()
	next := n.own(o.place)
	for i := range next.Files {
		if next.Files[i].Status == core.FileProcessing {
			next.Requeue(n.judge, i, r.Epoch+1, false)
		}
	}
	next.Epoch++
	next.Break(n.judge, core.ReasonCancelled, "")
	return append(states, n.done()...)
}

func (s *state) raised(o *Op) []*state {
	r := &s.runs[o.place]
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	code := core.Code("")
	switch {
	case r.Status == core.RunRunning:
		code = core.CodeRunAlreadyRunning
	case o.MaxRetryCount <= r.MaxRetries:
		code = core.CodeInvalidRequest
	}
	switch {
	case !o.Open && o.code != code:
		return states
	case code != "":
		return append(states, s)
	}
	n := s.change()
	n.runs[o.place].MaxRetries = o.MaxRetryCount
	return append(states, n.done()...)
}

func (s *state) purchase(o *Op) []*state {
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	for _, b := range s.bought {
		if b.key != o.Key {
			continue
		}
		if same := b.amount == o.Amount; same && o.code == "" || !same && o.code == core.CodeIdempotencyKeyReused {
			states = append(states, s)
		}
		return distinct(states)
	}
	if !o.Open && o.code != "" {
		return states
	}
	n := s.change()
	n.account.Purchased += o.Amount
	at := 0
	for at < len(n.bought) && n.bought[at].key < o.Key {
		at++
	}
	n.bought = slices.Insert(n.bought, at, bought{o.Key, o.Amount})
	return append(states, n.done()...)
}

func (s *state) read(o *Op) []*state {
	if o.balance.Monthly != s.account.Left(o.balance.Period) || o.balance.Purchased != s.account.Purchased {
		return nil
	}
	if o.Kind == Balance {
		return []*state{s}
	}
	for _, price := range o.prices {
		if s.continued(o, price, o.balance.Period).code == o.code {
			return []*state{s}
		}
	}
	return nil
}

// moved is what workers and recovery wrote: files that are not done go on, and the
// run closes with the status that all its files give.
func (s *state) moved(o *Op) []*state {
	if s.runs[o.place].Status != core.RunRunning {
		return nil
	}
	n := s.change()
	r := n.own(o.place)
	for _, m := range o.moves {
		switch f := &r.Files[m.index]; f.StepTo(m.status, f.Epoch, m.failure) {
		case model.Stays:
		case model.Claimed:
			r.Claim(n.judge, m.index, f.Epoch)
		case model.Recorded:
			r.Record(n.judge, m.index, m.status, f.Epoch, m.failure)
		case model.Interrupted:
			r.Interrupt(n.judge, m.index, r.Epoch+1, m.failure)
			r.Epoch++
		case model.Requeued:
			r.Requeue(n.judge, m.index, r.Epoch+1, false)
			r.Epoch++
		case model.Illegal:
			return nil
		}
	}
	switch {
	case o.status == "" || o.status == core.RunRunning:
	case o.status != r.Closing():
		return nil
	case o.status == core.RunInterrupted:
		r.Break(n.judge, core.ReasonServiceFault, "")
	default:
		r.Close(n.judge)
	}
	return n.done()
}

// distinct leaves out states that are equal to an earlier one.
func distinct(states []*state) []*state {
	kept := states[:0]
	for _, s := range states {
		if !slices.ContainsFunc(kept, func(k *state) bool { return k.text == s.text }) {
			kept = append(kept, s)
		}
	}
	return kept
}
