package partial_test

import (
	"testing"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/partial"
	"github.com/redrive/redrive/ports"
)

// It does what tests rely on, as a real one does.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	storetest.RunIncomplete(t, func(*testing.T) (ports.Store, func(core.TenantID) func()) {
		s := partial.New(memory.NewStore())
		return s, func(tenant core.TenantID) func() {
			s.Cut(tenant, "tenant-0", "tenant-6")
			return s.Heal
		}
	})
}
