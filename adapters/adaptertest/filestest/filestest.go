package filestest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Subject is an adapter under test.
type Subject struct {
	Files ports.Files
	// Count gives the number of stored contents of all tenants. Remains of a failed Add
	// count too; the marks of uploads do not.
	Count func(t *testing.T) int
}

// Factory gives new Files without any content. The same content of the same upload must
// have the same reference in all of them. It registers clean-ups with t. Subtests call it
// in parallel.
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
		{"AtOnce/Uploads", testAtOnceUploads},
		{"Uploads/AwkwardNames", testUploadsAwkwardNames},
		{"Uploads/SideBySide", testSideBySide},
		{"Uploads/Leftovers", testLeftovers},
		{"Uploads/LeftoversWhileSettling", testLeftoversWhileSettling},
		{"Uploads/Removed", testRemoved},
		{"Uploads/RemovedBeforeCommit", testRemovedBeforeCommit},
		{"Uploads/Kept", testKept},
		{"Uploads/Empty", testEmptyUpload},
		{"Uploads/BegunTwice", testBegunTwice},
		{"Uploads/ContextEnded", testSettlingContextEnded},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newSubject(t, newFiles))
		})
	}
	t.Run("AtOnce/NeverInPart", func(t *testing.T) {
		t.Parallel()
		testAtOnceNeverInPart(t, newSubject(t, newFiles), newSubject(t, newFiles))
	})
}

const (
	tenant = core.TenantID("tenant-a")
	other  = core.TenantID("tenant-b")
)

// errBroken is the error of the readers of this package.
var errBroken = errors.New("the connection broke")

// begun is when uploads are begun, unless a test says otherwise.
var begun = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

type subject struct {
	Subject
	uploads atomic.Int64
}

func newSubject(t *testing.T, newFiles Factory) *subject { return &subject{Subject: newFiles(t)} }

// begin begins an upload with a unique name.
func (s *subject) begin(ctx context.Context, tenant core.TenantID) (core.RunID, ports.Upload, error) {
	id := core.RunID(fmt.Sprintf("upload-%d", s.uploads.Add(1)))
	u, err := s.Files.Begin(ctx, tenant, id, begun)
	return id, u, err
}

// add adds one content to an upload of its own, which stays open.
func (s *subject) add(ctx context.Context, tenant core.TenantID, content io.Reader) (ports.Stored, error) {
	_, u, err := s.begin(context.WithoutCancel(ctx), tenant)
	if err != nil {
		return ports.Stored{}, err
	}
	return u.Add(ctx, content)
}

// store makes an upload of some contents and keeps it.
func (s *subject) store(ctx context.Context, tenant core.TenantID, contents ...[]byte) ([]ports.Stored, error) {
	id, u, err := s.begin(ctx, tenant)
	if err != nil {
		return nil, err
	}
	stored := make([]ports.Stored, len(contents))
	for i, content := range contents {
		if stored[i], err = u.Add(ctx, bytes.NewReader(content)); err != nil {
			return nil, err
		}
	}
	if err := u.Commit(ctx); err != nil {
		return nil, err
	}
	return stored, s.Files.Keep(ctx, tenant, id)
}

func (s *subject) put(t *testing.T, tenant core.TenantID, content []byte) ports.Stored {
	t.Helper()
	stored, err := s.store(t.Context(), tenant, content)
	require.NoError(t, err)
	require.Equal(t, ports.Stored{Ref: stored[0].Ref, Size: int64(len(content)), Digest: digestOf(content)}, stored[0])
	require.NotEmpty(t, stored[0].Ref)
	return stored[0]
}

func digestOf(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
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

// requireNothing checks that a failed Add left nothing, and that the same content can be
// added afterwards.
func (s *subject) requireNothing(t *testing.T, contents ...[]byte) {
	t.Helper()
	s.requireCount(t, 0)
	for i, content := range contents {
		s.requireKept(t, tenant, s.put(t, tenant, content).Ref, content)
		s.requireCount(t, i+1)
	}
}
