package pgtest

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that runs as another user than the test must be able to remove its folder.
func TestHasRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.False(t, hasRoom(dir, 1), "other users cannot write there")
	require.NoError(t, os.Chmod(dir, 0o777))
	require.True(t, hasRoom(dir, 1))
	require.False(t, hasRoom(dir, math.MaxUint64), "no such space")
	require.False(t, hasRoom(filepath.Join(dir, "missing"), 1))
}
