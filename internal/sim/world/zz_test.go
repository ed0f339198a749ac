package world_test

import (
	"fmt"
	"sort"
	"testing"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/trace"
)

func TestZZ(t *testing.T) {
	c := sim.DefaultConfig()
	var steps []int
	ops := map[string]int{}
	n := 400
	for seed := range uint64(n) {
		r, _, err := sim.Play(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, r.Steps)
		for _, e := range r.Events {
			if e.Kind == trace.Call {
				name := e.Op.String()
				if int(e.Actor) < len(r.Actors) {
					name = r.Actors[e.Actor][:4] + " " + name
				}
				ops[name]++
			} else {
				ops["KIND "+e.Kind.String()]++
			}
		}
	}
	sort.Ints(steps)
	for _, p := range []int{0, 1, 5, 10, 25, 50, 75, 90, 99} {
		fmt.Print(p, ":", steps[p*n/100], " ")
	}
	fmt.Println()
	var names []string
	for k := range ops {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool { return ops[names[i]] > ops[names[j]] })
	for _, k := range names {
		fmt.Printf("%6.2f %s\n", float64(ops[k])/float64(n), k)
	}
}
