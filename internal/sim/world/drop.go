package world

import (
	"fmt"
	"slices"
)

// Parts of a scenario can be left out: users' operations, the work of servers, and files of
// runs. What is left keeps its place, so that the deviations of a token still mean
// what they meant. Parts are numbered over the whole scenario, as it was made.

// Parts is how many parts can be left out. The first server's work cannot: without any,
// no run would ever close, whatever the code does.
func (s *Scenario) Parts() int {
	n := s.ops() + max(len(s.Servers)-1, 0)
	for i := range s.Runs {
		n += s.Runs[i].Files - 1
	}
	return n
}

// Ops is how many operations of users are left.
func (s *Scenario) Ops() int {
	n := 0
	for _, script := range s.Users {
		for i := range script {
			if !script[i].Dropped {
				n++
			}
		}
	}
	return n
}

func (s *Scenario) ops() int {
	n := 0
	for _, script := range s.Users {
		n += len(script)
	}
	return n
}

// Drop leaves out the parts of these numbers. It is called once on a scenario
// that is whole.
func (s *Scenario) Drop(parts []int) error {
	total := s.Parts()
	for _, p := range parts {
		if p < 0 || p >= total {
			return fmt.Errorf("world: there is no part %d of %d to leave out", p, total)
		}
	}
	at := 0
	for _, script := range s.Users {
		for i := range script {
			script[i].Dropped = slices.Contains(parts, at)
			at++
		}
	}
	for i := 1; i < len(s.Servers); i++ {
		s.Servers[i].Dropped = slices.Contains(parts, at)
		at++
	}
	for i := range s.Runs {
		for range s.Runs[i].Files - 1 {
			if slices.Contains(parts, at) {
				s.Runs[i].Files--
			}
			at++
		}
	}
	return nil
}
