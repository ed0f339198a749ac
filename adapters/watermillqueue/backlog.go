package watermillqueue

import (
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// backlog is the jobs that wait in this process. A run may have 100,000, which
// differ only in a file's index, so a job is a number within its batch, and what
// they have in common is kept once.
type backlog struct {
	mu      sync.Mutex
	flows   *flows
	byFlow  map[*flow]*flowJobs
	batches map[batchKey]*batch
	waiting int
	all     int // waiting or in somebody's hands
}

// batchKey is what jobs of one dispatch have in common.
type batchKey struct {
	tenant   core.TenantID
	template core.TemplateID
	run      core.RunID
	epoch    core.Epoch
}

// flowJobs is the waiting jobs of a flow: batches in order of arrival.
type flowJobs struct{ batches []*batch }

// batch is the jobs of one run and epoch.
type batch struct {
	key         batchKey
	correlation string    // of the request that sent the first of them
	since       time.Time // when the first of them was sent
	flow        *flow
	waiting     []int32            // next first
	outstanding map[int32]struct{} // waiting or in somebody's hands
	queued      bool               // among its flow's batches

	// Jobs other than of one file have numbers below zero.
	whole   map[int32]core.Job
	byID    map[core.JobID]int32
	nextOne int32
}

// ticket names a job of the backlog.
type ticket struct {
	batch  *batch
	number int32
}

func newBacklog() *backlog {
	return &backlog{flows: newFlows(), byFlow: map[*flow]*flowJobs{}, batches: map[batchKey]*batch{}}
}

// add takes jobs that are not there yet.
func (b *backlog) add(jobs []core.Job, correlation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, job := range jobs {
		key := batchKey{job.Tenant, job.Template, job.Run, job.Epoch}
		of := b.batches[key]
		if of == nil {
			of = &batch{key: key, correlation: correlation, since: now, outstanding: map[int32]struct{}{}}
			b.batches[key] = of
		}
		number, fresh := of.number(job)
		if !fresh {
			continue
		}
		of.outstanding[number] = struct{}{}
		b.all++
		b.enqueue(of, number)
	}
}

// number gives a job's number in the batch, and whether it was not there.
func (of *batch) number(job core.Job) (number int32, fresh bool) {
	if len(job.Files) == 1 && job.Files[0] >= 0 && job.Files[0] <= 1<<31-1 && job.ID == core.FileJobID(of.key.run, job.Files[0]) {
		number = int32(job.Files[0])
		_, there := of.outstanding[number]
		return number, !there
	}
	if number, there := of.byID[job.ID]; there {
		return number, false
	}
	if of.whole == nil {
		of.whole, of.byID = map[int32]core.Job{}, map[core.JobID]int32{}
	}
	of.nextOne--
	job.Files = slices.Clone(job.Files)
	of.whole[of.nextOne], of.byID[job.ID] = job, of.nextOne
	return of.nextOne, true
}

// enqueue lets a job wait. The caller holds the mutex.
func (b *backlog) enqueue(of *batch, number int32) {
	b.waiting++
	of.waiting = append(of.waiting, number)
	if of.queued {
		return
	}
	of.queued = true
	of.flow = b.flows.add(ports.TemplateKey{Tenant: of.key.tenant, Template: of.key.template})
	jobs := b.byFlow[of.flow]
	if jobs == nil {
		jobs = &flowJobs{}
		b.byFlow[of.flow] = jobs
	}
	jobs.batches = append(jobs.batches, of)
}

// take gives jobs by turns.
func (b *backlog) take(limit int, skip ports.Skip) []ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []ticket
	for len(got) < limit {
		shares := b.flows.shares(limit-len(got), skip)
		if len(shares) == 0 {
			break
		}
		for _, s := range shares {
			got = b.pop(s, got)
		}
	}
	b.waiting -= len(got)
	return got
}

func (b *backlog) pop(s share, got []ticket) []ticket {
	jobs := b.byFlow[s.flow]
	for n := s.limit; n > 0 && len(jobs.batches) > 0; {
		of := jobs.batches[0]
		part := min(n, len(of.waiting))
		for _, number := range of.waiting[:part] {
			got = append(got, ticket{of, number})
		}
		n -= part
		if of.waiting = of.waiting[part:]; len(of.waiting) > 0 {
			continue
		}
		of.waiting, of.queued, of.flow = nil, false, nil
		jobs.batches[0] = nil
		jobs.batches = jobs.batches[1:]
	}
	if len(jobs.batches) == 0 {
		delete(b.byFlow, s.flow)
		b.flows.remove(s.flow)
	}
	return got
}

// job gives the job of a ticket.
func (b *backlog) job(t ticket) core.Job {
	if t.number < 0 {
		b.mu.Lock()
		defer b.mu.Unlock()
		return t.batch.whole[t.number]
	}
	key := t.batch.key
	return core.Job{
		Tenant: key.tenant, Run: key.run, Epoch: key.epoch, Template: key.template,
		ID: core.FileJobID(key.run, int(t.number)), Files: []int{int(t.number)},
	}
}

// done forgets a job.
func (b *backlog) done(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	delete(t.batch.outstanding, t.number)
	if t.number < 0 {
		delete(t.batch.byID, t.batch.whole[t.number].ID)
		delete(t.batch.whole, t.number)
	}
	if len(t.batch.outstanding) == 0 {
		delete(b.batches, t.batch.key)
	}
}

// again lets a job that was taken wait once more, behind the others of its batch.
func (b *backlog) again(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enqueue(t.batch, t.number)
}

// depth counts the jobs. The oldest is known by when the first of its batch was sent.
func (b *backlog) depth() ports.QueueDepth {
	b.mu.Lock()
	defer b.mu.Unlock()
	depth := ports.QueueDepth{Waiting: ports.Count{N: b.waiting}, Taken: ports.Count{N: b.all - b.waiting}}
	for _, of := range b.batches {
		if of.queued && (depth.Oldest.IsZero() || of.since.Before(depth.Oldest)) {
			depth.Oldest = of.since
		}
	}
	return depth
}
