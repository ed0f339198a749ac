package filestest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// requireLeftovers checks the marks of uploads that were begun before a time.
func (s *subject) requireLeftovers(t *testing.T, before time.Time, want ...ports.Leftover) {
	t.Helper()
	var got []ports.Leftover
	for left, err := range s.Files.Leftovers(t.Context(), before) {
		require.NoError(t, err)
		require.Equal(t, time.UTC, left.Begun.Location())
		got = append(got, left)
	}
	require.ElementsMatch(t, want, got)
}

// testUploadsAwkwardNames: all valid IDs of runs are different uploads, and so is the same
// ID of another tenant.
func testUploadsAwkwardNames(t *testing.T, s *subject) {
	ids := []core.RunID{
		".", "..", "...", ".hidden", "-", "_", "a.", "a", "A", "run", "Run", "RUN", "x.61", "x.41", "x.", "run.tmp", "run.attrs",
		"runs", "uploads", "con", "0", "00", "~",
		core.RunID(strings.Repeat("x", core.MaxIDLength)), core.RunID(strings.Repeat("X", core.MaxIDLength)),
		core.RunID(strings.Repeat("x", core.MaxIDLength-1)), core.RunID(strings.Repeat(".", core.MaxIDLength)),
	}
	tenants := []core.TenantID{tenant, other, core.TenantID(strings.Repeat("X", core.MaxIDLength))}
	content := func(tenant core.TenantID, id core.RunID) []byte {
		return []byte("of " + string(tenant) + " in " + string(id))
	}
	refs := map[core.TenantID][]core.FileRef{}
	var all []ports.Leftover
	for _, tenant := range tenants {
		for _, id := range ids {
			u, err := s.Files.Begin(t.Context(), tenant, id, begun)
			require.NoError(t, err)
			stored, err := u.Add(t.Context(), bytes.NewReader(content(tenant, id)))
			require.NoError(t, err)
			require.NoError(t, u.Commit(t.Context()))
			refs[tenant] = append(refs[tenant], stored.Ref)
			all = append(all, ports.Leftover{Tenant: tenant, Upload: id, Begun: begun})
		}
	}
	s.requireLeftovers(t, begun.Add(1), all...)
	for _, tenant := range tenants {
		for i, id := range ids {
			s.requireKept(t, tenant, refs[tenant][i], content(tenant, id))
		}
	}
	// Each is removed independently.
	for n, left := range all {
		s.requireCount(t, len(all)-n)
		require.NoError(t, s.Files.Remove(t.Context(), left.Tenant, left.Upload))
	}
	s.requireCount(t, 0)
	s.requireLeftovers(t, begun.Add(1))
}

// testSideBySide: two uploads of one tenant with the same contents. Removing one does not
// affect the other.
func testSideBySide(t *testing.T, s *subject) {
	a, b := random(1, 1000), random(2, 2000)
	idOne, one, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	idTwo, two, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	var refs []core.FileRef
	for _, content := range [][]byte{a, b, a} {
		for _, u := range []ports.Upload{one, two} {
			stored, err := u.Add(t.Context(), bytes.NewReader(content))
			require.NoError(t, err)
			refs = append(refs, stored.Ref)
		}
	}
	require.NoError(t, two.Commit(t.Context()))
	require.NoError(t, s.Files.Remove(t.Context(), tenant, idOne))
	for i, content := range [][]byte{a, b, a} {
		s.requireUnknown(t, tenant, refs[2*i])
		s.requireKept(t, tenant, refs[2*i+1], content)
	}
	s.requireLeftovers(t, begun.Add(1), ports.Leftover{Tenant: tenant, Upload: idTwo, Begun: begun})
	require.NoError(t, s.Files.Keep(t.Context(), tenant, idTwo))
	s.requireLeftovers(t, begun.Add(1))
	s.requireKept(t, tenant, refs[1], a)
}

// testLeftovers: Leftovers gives uploads that were begun before a time and neither kept nor
// removed.
func testLeftovers(t *testing.T, s *subject) {
	var all []ports.Leftover
	for i := range 30 {
		left := ports.Leftover{
			Tenant: core.TenantID(fmt.Sprint("tenant-", i%3)), Upload: core.RunID(fmt.Sprint("run-", i)),
			Begun: begun.Add(time.Duration(i)*time.Minute + 123456789),
		}
		_, err := s.Files.Begin(t.Context(), left.Tenant, left.Upload, left.Begun)
		require.NoError(t, err)
		all = append(all, left)
	}
	s.requireLeftovers(t, begun)
	s.requireLeftovers(t, all[0].Begun)
	s.requireLeftovers(t, all[10].Begun, all[:10]...)
	s.requireLeftovers(t, begun.Add(time.Hour), all...)
	require.NoError(t, s.Files.Keep(t.Context(), all[0].Tenant, all[0].Upload))
	require.NoError(t, s.Files.Remove(t.Context(), all[1].Tenant, all[1].Upload))
	// Another tenant's upload of the same ID is another upload.
	require.NoError(t, s.Files.Keep(t.Context(), all[3].Tenant, all[2].Upload))
	require.NoError(t, s.Files.Remove(t.Context(), all[3].Tenant, all[2].Upload))
	s.requireLeftovers(t, begun.Add(time.Hour), all[2:]...)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Files.Leftovers(ended, begun.Add(time.Hour)) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

// testLeftoversWhileSettling: a sweep settles leftovers while it lists them, and may stop
// early.
func testLeftoversWhileSettling(t *testing.T, s *subject) {
	const n = 25
	for i := range n {
		id, u, err := s.begin(t.Context(), tenant)
		require.NoError(t, err)
		_, err = u.Add(t.Context(), bytes.NewReader(random(byte(i), 100)))
		require.NoError(t, err)
		require.NotEmpty(t, id)
	}
	seen := 0
	for left, err := range s.Files.Leftovers(t.Context(), begun.Add(1)) {
		require.NoError(t, err)
		if seen++; seen > 20 {
			break
		}
		if seen%2 == 0 {
			require.NoError(t, s.Files.Keep(t.Context(), left.Tenant, left.Upload))
		} else {
			require.NoError(t, s.Files.Remove(t.Context(), left.Tenant, left.Upload))
		}
	}
	require.Equal(t, 21, seen)
	s.requireCount(t, n-10)
	left := 0
	for _, err := range s.Files.Leftovers(t.Context(), begun.Add(1)) {
		require.NoError(t, err)
		left++
	}
	require.Equal(t, n-20, left)
}

func testRemoved(t *testing.T, s *subject) {
	id, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	var refs []core.FileRef
	for i := range 40 {
		stored, err := u.Add(t.Context(), bytes.NewReader(random(byte(i), 500)))
		require.NoError(t, err)
		refs = append(refs, stored.Ref)
	}
	require.NoError(t, u.Commit(t.Context()))
	for range 2 { // a repeat has no effect
		require.NoError(t, s.Files.Remove(t.Context(), tenant, id))
		for _, ref := range refs {
			s.requireUnknown(t, tenant, ref)
		}
		s.requireCount(t, 0)
		s.requireLeftovers(t, begun.Add(1))
	}
	require.NoError(t, s.Files.Remove(t.Context(), tenant, "never-begun"))
	require.NoError(t, s.Files.Keep(t.Context(), tenant, "never-begun"))
	s.requireLeftovers(t, begun.Add(1))
}

// testRemovedBeforeCommit: Commit fails for an upload that was swept, so that no run is
// made of it.
func testRemovedBeforeCommit(t *testing.T, s *subject) {
	id, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	_, err = u.Add(t.Context(), strings.NewReader("of an upload that took very long"))
	require.NoError(t, err)
	require.NoError(t, s.Files.Remove(t.Context(), tenant, id))
	require.Error(t, u.Commit(t.Context()))
	s.requireCount(t, 0)
}

// testKept: an upload of a run is never removed, not even by a mistaken call.
func testKept(t *testing.T, s *subject) {
	content := random(1, 1000)
	id, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	stored, err := u.Add(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context()))
	for range 2 {
		require.NoError(t, s.Files.Keep(t.Context(), tenant, id))
		require.NoError(t, s.Files.Remove(t.Context(), tenant, id))
		s.requireKept(t, tenant, stored.Ref, content)
	}
	s.requireLeftovers(t, begun.Add(time.Hour))
}

func testEmptyUpload(t *testing.T, s *subject) {
	id, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context()))
	s.requireCount(t, 0)
	s.requireLeftovers(t, begun.Add(1), ports.Leftover{Tenant: tenant, Upload: id, Begun: begun})
	require.NoError(t, s.Files.Remove(t.Context(), tenant, id))
	s.requireLeftovers(t, begun.Add(1))
}

func testBegunTwice(t *testing.T, s *subject) {
	id, _, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	u, err := s.Files.Begin(t.Context(), tenant, id, begun)
	require.ErrorIs(t, err, ports.ErrExists)
	require.Nil(t, u)
	_, err = s.Files.Begin(t.Context(), other, id, begun)
	require.NoError(t, err)
}

// testSettlingContextEnded: a call whose context has ended has no effect.
func testSettlingContextEnded(t *testing.T, s *subject) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	u, err := s.Files.Begin(ended, tenant, "late", begun)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, u)
	s.requireLeftovers(t, begun.Add(1))

	id, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	stored, err := u.Add(t.Context(), strings.NewReader("text"))
	require.NoError(t, err)
	require.ErrorIs(t, u.Commit(ended), context.Canceled)
	require.ErrorIs(t, s.Files.Remove(ended, tenant, id), context.Canceled)
	require.ErrorIs(t, s.Files.Keep(ended, tenant, id), context.Canceled)
	s.requireLeftovers(t, begun.Add(1), ports.Leftover{Tenant: tenant, Upload: id, Begun: begun})
	require.NoError(t, u.Commit(t.Context()))
	s.requireKept(t, tenant, stored.Ref, []byte("text"))
}
