package worker

import (
	"context"
	"errors"
	"slices"

	"github.com/redrive/redrive/core"
)

// pieces are the results of a job that goes on. They are recorded in bounded pieces as
// they come, one after the other: while one is being written the next gathers.
// Guarded by Worker.mu.
type pieces struct {
	waiting []core.FileResult // not in a piece yet
	flying  bool              // a piece is on its way to the store
	unsaved int               // cost of both
	any     bool              // a result was taken in
	dropped bool              // one was given up: the job cannot be settled any more
	singly  bool              // a piece has one result: the store refused a larger one
	// refused are the files whose results the store can never hold; they are settled with
	// the rest of the job.
	refused []core.FileResult
}

// costOf is what recording a result costs, see groupCost.
func costOf(r *core.FileResult) int { return 1 + len(r.Output)/groupPage }

// recordEarly takes in a file's result while its job goes on. It blocks while too much
// waits to be recorded, of this job or in all, and fails with ctx's error, or the
// job's if that ends first.
func (w *Worker) recordEarly(ctx context.Context, e *entry, r core.FileResult) error {
	cost := costOf(&r)
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.pool.roomFor(e, cost) {
		saved := w.pool.saving()
		w.mu.Unlock()
		select {
		case <-saved:
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
		w.mu.Lock()
		if err := errors.Join(ctx.Err(), e.ctx.Err()); err != nil {
			return err
		}
	}
	if err := e.ctx.Err(); err != nil {
		return err
	}
	p := &e.pieces
	p.waiting = append(p.waiting, r)
	p.any = true
	p.unsaved += cost
	w.pool.unsaved += cost
	w.sendPiece(e)
	return nil
}

// roomFor reports whether a job may have that much more waiting to be recorded. What
// is larger than all bounds goes alone.
func (p *pool) roomFor(e *entry, cost int) bool {
	ofJob, all := e.pieces.unsaved, p.unsaved
	return (ofJob == 0 || ofJob+cost <= jobUnsaved) && (all == 0 || all+cost <= unsavedCost)
}

// saving gives a channel that is closed when some of what waits was recorded.
func (p *pool) saving() <-chan struct{} {
	if p.saved == nil {
		p.saved = make(chan struct{})
	}
	return p.saved
}

// lighten takes off what was recorded, or was given up.
func (p *pool) lighten(cost int) {
	p.unsaved -= cost
	if p.saved != nil {
		close(p.saved)
		p.saved = nil
	}
}

// sendPiece sends what has gathered of a job, up to the bounds, unless nothing has or a
// piece is on its way. The caller holds mu.
func (w *Worker) sendPiece(e *entry) {
	p := &e.pieces
	if p.flying || len(p.waiting) == 0 {
		return
	}
	n, most, cost := 0, min(len(p.waiting), pieceResults), 0
	if p.singly {
		most = 1
	}
	for n < most {
		c := costOf(&p.waiting[n])
		if n > 0 && cost+c > pieceCost {
			break
		}
		n, cost = n+1, cost+c
	}
	piece := &entry{job: e.job, of: e, results: slices.Clone(p.waiting[:n]), ctx: e.ctx, cancel: func() {}}
	rest := copy(p.waiting, p.waiting[n:])
	clear(p.waiting[rest:]) // or the outputs would be kept alive
	p.waiting, p.flying = p.waiting[:rest], true
	w.results.add(piece)
}

// pieceOver lets go of a piece that was saved, or given up, and sends the next.
func (w *Worker) pieceOver(piece *entry, saved bool) {
	e := piece.of
	w.mu.Lock()
	defer w.mu.Unlock()
	cost := 0
	for i := range piece.results {
		cost += costOf(&piece.results[i])
	}
	if e.ctx.Err() != nil { // nothing more of it can be recorded
		for i := range e.pieces.waiting {
			cost += costOf(&e.pieces.waiting[i])
		}
		saved = saved && len(e.pieces.waiting) == 0
		e.pieces.waiting = nil
	}
	e.pieces.dropped = e.pieces.dropped || !saved
	e.pieces.flying = false
	e.pieces.unsaved -= cost
	w.pool.lighten(cost)
	w.sendPiece(e)
}

// pieceRefused does what can be done about a piece that the store can never hold: its
// results are tried one by one, and one that is refused alone is given up.
func (w *Worker) pieceRefused(piece *entry) {
	p := &piece.of.pieces
	w.mu.Lock()
	if len(piece.results) == 1 {
		p.refused = append(p.refused, notRecorded(piece.results[0].Index))
		w.mu.Unlock()
		w.pieceOver(piece, true)
		return
	}
	p.singly, p.flying = true, false
	p.waiting = append(piece.results, p.waiting...)
	w.sendPiece(piece.of)
	w.mu.Unlock()
}

// bulk records most of the results of a job that has ended in pieces, if they are too
// large to be written at once, or must be tried one by one. It gives what is left for
// the settlement that counts the job, which needs a file at least.
func (w *Worker) bulk(e *entry) (rest []core.FileResult, err error) {
	cost := 0
	for i := range e.results {
		cost += costOf(&e.results[i])
	}
	if len(e.job.Files) == 1 || cost <= pieceCost && !e.pieces.singly {
		return e.results, nil
	}
	early := make([]core.FileResult, 0, len(e.results))
	for _, r := range e.results {
		if r.Outcome == core.OutcomeCompleted || r.Outcome == core.OutcomePermanent {
			early = append(early, r)
		} else {
			rest = append(rest, r)
		}
	}
	e.results = nil // what is recorded is not kept
	if len(rest) == 0 && len(early) > 0 {
		last := len(early) - 1
		rest, early = append(rest, early[last]), early[:last]
	}
	for i := range early {
		if err := w.recordEarly(e.ctx, e, early[i]); err != nil {
			return nil, err
		}
		early[i] = core.FileResult{}
	}
	return rest, nil
}

// piecesSaved waits until nothing of a job is on its way to the store. It gives the files
// whose results were refused, or an error if the job is to be given up: what was not
// recorded is not to be taken for files without a result.
func (w *Worker) piecesSaved(e *entry) ([]core.FileResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for e.pieces.flying || len(e.pieces.waiting) > 0 {
		saved := w.pool.saving()
		w.mu.Unlock()
		select {
		case <-saved:
		case <-e.ctx.Done():
			w.mu.Lock()
			return nil, e.ctx.Err()
		}
		w.mu.Lock()
	}
	if e.pieces.dropped {
		return nil, context.Canceled
	}
	refused := e.pieces.refused
	e.pieces.refused = nil
	return refused, nil
}

// notRecorded is what becomes of a file whose result the store can never hold. To do
// its work again would end in the same way, so its run closes and says why.
func notRecorded(index int) core.FileResult {
	return core.FileResult{Index: index, Outcome: core.OutcomeInterrupted, Failure: core.Failure{
		Code:    core.FailureNotRecorded,
		Message: "the service could not keep the result of this file; once that is mended it is free to continue",
	}}
}
