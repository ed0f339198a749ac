package filestest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// random gives the same n bytes for the same seed.
func random(seed byte, n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content) // never fails
	return content
}

func testRoundTrip(t *testing.T, s *subject) {
	contents := [][]byte{
		{},
		{0},
		[]byte("one line\n"),
		[]byte("\xff\xfe not UTF-8 \x00\r\n\x1a after"),
		bytes.Repeat([]byte{0}, 4096),
		random(1, 32*1024),
		random(2, 1<<20+1),
	}
	refs := map[core.FileRef]bool{}
	for _, content := range contents {
		stored := s.put(t, tenant, content)
		refs[stored.Ref] = true
		s.requireKept(t, tenant, stored.Ref, content)
	}
	require.Len(t, refs, len(contents))
	s.requireCount(t, len(contents))
	for _, content := range contents {
		s.requireKept(t, tenant, s.put(t, tenant, content).Ref, content)
	}
}

// testNotAliased: the stored content shares no memory with the slices of the writer and of
// the reader.
func testNotAliased(t *testing.T, s *subject) {
	given := []byte("as it was stored")
	want := bytes.Clone(given)
	stored, err := s.add(t.Context(), tenant, bytes.NewBuffer(given))
	require.NoError(t, err)
	clear(given)
	s.requireKept(t, tenant, stored.Ref, want)
	got, err := s.get(t.Context(), tenant, stored.Ref)
	require.NoError(t, err)
	clear(got)
	s.requireKept(t, tenant, stored.Ref, want)
}

// testLarge: a content too large to hold in memory, in pieces of odd sizes.
func testLarge(t *testing.T, s *subject) {
	const size = 24<<20 + 7
	given := sha256.New()
	content := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{9}), size), given)
	stored, err := s.add(t.Context(), tenant, iotest.HalfReader(content))
	require.NoError(t, err)
	require.Equal(t, int64(size), stored.Size)
	r, err := s.Files.Open(t.Context(), tenant, stored.Ref)
	require.NoError(t, err)
	got := sha256.New()
	n, err := io.Copy(got, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, int64(size), n)
	require.Equal(t, given.Sum(nil), got.Sum(nil))
}

// testSameContent: the content is the same for every way in which it arrives.
func testSameContent(t *testing.T, s *subject) {
	content := random(1, 5000)
	first := s.put(t, tenant, content)
	for _, reader := range []io.Reader{
		bytes.NewReader(content),
		iotest.OneByteReader(bytes.NewReader(content)),
		iotest.DataErrReader(bytes.NewReader(content)),
		io.MultiReader(bytes.NewReader(content[:1]), bytes.NewReader(nil), bytes.NewReader(content[1:])),
	} {
		stored, err := s.add(t.Context(), tenant, reader)
		require.NoError(t, err)
		require.Equal(t, first.Digest, stored.Digest)
		require.Equal(t, first.Size, stored.Size)
		s.requireKept(t, tenant, stored.Ref, content)
	}
	s.requireKept(t, tenant, first.Ref, content)
}

func testOtherContent(t *testing.T, s *subject) {
	base := random(1, 1000)
	changed := bytes.Clone(base)
	changed[len(changed)-1] ^= 1
	contents := [][]byte{base, changed, base[:999], append(bytes.Clone(base), 0)}
	refs := make([]core.FileRef, len(contents))
	for i, content := range contents {
		refs[i] = s.put(t, tenant, content).Ref
	}
	for i, content := range contents {
		s.requireKept(t, tenant, refs[i], content)
	}
	s.requireCount(t, len(contents))
}

// testOpenTwice: a task's file may be opened several times, at once too.
func testOpenTwice(t *testing.T, s *subject) {
	content := random(1, 100_000)
	ref := s.put(t, tenant, content).Ref
	first, err := s.Files.Open(t.Context(), tenant, ref)
	require.NoError(t, err)
	second, err := s.Files.Open(t.Context(), tenant, ref)
	require.NoError(t, err)
	begun := make([]byte, 1000)
	_, err = io.ReadFull(first, begun)
	require.NoError(t, err)
	require.Equal(t, content[:1000], begun)
	require.NoError(t, first.Close())
	all, err := io.ReadAll(second)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, all))
	require.NoError(t, second.Close())
	s.requireKept(t, tenant, ref, content)
}
