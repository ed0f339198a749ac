package history

import (
	"slices"

	"github.com/redrive/redrive/core"
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
		n.purchased += o.grant.Purchased
		n.add(o.periods[0], o.grant.Monthly)
		return []*state{n.done()}
	case Move:
		return s.moved(o)
	case Given:
		n := s.change()
		n.runs[o.run] = o.given
		return []*state{n.done()}
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
	if o.key != "" {
		if first := s.answer(o.key); first != nil {
			return s.repeated(o, first)
		}
	}
	if o.code == core.CodeIdempotencyKeyReused {
		return nil // nobody has used it
	}
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	if unmodelled(o.code) {
		return append(states, s.refused(o, o.code))
	}
	for _, price := range o.prices {
		for _, period := range o.periods {
			out := plan(o, price, period)
			if next := s.accept(o, out); next != nil {
				states = append(states, next)
			}
		}
	}
	return distinct(states)
}

// unmodelled refusals are about templates, which the model does not have.
func unmodelled(code core.Code) bool {
	return code == core.CodeTemplateDeleted || code == core.CodeTemplateNotFound || code == core.CodeTemplateNotPublished
}

// accept gives the state after an outcome, if the answer agrees with it.
func (s *state) accept(o *Op, out outcome) *state {
	if out.code != "" {
		if o.Open || o.code == out.code && (out.code != core.CodeInsufficientCredits || o.needed == out.needed && o.available == out.available) {
			return s.refused(o, out.code)
		}
		return nil
	}
	r := &out.next.runs[o.run]
	switch {
	case o.Open:
	case o.code == core.CodeEnqueueFailed:
		out.next.begun(half{op: o.id})
	case o.code != "" || o.attempt != r.attempt || o.credits != r.credits:
		return nil
	}
	out.next.remember(answer{key: o.key, kind: o.Kind, run: o.run, attempt: r.attempt, credits: r.credits})
	return out.next.done()
}

// refused is the state after a refusal: a key remembers it.
func (s *state) refused(o *Op, code core.Code) *state {
	if o.key == "" {
		return s
	}
	n := s.change()
	n.remember(answer{key: o.key, kind: o.Kind, run: o.run, code: code})
	return n.done()
}

// repeated is a request under a key that was used before.
func (s *state) repeated(o *Op, first *answer) []*state {
	same := first.kind == o.Kind && (o.Kind != Continue || first.run == o.run)
	right := o.Open
	switch {
	case o.code == core.CodeIdempotencyKeyReused:
		right = true // whether two initiations ask for the same is not modelled
	case !same:
	case o.code != first.code:
	case o.code == "" || o.code == core.CodeEnqueueFailed:
		right = right || first.run == o.run && first.attempt == o.attempt && first.credits == o.credits
	default:
		right = true
	}
	if !right {
		return nil
	}
	if !o.Open && o.code == core.CodeEnqueueFailed {
		n := s.change()
		n.begun(half{o.id, true})
		s = n.done()
	}
	return []*state{s}
}

// charge takes credits, the month's first.
func (s *state) charge(total core.Credits, p core.Period) core.Split {
	split := core.Split{Monthly: min(total, s.left(p))}
	split.Purchased = total - split.Monthly
	s.purchased -= split.Purchased
	s.add(p, -split.Monthly)
	return split
}

func (s *state) initiated(o *Op, price core.Credits, p core.Period) outcome {
	total := price * core.Credits(o.files)
	if o.capped && total > o.most {
		return outcome{code: core.CodePriceChanged}
	}
	if has := s.left(p) + s.purchased; has < total {
		return outcome{code: core.CodeInsufficientCredits, needed: total, available: has}
	}
	n := s.change()
	r := &n.runs[o.run]
	charge := n.charge(total, p)
	*r = run{
		exists: true, status: core.RunRunning, retries: o.retries, credits: charge, files: make([]file, o.files),
		undo: undo{by: o.id, period: p, charge: charge, key: o.key},
	}
	for i := range r.files {
		r.files[i].status = core.FilePending
	}
	return outcome{next: n}
}

// continued follows the rules of Continue in their order.
func (s *state) continued(o *Op, price core.Credits, p core.Period) outcome {
	r := &s.runs[o.run]
	failed, open, maxed := 0, 0, false
	for _, f := range r.files {
		switch f.status {
		case core.FileFailed:
			failed++
			maxed = maxed || f.charged >= r.retries
		case core.FilePending:
			open++
		case core.FileProcessing, core.FileCompleted, core.FileError:
			continue
		}
	}
	total := price * core.Credits(failed)
	has := s.left(p) + s.purchased
	switch {
	case !r.exists:
		return outcome{code: core.CodeRunNotFound}
	case r.status == core.RunRunning:
		return outcome{code: core.CodeRunAlreadyRunning}
	case r.status == core.RunCompleted:
		return outcome{code: core.CodeNoErrorsToRetry}
	case failed+open == 0:
		return outcome{code: core.CodeNothingToRetry}
	case maxed:
		return outcome{code: core.CodeMaxRetryCountExceeded}
	case o.capped && total > o.most:
		return outcome{code: core.CodePriceChanged}
	case has < total:
		return outcome{code: core.CodeInsufficientCredits, needed: total, available: has}
	}
	n := s.change()
	charge := n.charge(total, p)
	next := &n.runs[o.run]
	next.undo = undo{by: o.id, period: p, charge: charge, status: r.status, files: r.files, key: o.key}
	next.status, next.attempt = core.RunRunning, r.attempt+1
	next.credits.Monthly += charge.Monthly
	next.credits.Purchased += charge.Purchased
	next.files = slices.Clone(r.files)
	for i := range next.files {
		if f := &next.files[i]; f.status == core.FileFailed {
			f.status, f.charged = core.FilePending, f.charged+1
		}
	}
	return outcome{next: n}
}

func (s *state) cancelled(o *Op) []*state {
	r := &s.runs[o.run]
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	running := r.exists && r.status == core.RunRunning
	if !running {
		if o.code == core.CodeRunNotRunning {
			states = append(states, s)
		}
		return states
	}
	if !o.Open && (o.code != "" || o.status != core.RunInterrupted || o.attempt != r.attempt) {
		return states
	}
	n := s.change()
	next := &n.runs[o.run]
	next.status, next.files = core.RunInterrupted, slices.Clone(r.files)
	for i := range next.files {
		if f := &next.files[i]; f.status == core.FileProcessing {
			f.status = core.FilePending
		}
	}
	return append(states, n.done())
}

func (s *state) raised(o *Op) []*state {
	r := &s.runs[o.run]
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	code := core.Code("")
	switch {
	case r.status == core.RunRunning:
		code = core.CodeRunAlreadyRunning
	case o.retries <= r.retries:
		code = core.CodeInvalidRequest
	}
	switch {
	case !o.Open && o.code != code:
		return states
	case code != "":
		return append(states, s)
	}
	n := s.change()
	n.runs[o.run].retries = o.retries
	return append(states, n.done())
}

func (s *state) purchase(o *Op) []*state {
	var states []*state
	if o.Open {
		states = append(states, s)
	}
	for _, b := range s.bought {
		if b.key != o.key {
			continue
		}
		if same := b.amount == o.amount; same && o.code == "" || !same && o.code == core.CodeIdempotencyKeyReused {
			states = append(states, s)
		}
		return distinct(states)
	}
	if !o.Open && o.code != "" {
		return states
	}
	n := s.change()
	n.purchased += o.amount
	at := 0
	for at < len(n.bought) && n.bought[at].key < o.key {
		at++
	}
	n.bought = slices.Insert(n.bought, at, bought{o.key, o.amount})
	return append(states, n.done())
}

func (s *state) read(o *Op) []*state {
	if o.balance.Monthly != s.left(o.balance.Period) || o.balance.Purchased != s.purchased {
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
	r := &s.runs[o.run]
	if !r.exists || r.status != core.RunRunning {
		return nil
	}
	n := s.change()
	next := &n.runs[o.run]
	next.files = slices.Clone(r.files)
	for _, m := range o.moves {
		f := &next.files[m.index]
		if f.status != core.FilePending && f.status != core.FileProcessing {
			return nil
		}
		f.status = m.status
		next.undo.claimed = next.undo.claimed || m.status == core.FileProcessing
	}
	if o.status != "" && o.status != core.RunRunning {
		if o.status != closing(next.files) {
			return nil
		}
		next.status = o.status
	}
	return []*state{n.done()}
}

func closing(files []file) core.RunStatus {
	completed, open := 0, 0
	for _, f := range files {
		switch f.status {
		case core.FileCompleted:
			completed++
		case core.FilePending, core.FileProcessing:
			open++
		case core.FileFailed, core.FileError:
		}
	}
	switch {
	case open > 0:
		return core.RunInterrupted
	case completed == len(files):
		return core.RunCompleted
	case completed == 0:
		return core.RunFailed
	default:
		return core.RunCompletedWithErrors
	}
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
