package simulate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/simulate"
	"github.com/redrive/redrive/ports"
)

// eager is a store that means well: it begins a transaction again when the answer
// to its commit got lost. But the commit may have succeeded.
type eager struct{ ports.Store }

func (s eager) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	err := s.Store.InTx(ctx, tenant, fn)
	if errors.Is(err, ports.ErrCommitUnknown) {
		return s.Store.InTx(ctx, tenant, fn)
	}
	return err
}

// A search over your own options and wrappers, here with a mistake in one.
func Example() {
	config := simulate.Config{
		Options: app.Options{Retry: core.RetryPolicy{MaxTries: 1}},
		Seeds:   2000,
	}
	report, err := simulate.Run(context.Background(), config)
	fmt.Println(report.Seeds, "worlds:", report.Violation == nil, err)

	config.Wrap.Store = func(s ports.Store) ports.Store { return eager{s} }
	report, err = simulate.Run(context.Background(), config)
	fmt.Println("found:", report.Violation != nil, err)

	again, err := simulate.Replay(config, report.Violation.Token)
	fmt.Println("found again:", again.Violation.Rule == report.Violation.Rule, err)
	// Output:
	// 2000 worlds: true <nil>
	// found: true <nil>
	// found again: true <nil>
}
