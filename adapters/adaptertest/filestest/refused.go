package filestest

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/ports"
)

func testReadingFails(t *testing.T, s *subject) {
	content := random(1, 300_000)
	for _, read := range []int{0, 1, 32 * 1024, 299_999, 300_000} {
		broken := io.MultiReader(bytes.NewReader(content[:read]), iotest.ErrReader(errBroken))
		stored, err := s.add(t.Context(), tenant, broken)
		require.ErrorIs(t, err, errBroken)
		require.Zero(t, stored)
		s.requireCount(t, 0)
	}
	_, err := s.add(t.Context(), tenant, io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	s.requireNothing(t, content[:32*1024], content)

	// After a content broke off, the earlier contents of the upload are kept, and it can
	// go on.
	_, u, err := s.begin(t.Context(), tenant)
	require.NoError(t, err)
	first, err := u.Add(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	_, err = u.Add(t.Context(), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errBroken)))
	require.ErrorIs(t, err, errBroken)
	third, err := u.Add(t.Context(), bytes.NewReader(content[:7]))
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context()))
	s.requireKept(t, tenant, first.Ref, content)
	s.requireKept(t, tenant, third.Ref, content[:7])
	s.requireCount(t, 4)
}

// testReaderPanics: a server recovers from the panic of one request, and must not keep a
// part of its file.
func testReaderPanics(t *testing.T, s *subject) {
	content := random(1, 100_000)
	require.PanicsWithValue(t, errBroken, func() {
		_, _ = s.add(t.Context(), tenant, io.MultiReader(bytes.NewReader(content), readerFunc(func([]byte) (int, error) {
			panic(errBroken)
		})))
	})
	s.requireNothing(t, content)
}

func testContextEnded(t *testing.T, s *subject) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	content := []byte("too late")
	stored, err := s.add(ended, tenant, bytes.NewReader(content))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, stored)
	s.requireNothing(t, content)

	ref := s.put(t, tenant, content).Ref
	r, err := s.Files.Open(ended, tenant, ref)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ports.ErrNotFound)
	require.Nil(t, r)
	stored, err = s.add(ended, tenant, bytes.NewReader(content))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, stored)
	s.requireKept(t, tenant, ref, content)
}

// testContextEndsWhileReading: the reader does not check ctx and goes on.
func testContextEndsWhileReading(t *testing.T, s *subject) {
	content := random(1, 300_000)
	for _, read := range []int{0, 1, 100_000, 300_000} {
		ctx, cancel := context.WithCancel(t.Context())
		cancelling := readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		})
		stored, err := s.add(ctx, tenant, io.MultiReader(bytes.NewReader(content[:read]), cancelling, bytes.NewReader(content[read:])))
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, stored)
		s.requireCount(t, 0)
	}
	s.requireNothing(t, content)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
