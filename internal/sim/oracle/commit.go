package oracle

import (
	"time"

	"github.com/redrive/redrive/core"
)

// Use is the use case that an actor is in.
type Use uint8

// The use cases, as far as the oracle tells them apart.
const (
	UseOther Use = iota
	UseInitiate
	UseContinue
	UseCancel
	UseRaise
	UseWork
	UseRecover
	UseRefill
	UseGrant
	UseTemplate
	UseInterrupt
	UseTenant
	UseBulk
	UseSuspend
	UseRefund
	UseResume // of a process that has the store for itself
	UseSetUp
)

// recovers reports whether the use case takes files from workers that are taken for dead.
func (u Use) recovers() bool { return u == UseRecover || u == UseResume }

// Commit is everything that one transaction wrote. It is reused: the oracle keeps
// copies.
type Commit struct {
	Tenant core.TenantID
	Actor  uint8
	Use    Use
	// Together are the actors whose requests an initiation or a Continue can have been
	// decided with, Actor among them; 0: not known.
	Together Actors
	Began    int       // how many commits there had been when it began
	SeenMin  time.Time // what the actor's clock said meanwhile
	SeenMax  time.Time

	Tenants    []core.Tenant
	Templates  []core.Template
	Inserted   []NewRun
	Runs       []core.Run
	Files      []FileWrite
	Attempts   []core.Attempt
	Marks      []Mark
	Entries    []core.Entry
	Amendments []core.Amendment
	Answers    []core.Answer
	Made       []core.Bulk
	Bulks      []BulkWrite
	Sent       []core.Job // to the queue, by the transaction itself
	Told       []core.WebhookEvent
}

// NewRun is a run that was inserted.
type NewRun struct {
	Run   core.Run
	Files []core.File
}

// FileWrite is one file that was saved.
type FileWrite struct {
	Run  core.RunID
	File core.File
}

// Mark is an attempt that was marked compensated.
type Mark struct {
	Run    core.RunID
	Number core.AttemptNumber
}

// Reset empties it.
func (c *Commit) Reset() {
	c.Tenants, c.Templates, c.Inserted = c.Tenants[:0], c.Templates[:0], c.Inserted[:0]
	c.Runs, c.Files, c.Attempts, c.Marks = c.Runs[:0], c.Files[:0], c.Attempts[:0], c.Marks[:0]
	c.Entries, c.Amendments, c.Answers, c.Bulks = c.Entries[:0], c.Amendments[:0], c.Answers[:0], c.Bulks[:0]
	c.Made, c.Sent, c.Told = c.Made[:0], c.Sent[:0], c.Told[:0]
}

// Wrote reports whether there is anything to commit.
func (c *Commit) Wrote() bool { return c.effects() || len(c.Answers)+len(c.Made)+len(c.Bulks) > 0 }

// effects reports whether it wrote more than the memory of an answer.
func (c *Commit) effects() bool {
	return len(c.Tenants)+len(c.Templates)+len(c.Inserted)+len(c.Runs)+len(c.Files)+
		len(c.Attempts)+len(c.Marks)+len(c.Entries)+len(c.Amendments) > 0
}
