package world

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

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
		s.Servers = append(s.Servers, s.Servers[0])
	}},
	{"last-credits", func(s *Scenario) {
		s.Tenants[0].Allowance, s.Tenants[0].Purchased = 1, 2 // enough for one of them
		s.first(1, Op{Kind: Continue})
		s.Runs = append(s.Runs, s.Runs[0])
		s.other(Op{Kind: Continue, Run: 1})
	}},
	{"initiate-recovery", func(s *Scenario) {
		s.Runs = []Run{{Files: 2, MaxRetryCount: 2}}
		s.Users = [][]Op{{{Kind: Initiate, Barrier: true}}}
		s.stay()
		s.RecoverLate = false
	}},
	{"interrupted-continues", func(s *Scenario) {
		s.first(1, Op{Kind: Continue})
		s.Runs[0].History = History{{Interrupted}}
		s.other(Op{Kind: Continue, Accepts: FirstPrice})
	}},
	{"fault-cancel", func(s *Scenario) {
		s.first(1, Op{Kind: Continue})
		s.other(Op{Kind: Cancel})
		s.Users = append(s.Users, []Op{{Kind: Break}})
		s.stay()
		s.Breaker, s.Unmended = true, true
	}},
	{"hot-tenant", func(s *Scenario) {
		s.Tenants[0].Allowance, s.Tenants[0].Purchased = 1, 3 // enough for two of the three
		s.first(1, Op{Kind: Continue})
		s.Runs = append(s.Runs, s.Runs[0], Run{Files: 1, MaxRetryCount: 2})
		s.other(Op{Kind: Continue, Run: 1})
		s.other(Op{Kind: Initiate, Run: 2})
	}},
	{"early-results", func(s *Scenario) {
		s.Templates[0].Mode = core.ModeBatch
		s.first(2, Op{Kind: Continue})
		s.other(Op{Kind: Cancel})
		s.stay()
		s.Early, s.RecoverLate = true, false
	}},
	{"shared-message", func(s *Scenario) {
		s.first(3, Op{Kind: Continue})
		s.stay()
		s.Servers = append(s.Servers, s.Servers[0])
	}},
	{"tenant-limit", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.stay()
		s.Servers[0] = Server{Concurrency: 2, Transactions: 2, TenantLimit: 1}
	}},
	{"stop-at-work", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.other(Op{Kind: Stop})
		s.stay()
	}},
	{"outbox", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.other(Op{Kind: Cancel})
		s.stay()
		s.Outbox, s.RecoverLate = true, false
	}},
	{"outbox-initiate", func(s *Scenario) {
		s.Runs = []Run{{Files: 2, MaxRetryCount: 2}}
		s.Users = [][]Op{{{Kind: Initiate, Barrier: true}}}
		s.stay()
		s.Outbox, s.RecoverLate = true, false
	}},
	{"rolling-upgrade", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.other(Op{Kind: Stop, Server: 1})
		s.stay()
		s.Servers = append(s.Servers, Server{Concurrency: 1, Transactions: 1, Old: true})
	}},
	{"sole-restart", func(s *Scenario) {
		s.first(2, Op{Kind: Continue})
		s.stay()
		s.RecoverLate = false
		s.alone()
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
			Name: name, Seed: 1, Start: time.Date(2026, time.November, firstDay, 12, 0, 0, 0, time.UTC),
			Tenants:   []Tenant{{ID: tenantIDs[0], Allowance: 10, Purchased: 10}},
			Templates: []Template{{ID: templateIDs[0], Price: 2, Mode: core.ModePerFile}},
			Servers:   []Server{{Concurrency: 1, Transactions: 1}}, Recoverers: 1, RecoverLate: true, FaultSteps: 500,
		}
		small[i].make(s)
		return s, nil
	}
	return nil, fmt.Errorf("world: scenario %q is not known; take one of %v", name, Small())
}

// first adds the run, whose files have all failed, and a user who asks op when
// everybody has come together.
func (s *Scenario) first(files int, op Op) {
	ends := make([]core.FileStatus, files)
	for i := range ends {
		ends[i] = core.FileFailed
	}
	s.Runs = append(s.Runs, Run{Files: files, MaxRetryCount: 2, History: History{ends}})
	s.other(op)
}

// other adds a user who asks op together with the others.
func (s *Scenario) other(op Op) {
	op.Barrier = true
	s.Users = append(s.Users, []Op{op})
}

// stay lets the first user continue once more when the run has closed: the search
// ends when users are done, and it is to go on until then.
func (s *Scenario) stay() {
	s.Users[0] = append(s.Users[0], Op{Kind: Continue})
}
