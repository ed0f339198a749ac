package blobfiles

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// CountObjects says how many objects the bucket has.
func CountObjects(t *testing.T, f *Files) int {
	t.Helper()
	objects := f.bucket.List(nil)
	for n := 0; ; n++ {
		_, err := objects.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return n
		}
		require.NoError(t, err)
	}
}

// ReplaceFsync puts another in the place of os.File.Sync.
func ReplaceFsync(f *Files, fsync func(*os.File) error) { f.fsync = fsync }

// MakeFolder makes a folder and those above it.
func MakeFolder(f *Files, dir string) error { return f.makeFolder(dir) }
