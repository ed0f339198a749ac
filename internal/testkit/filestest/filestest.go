// Package filestest is the conformance suite of ports.Files. Every adapter runs
// it from a test of its own:
//
//	func TestFiles(t *testing.T) {
//		filestest.Run(t, func(t *testing.T) filestest.Subject {
//			f := newFiles(t)
//			return filestest.Subject{Files: f, Count: f.count}
//		})
//	}
package filestest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Subject is an adapter under test.
type Subject struct {
	Files ports.Files
	// Count says how many contents are kept, of all tenants together. Whatever a
	// failed Put leaves behind counts too.
	Count func(t *testing.T) int
}

// Factory gives new Files without any content, in which the same content of the
// same tenant has the same reference as in the others that it gives. It registers with t whatever has
// to be closed or removed afterwards. Subtests call it in parallel.
type Factory func(t *testing.T) Subject

// Run runs the whole suite.
func Run(t *testing.T, newFiles Factory) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *subject)
	}{
		{"RoundTrip", testRoundTrip},
		{"NotAliased", testNotAliased},
		{"Large", testLarge},
		{"SameContent", testSameContent},
		{"OtherContent", testOtherContent},
		{"OpenTwice", testOpenTwice},
		{"Tenants/KeptApart", testTenantsKeptApart},
		{"Tenants/SameContent", testTenantsSameContent},
		{"Tenants/AwkwardNames", testTenantsAwkwardNames},
		{"UnknownReference", testUnknownReference},
		{"ReadingFails", testReadingFails},
		{"ReaderPanics", testReaderPanics},
		{"ContextEnded", testContextEnded},
		{"ContextEndsWhileReading", testContextEndsWhileReading},
		{"AtOnce/SameContent", testAtOnceSameContent},
		{"AtOnce/OtherContents", testAtOnceOtherContents},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, &subject{newFiles(t)})
		})
	}
	t.Run("AtOnce/NeverInPart", func(t *testing.T) {
		t.Parallel()
		testAtOnceNeverInPart(t, &subject{newFiles(t)}, &subject{newFiles(t)})
	})
}

const (
	tenant = core.TenantID("tenant-a")
	other  = core.TenantID("tenant-b")
)

// errBroken is what reading fails with.
var errBroken = errors.New("the connection broke")

type subject struct{ Subject }

func (s *subject) put(t *testing.T, tenant core.TenantID, content []byte) ports.Stored {
	t.Helper()
	stored, err := s.Files.Put(t.Context(), tenant, bytes.NewReader(content))
	require.NoError(t, err)
	require.Equal(t, int64(len(content)), stored.Size)
	require.NotEmpty(t, stored.Ref)
	return stored
}

// requireKept reads a content to its end.
func (s *subject) requireKept(t *testing.T, tenant core.TenantID, ref core.FileRef, want []byte) {
	t.Helper()
	got, err := s.get(t.Context(), tenant, ref)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d bytes were stored, %d read, not the same", len(want), len(got))
}

func (s *subject) get(ctx context.Context, tenant core.TenantID, ref core.FileRef) ([]byte, error) {
	r, err := s.Files.Open(ctx, tenant, ref)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func (s *subject) requireUnknown(t *testing.T, tenant core.TenantID, ref core.FileRef) {
	t.Helper()
	r, err := s.Files.Open(t.Context(), tenant, ref)
	require.ErrorIs(t, err, ports.ErrNotFound, "tenant %q, reference %q", tenant, ref)
	require.Nil(t, r)
}

func (s *subject) requireCount(t *testing.T, want int) {
	t.Helper()
	require.Equal(t, want, s.Count(t), "number of contents that are kept")
}

// requireNothing checks after a failed Put that nothing is kept, and that it
// does not stand in the way of the same content.
func (s *subject) requireNothing(t *testing.T, contents ...[]byte) {
	t.Helper()
	s.requireCount(t, 0)
	for i, content := range contents {
		s.requireKept(t, tenant, s.put(t, tenant, content).Ref, content)
		s.requireCount(t, i+1)
	}
}
