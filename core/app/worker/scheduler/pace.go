package scheduler

import "time"

// pace is how long executions take. While they are so short that an executor would wait
// for the next job longer than it works on one, more is claimed than can be executed at
// once. It takes many short ones in a row: jobs that others could begin at once are not
// to wait here.
type pace struct{ mean time.Duration }

const (
	// paceOver is over how many executions the mean goes, some.
	paceOver = 32
	// shortJob is up to what a mean more is claimed.
	shortJob = 5 * time.Millisecond
	// claimAhead is how long what is claimed ahead may have to wait.
	claimAhead = 20 * time.Millisecond
)

func newPace() pace { return pace{mean: time.Second} }

func (p *pace) add(d time.Duration) { p.mean += (d - p.mean) / paceOver }

// ahead is how many jobs more may be in hand than are executed at once.
func (s *Scheduler) ahead() int {
	if s.cfg.Ahead == 0 || s.pace.mean > shortJob {
		return 0
	}
	mean := max(s.pace.mean, 10*time.Microsecond)
	return min(s.cfg.Ahead, int(time.Duration(s.cfg.Concurrency)*claimAhead/mean))
}
