package blobfiles

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// CountContents counts the objects of the bucket that are not marks of uploads.
func CountContents(t *testing.T, f *Files) int {
	t.Helper()
	objects := f.bucket.List(nil)
	for n := 0; ; {
		object, err := objects.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return n
		}
		require.NoError(t, err)
		if !strings.HasPrefix(object.Key, marksPrefix) {
			n++
		}
	}
}

// ReplaceFsync replaces os.File.Sync.
func ReplaceFsync(f *Files, fsync func(*os.File) error) { f.fsync = fsync }

// MakeFolder makes a folder and those above it.
func MakeFolder(f *Files, dir string) error { return f.makeFolder(dir) }
