package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// load is how many jobs there are, and how they come: so many groups, each
// handed over by one call. A group is a run for Redrive and one InsertManyFast
// for River.
type load struct {
	groups int
	each   int
}

func (l load) jobs() int { return l.groups * l.each }

func (l load) String() string { return fmt.Sprintf("%d × %d", l.groups, l.each) }

// parseLoads reads a list such as 1x10000,20x1000.
func parseLoads(s string) ([]load, error) {
	var loads []load
	for _, part := range strings.Split(s, ",") {
		var l load
		if _, err := fmt.Sscanf(part, "%dx%d", &l.groups, &l.each); err != nil || l.jobs() < 1 {
			return nil, fmt.Errorf("load %q is not of the form 20x1000", part)
		}
		loads = append(loads, l)
	}
	return loads, nil
}

func parseNumbers(s string) ([]int, error) {
	var numbers []int
	for _, part := range strings.Split(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", part)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// clients hands the groups over by this many callers at once.
const clients = 8

// eachGroup calls do for every group, clients at once, and gives the first error.
func (l load) eachGroup(do func(group int) error) error {
	var (
		wait  sync.WaitGroup
		once  sync.Once
		first error
	)
	next := make(chan int)
	for range min(clients, l.groups) {
		wait.Go(func() {
			for group := range next {
				if err := do(group); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for group := range l.groups {
		next <- group
	}
	close(next)
	wait.Wait()
	return first
}

// figures are jobs a second.
type figures struct {
	endToEnd float64 // from the first call that hands over to the last result recorded
	workOnly float64 // everything was handed over before the workers started
	again    float64 // end to end of a Continue of every file; Redrive only
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
