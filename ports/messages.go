package ports

import (
	"cmp"
	"slices"

	"github.com/redrive/redrive/core"
)

// MessageJobs is how many jobs a message has at most.
const MessageJobs = 250

// Messages cuts jobs into what travels together: jobs of one tenant, run, epoch and
// template, at most MessageJobs of them, in order of their files and each once. A job
// of several files is a message by itself, so that the size of a message is bounded by
// that of a run.
//
// The cuts are at fixed indexes of files. So what recovery sends of a large run, which
// is what was not worked on yet, is for the most part exactly what is outstanding,
// and is not carried twice.
func Messages(jobs []core.Job) [][]core.Job {
	type key struct {
		tenant   core.TenantID
		run      core.RunID
		template core.TemplateID
		epoch    core.Epoch
		part     int
		job      core.JobID // of a job of several files
	}
	var messages [][]core.Job
	places := make(map[key]int)
	var last key
	at := -1
	for _, j := range jobs {
		k := key{tenant: j.Tenant, run: j.Run, template: j.Template, epoch: j.Epoch}
		if len(j.Files) == 1 {
			k.part = j.Files[0] / MessageJobs
		} else {
			k.job = j.ID
		}
		if at < 0 || k != last {
			var there bool
			if at, there = places[k]; !there {
				at = len(messages)
				places[k], messages = at, append(messages, nil)
			}
			last = k
		}
		messages[at] = append(messages[at], j)
	}
	cut := make([][]core.Job, 0, len(messages))
	for _, m := range messages {
		slices.SortStableFunc(m, byFiles)
		cut = slices.AppendSeq(cut, slices.Chunk(slices.CompactFunc(m, sameJob), MessageJobs))
	}
	return cut
}

func byFiles(a, b core.Job) int {
	return cmp.Or(slices.Compare(a.Files, b.Files), cmp.Compare(a.ID, b.ID))
}

func sameJob(a, b core.Job) bool { return a.ID == b.ID && slices.Equal(a.Files, b.Files) }

// SplitMessage takes some jobs out of a message, by their IDs. It fails with
// ErrNotInDelivery if one is not in it.
func SplitMessage(jobs, some []core.Job) (kept, taken []core.Job, err error) {
	out := make(map[core.JobID]bool, len(some))
	for _, j := range some {
		out[j.ID] = true
	}
	found := make(map[core.JobID]bool, len(some))
	for _, j := range jobs {
		if out[j.ID] {
			taken, found[j.ID] = append(taken, j), true
		} else {
			kept = append(kept, j)
		}
	}
	if len(found) < len(out) {
		return nil, nil, ErrNotInDelivery
	}
	return kept, taken, nil
}

// CloneJobs copies jobs with their files.
func CloneJobs(jobs []core.Job) []core.Job {
	n := 0
	for i := range jobs {
		n += len(jobs[i].Files)
	}
	files := make([]int, 0, n)
	clones := slices.Clone(jobs)
	for i := range clones {
		from := len(files)
		files = append(files, clones[i].Files...)
		clones[i].Files = files[from:len(files):len(files)]
	}
	return clones
}
