package blobfiles_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// BenchmarkUpload is an upload of small files into a folder, from its mark to the
// removal of the mark, on the disk that has the folder for temporary files.
func BenchmarkUpload(b *testing.B) {
	for _, files := range []int{1, 2000} {
		b.Run(fmt.Sprint("files=", files), func(b *testing.B) {
			f := openDir(b, b.TempDir())
			content := bytes.Repeat([]byte("a line of text\n"), 200)
			run := 0
			for b.Loop() {
				run++
				id := core.RunID(fmt.Sprint("run-", run))
				u, err := f.Begin(context.Background(), "acme", id, begun)
				require.NoError(b, err)
				for range files {
					_, err := u.Add(context.Background(), bytes.NewReader(content))
					require.NoError(b, err)
				}
				require.NoError(b, u.Commit(context.Background()))
				require.NoError(b, f.Keep(context.Background(), "acme", id))
			}
		})
	}
}
