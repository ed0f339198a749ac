package world

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

// smallSeed makes the first execution of a file fail, so that there is something
// to continue.
const smallSeed = 1

// small are scenarios that can be searched exhaustively: a few users at one run.
var small = []struct {
	name string
	make func(s *Scenario)
}{
	{"two-continues", func(s *Scenario) {
		s.first(1, Op{Kind: Continue})
		s.other(Op{Kind: Continue})
	}},
	{"three-continues", func(s *Scenario) {
		s.first(1, Op{Kind: Continue})
		s.other(Op{Kind: Continue})
		s.other(Op{Kind: Continue})
	}},
	{"same-key", func(s *Scenario) {
		s.first(1, Op{Kind: Continue, Key: "same", Again: true})
		s.other(Op{Kind: Continue, Key: "same", Again: true})
	}},
	{"continue-cancel", func(s *Scenario) {
		s.first(1, Op{Kind: Continue})
		s.other(Op{Kind: Cancel})
	}},
	{"continue-recovery", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.stay()
		s.RecoverLate = false
	}},
	{"enqueue-claim", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.stay()
		s.Workers = append(s.Workers, Worker{Limit: 1})
	}},
	{"last-credits", func(s *Scenario) {
		s.Seed = 11                                           // both runs fail
		s.Tenants[0].Allowance, s.Tenants[0].Purchased = 9, 2 // 3 + 3 to initiate, 5 for one Continue
		s.Templates[0].Price = 3
		s.first(1, Op{Kind: Continue})
		s.Runs = append(s.Runs, Run{Files: 1, MaxRetryCount: 2})
		s.Users = append(s.Users, []Op{{Kind: Initiate, Run: 1}, {Kind: Continue, Run: 1, Together: true}})
	}},
	{"initiate-recovery", func(s *Scenario) {
		s.Runs = []Run{{Files: 2, MaxRetryCount: 2}}
		s.Users = [][]Op{{{Kind: Initiate, Together: true}}}
		s.stay()
		s.RecoverLate = false
	}},
}

// Small lists the names of the small scenarios.
func Small() []string {
	names := make([]string, len(small))
	for i := range small {
		names[i] = small[i].name
	}
	return names
}

// Named makes a small scenario.
func Named(name string) (*Scenario, error) {
	for i := range small {
		if small[i].name != name {
			continue
		}
		s := &Scenario{
			Name: name, Seed: smallSeed, Start: time.Date(2026, time.November, firstDay, 12, 0, 0, 0, time.UTC),
			Tenants:   []Tenant{{ID: tenantIDs[0], Allowance: 10, Purchased: 10}},
			Templates: []Template{{ID: templateIDs[0], Price: 2, Mode: core.ModePerFile}},
			Processes: 1, Workers: []Worker{{Limit: 1}}, Recoverers: 1, RecoverLate: true, FaultSteps: 500,
		}
		small[i].make(s)
		return s, nil
	}
	return nil, fmt.Errorf("world: scenario %q is not known; take one of %v", name, Small())
}

// first adds the user who initiates the run, and then asks op when it has closed
// and everybody has come together.
func (s *Scenario) first(files int, op Op) {
	op.Together = true
	s.Runs = append(s.Runs, Run{Files: files, MaxRetryCount: 2})
	s.Users = append(s.Users, []Op{{Kind: Initiate}, op})
}

// other adds a user who asks op together with the first one.
func (s *Scenario) other(op Op) {
	op.Together = true
	s.Users = append(s.Users, []Op{op})
}

// stay lets the first user continue once more when the run has closed: the search
// ends when users are done, and it is to go on until then.
func (s *Scenario) stay() {
	s.Users[0] = append(s.Users[0], Op{Kind: Continue})
}
