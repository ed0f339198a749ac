package core

import (
	"fmt"
	"slices"
	"strconv"
)

// JobID names a job. The same file has the same job ID in every attempt, so a
// queue deduplicates by (job ID, epoch), never by job ID alone.
type JobID string

// Job is what the queue carries: a hint that these files can be claimed.
type Job struct {
	Tenant TenantID
	Run    RunID
	Epoch  Epoch
	ID     JobID
	Files  []int // indexes, ascending
	// Template is the run's. Limits of concurrency go by it before the job is
	// claimed; empty if an older version sent the job. Nothing is decided by it.
	Template TemplateID
	// Trace is that of the request that began the attempt; empty if it had none, or if
	// recovery sends the job again.
	Trace Trace
}

// FileJobID is the ID of the job of one file: {runId}:file:{index}.
func FileJobID(run RunID, index int) JobID {
	return JobID(string(run) + fileJob + strconv.Itoa(index))
}

const fileJob = ":file:"

// BatchJobID is the ID of the one job of a batch run: {runId}.
func BatchJobID(run RunID) JobID { return JobID(run) }

// JobsOf gives the jobs that process these files: one a file, or in batch mode
// one for all of them. The files of a batch job share their epoch, because they
// are always dispatched together.
func JobsOf(r Run, files []File) ([]Job, error) {
	if len(files) == 0 {
		return nil, nil
	}
	if r.Mode == ModeBatch {
		job := Job{
			Tenant: r.Tenant, Run: r.ID, Epoch: files[0].Epoch, ID: BatchJobID(r.ID), Template: r.Template,
			Files: make([]int, 0, len(files)),
		}
		for i := range files {
			if files[i].Epoch != job.Epoch {
				return nil, fmt.Errorf("files %d and %d of batch run %s have epochs %d and %d; they must be dispatched together",
					files[0].Index, files[i].Index, r.ID, job.Epoch, files[i].Epoch)
			}
			job.Files = append(job.Files, files[i].Index)
		}
		slices.Sort(job.Files)
		return []Job{job}, nil
	}
	jobs := make([]Job, len(files))
	indexes := make([]int, len(files)) // one backing array for all jobs of a large run
	for i := range files {
		indexes[i] = files[i].Index
		jobs[i] = Job{
			Tenant: r.Tenant, Run: r.ID, Epoch: files[i].Epoch,
			ID: FileJobID(r.ID, files[i].Index), Template: r.Template,
			Files: indexes[i : i+1 : i+1],
		}
	}
	return jobs, nil
}

// fits reports whether the run has such a job. A message that merges two files
// into one job would be counted once and waited for twice.
func (j Job) fits(r Run) bool {
	if r.Mode == ModeBatch {
		return j.ID == BatchJobID(r.ID)
	}
	return len(j.Files) == 1 && j.ID == FileJobID(r.ID, j.Files[0])
}

// FileIndexes lists the files of all these jobs.
func FileIndexes(jobs []Job) []int {
	indexes := make([]int, 0, len(jobs))
	for _, j := range jobs {
		indexes = append(indexes, j.Files...)
	}
	return indexes
}

// filesOf finds a job's files among rows that were read for it. ok is false if
// one is missing, or if the indexes do not ascend: a job that names a file twice
// was not made here.
func (r *fileRows) filesOf(j Job) (files []*File, ok bool) {
	files = make([]*File, 0, len(j.Files))
	for n, i := range j.Files {
		f := r.at(i)
		if f == nil || n > 0 && i <= j.Files[n-1] {
			return nil, false
		}
		files = append(files, f)
	}
	return files, len(files) > 0
}

// fill copies rows, so that a plan never changes what it was given, and makes them
// findable. Order is kept.
func (r *fileRows) fill(files []File) {
	r.own = slices.Clone(files)
	if len(r.own) > fewFiles {
		r.place = make(map[int]int, len(r.own))
		for i := range r.own {
			r.place[r.own[i].Index] = i
		}
	}
}

// fewFiles is up to how many files are faster looked through than looked up.
const fewFiles = 8

// fileRows finds files by their index.
type fileRows struct {
	own   []File
	place map[int]int // nil if there are few
}

// at gives a file's row, or nil.
func (r *fileRows) at(index int) *File {
	if r.place != nil {
		if i, ok := r.place[index]; ok {
			return &r.own[i]
		}
		return nil
	}
	for i := range r.own {
		if r.own[i].Index == index {
			return &r.own[i]
		}
	}
	return nil
}
