package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/sched"
)

// parseFaults reads what --faults says: a list that is read from left to right.
// "all" puts every rate to its default and "none" to 0; NAME puts one to its
// default, NAME=RATE to a rate.
func parseFaults(list []string) (sched.Rates, error) {
	rates := sim.DefaultRates()
	defaults := rates
	for _, item := range list {
		item = strings.TrimSpace(item)
		name, value, given := strings.Cut(item, "=")
		switch item {
		case "all":
			rates = defaults
			continue
		case "none":
			for _, k := range faultKinds() {
				rates[k] = 0
			}
			continue
		}
		kind, known := faults.KindNamed(name)
		if !known {
			return rates, fmt.Errorf("fault %q is not known; take all, none, or one of %s", name, strings.Join(faultNames(), ", "))
		}
		if rates[kind] = defaults[kind]; !given {
			continue
		}
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil || !(rate >= 0 && rate <= 1) {
			return rates, fmt.Errorf("fault %s=%s: the rate must be a number from 0 to 1", name, value)
		}
		rates[kind] = rate
	}
	return rates, nil
}

// faultKinds are the kinds of choices that are faults: all but who goes on.
func faultKinds() []sched.Kind {
	var kinds []sched.Kind
	for _, k := range faults.Kinds() {
		if k != sched.Next {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// faultNames are the names that --faults knows.
func faultNames() []string {
	var names []string
	for _, k := range faults.Kinds() {
		names = append(names, faults.KindName(k))
	}
	return names
}

func strategyNames() string {
	var names []string
	for _, s := range sim.Strategies() {
		names = append(names, string(s))
	}
	return strings.Join(names, ",")
}
