package blobfiles_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Contents are copied under their references, whole and once; what is damaged at the target
// is copied again, and what cannot be read at the source is named.
func TestAdopt(t *testing.T) {
	t.Parallel()
	fromDir, toDir := t.TempDir(), t.TempDir()
	from, to := openDir(t, fromDir), openDir(t, toDir)
	content := strings.Repeat("a content\n", 10_000)
	refs := []core.FileRef{put(t, from, "acme", content), put(t, from, "acme", ""), put(t, from, "acme", "short")}
	a, err := to.Adopt(t.Context(), from, "acme", append(refs, "no such ref"))
	require.NoError(t, err)
	require.Equal(t, 3, a.Copied)
	require.EqualValues(t, len(content)+5, a.Bytes)
	require.Equal(t, []core.FileRef{"no such ref"}, a.Unreadable)
	for i, want := range []string{content, "", "short"} {
		r, err := to.Open(t.Context(), "acme", refs[i])
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.NoError(t, r.Close())
	}
	for _, path := range filesUnder(t, toDir) {
		require.NoError(t, os.WriteFile(path, []byte("torn by a crash"), 0o600))
		break
	}
	a, err = to.Adopt(t.Context(), from, "acme", refs)
	require.NoError(t, err)
	require.Equal(t, 1, a.Copied)
	require.Equal(t, 2, a.There)

	// Another tenant has none of them.
	a, err = to.Adopt(t.Context(), from, "bolt", refs)
	require.NoError(t, err)
	require.Len(t, a.Unreadable, 3)

	for _, path := range filesUnder(t, fromDir) {
		require.NoError(t, os.WriteFile(path, []byte("damaged"), 0o600))
	}
	empty := openDir(t, t.TempDir())
	a, err = empty.Adopt(t.Context(), from, "acme", refs)
	require.NoError(t, err)
	require.Len(t, a.Unreadable, 3)
	require.Zero(t, a.Copied)
}
