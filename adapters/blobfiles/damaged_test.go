package blobfiles_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
)

func TestDamaged(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("a content of some length\n", 5000)
	for name, damaged := range map[string]string{
		"CutOff":  content[:len(content)-1],
		"Empty":   "",
		"Longer":  content + "x",
		"Changed": content[:70_000] + "X" + content[70_001:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := openDir(t, dir)
			ref := put(t, f, "acme", content)
			path := filesUnder(t, dir)[0]
			require.NoError(t, os.WriteFile(path, []byte(damaged), 0o600))

			r, err := f.Open(t.Context(), "acme", ref)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.ErrorIs(t, err, blobfiles.ErrDamaged)
			require.ErrorContains(t, err, string(ref))
			require.ErrorContains(t, err, "acme")
			require.Equal(t, damaged, string(got))
			// It stays so: no later read takes it for the end.
			_, again := r.Read(make([]byte, 1))
			require.Equal(t, err, again)
			require.NoError(t, r.Close())
		})
	}
}
