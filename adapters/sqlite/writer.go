package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// maxGroup is how many transactions are committed together at most: as many as make the
// wait for the disk small beside the work.
const maxGroup = 128

// statement is a write of a transaction, kept until the transaction is committed.
type statement struct {
	sql       string
	args      []driver.NamedValue
	rows      int64  // that it has to write; anyNumber: it does not matter
	otherwise error  // if it writes another number
	wrote     *int64 // takes the number; nil: it is not asked for
}

const anyNumber = -1

// job is something for the writer: the statements of one transaction.
type job struct {
	statements []statement
	relaxed    bool // see ports.Relaxed
	// read looks at the database as the statements would leave it, and nothing of them
	// stays. nil: they are committed.
	read func(*conn) error
	// alone writes by itself, in a transaction that is shared with no other job.
	alone func(*conn) error
	after func(error) // what became of alone; called by the writer before it does anything else

	// tenant is whose transaction it is; with its moves a tenant may be closed. Empty: of none.
	tenant core.TenantID

	done chan struct{}
	err  error // once done is closed
}

var errClosed = fmt.Errorf("%w: the store is closed", ports.ErrUnavailable)

// writer has the one connection that writes. Transactions that wait for it are committed
// together, each under a savepoint, with one wait for the disk for all of them. Nothing is
// waited for beyond those that are there already. There is no goroutine for it: of those
// that wait, the one that gets the turn commits its own and all others.
type writer struct {
	open  func() (*conn, error)
	after func(*conn) // each group

	turn chan struct{} // holds one value; the goroutine that takes it has the connection
	stop chan struct{}

	mu      sync.Mutex
	waiting []*job

	// Of the one that has the turn.
	c      *conn                  // nil: it has to be opened again
	full   bool                   // synchronous=full is in force
	closed map[core.TenantID]bool // that take no writes: see ports.Mover
}

func newWriter(c *conn, closed map[core.TenantID]bool, open func() (*conn, error), after func(*conn)) *writer {
	w := &writer{
		open: open, after: after, c: c, full: true, closed: closed,
		turn: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	w.turn <- struct{}{}
	return w
}

// do waits for the job's end. It ends early, with ctx's error, only if the job was not begun.
func (w *writer) do(ctx context.Context, j *job) error {
	select {
	case <-w.stop:
		return errClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err // else select may choose the turn
	}
	j.done = make(chan struct{})
	w.wait(j)
	for {
		select {
		case <-j.done:
			return j.err
		case <-w.turn:
			w.group(j)
		case <-ctx.Done():
			return w.leave(j, ctx.Err())
		case <-w.stop:
			return w.leave(j, errClosed)
		}
	}
}

func (w *writer) wait(j *job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, j)
}

// leave gives up a job that was not begun, with this error. One that was is waited for.
func (w *writer) leave(j *job, err error) error {
	w.mu.Lock()
	at := slices.Index(w.waiting, j)
	if at >= 0 {
		w.waiting = slices.Delete(w.waiting, at, at+1)
	}
	w.mu.Unlock()
	if at >= 0 {
		return err
	}
	<-j.done
	return j.err
}

// next takes those that wait, at most maxGroup.
func (w *writer) next() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxGroup)
	group := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	return group
}

// close waits for what was begun. What waits, and comes, is refused.
func (w *writer) close() error {
	close(w.stop)
	<-w.turn // for good
	if w.c == nil {
		return nil
	}
	return w.c.close()
}

// group does what waits, and gives the turn back. If the caller's own job was done by
// another one meanwhile, the next of those that wait has the turn.
func (w *writer) group(own *job) {
	var jobs []*job
	defer func() {
		w.abandon(jobs)
		w.turn <- struct{}{}
	}()
	select {
	case <-own.done:
		return
	default:
		jobs = w.next()
	}
	commits := make([]*job, 0, len(jobs))
	for _, j := range jobs {
		switch {
		case j.read != nil:
			w.answer(j, w.look(j))
		case j.alone != nil:
			w.answer(j, w.alone(j))
		case w.closed[j.tenant]:
			w.answer(j, ports.ErrMoved)
		default:
			commits = append(commits, j)
		}
	}
	if len(commits) > 0 {
		w.commit(commits)
	}
	if w.c != nil {
		w.after(w.c)
	}
}

// abandon answers those of a group that have no answer, because something panicked: nothing
// is known of what was begun.
func (w *writer) abandon(group []*job) {
	for _, j := range group {
		select {
		case <-j.done:
		default:
			if w.c != nil {
				w.giveUp()
			}
			w.answer(j, fmt.Errorf("%w: the transaction was cut off", ports.ErrCommitUnknown))
		}
	}
}

func (w *writer) answer(j *job, err error) {
	j.err = err
	close(j.done)
}

// begin begins a transaction, on a new connection if the last one was given up.
func (w *writer) begin(relaxed bool) error {
	if w.c == nil {
		c, err := w.open()
		if err != nil {
			return err
		}
		w.c, w.full = c, true
	}
	if w.full == relaxed {
		mode := "PRAGMA synchronous=full"
		if relaxed {
			mode = "PRAGMA synchronous=normal"
		}
		if err := w.c.run(mode); err != nil {
			return translate(err)
		}
		w.full = !relaxed
	}
	_, err := w.c.exec(`BEGIN IMMEDIATE`, nil)
	return translate(err)
}

// rollback undoes the transaction, if SQLite has not done so. A connection that cannot is
// given up.
func (w *writer) rollback() {
	if w.c.run(`ROLLBACK`) == nil {
		return
	}
	// It is an error that there is no transaction any more. What tells is whether one can
	// be begun.
	if w.c.run(`BEGIN IMMEDIATE; ROLLBACK`) != nil {
		w.giveUp()
	}
}

func (w *writer) giveUp() {
	_ = w.c.close() // the error is that of what it was given up for
	w.c = nil
}

// look runs a job's read on what its statements would leave.
func (w *writer) look(j *job) error {
	if err := w.begin(false); err != nil {
		return err
	}
	err := apply(w.c, j.statements)
	if err == nil {
		err = translate(j.read(w.c))
	}
	w.rollback()
	return err
}

func apply(c *conn, list []statement) error {
	for i := range list {
		s := &list[i]
		n, err := c.exec(s.sql, s.args)
		if err != nil {
			return translate(err)
		}
		if s.rows != anyNumber && n != s.rows {
			return s.otherwise
		}
		if s.wrote != nil {
			*s.wrote = n
		}
	}
	return nil
}

// commit commits jobs together. If it turns out that one of them took the whole transaction
// with it, each is committed by itself.
func (w *writer) commit(jobs []*job) {
	if len(jobs) == 1 {
		w.answer(jobs[0], w.commitOne(jobs[0]))
		return
	}
	relaxed := true
	for _, j := range jobs {
		relaxed = relaxed && j.relaxed
	}
	if err := w.begin(relaxed); err != nil {
		for _, j := range jobs {
			w.answer(j, err)
		}
		return
	}
	errs := make([]error, len(jobs))
	for i, j := range jobs {
		var whole bool
		if whole, errs[i] = w.member(j); whole {
			w.rollback()
			for _, j := range jobs {
				w.answer(j, w.commitOne(j))
			}
			return
		}
	}
	err := w.end()
	for i, j := range jobs {
		if errs[i] == nil {
			errs[i] = err
		}
		w.answer(j, errs[i])
	}
}

// member applies a job under a savepoint. whole says that no transaction is left, and then
// the error is not the job's.
func (w *writer) member(j *job) (whole bool, err error) {
	if _, err := w.c.exec(`SAVEPOINT member`, nil); err != nil {
		return true, err
	}
	if err = apply(w.c, j.statements); err != nil {
		if endsTransaction(err) {
			return true, err
		}
		if _, undone := w.c.exec(`ROLLBACK TO member`, nil); undone != nil {
			return true, undone
		}
	}
	if _, released := w.c.exec(`RELEASE member`, nil); released != nil {
		return true, released
	}
	return false, err
}

// alone gives a job a transaction in which it writes by itself.
func (w *writer) alone(j *job) error {
	if err := w.begin(false); err != nil {
		return err
	}
	if err := j.alone(w.c); err != nil {
		w.rollback()
		return translate(err)
	}
	err := w.end()
	j.after(err)
	return err
}

// setClosed notes whether a tenant takes writes, after a commit that says so. If it is not
// known what became of that, the tenant takes none. The caller has the turn.
func (w *writer) setClosed(tenant core.TenantID, closed bool, err error) {
	switch {
	case err != nil && !errors.Is(err, ports.ErrCommitUnknown):
	case closed:
		w.closed[tenant] = true
	case err == nil:
		delete(w.closed, tenant)
	}
}

func (w *writer) commitOne(j *job) error {
	if err := w.begin(j.relaxed); err != nil {
		return err
	}
	if err := apply(w.c, j.statements); err != nil {
		w.rollback()
		return err
	}
	return w.end()
}

// end commits. After an error the connection is made anew: what SQLite remembers of a
// transaction that failed to reach the disk must not be built upon.
func (w *writer) end() error {
	_, err := w.c.exec(`COMMIT`, nil)
	if err == nil {
		return nil
	}
	err = translateCommit(err)
	w.rollback()
	if errors.Is(err, ports.ErrCommitUnknown) && w.c != nil {
		w.giveUp()
	}
	return err
}
