package blobfiles_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/filestest"
	"github.com/redrive/redrive/ports"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (f *blobfiles.Files, folder string){
		"Folder": func(t *testing.T) (*blobfiles.Files, string) {
			dir := filepath.Join(t.TempDir(), "files")
			return openDir(t, dir), dir
		},
		"FileURL": func(t *testing.T) (*blobfiles.Files, string) {
			dir := filepath.Join(t.TempDir(), "files")
			return open(t, "file://"+filepath.ToSlash(dir)+"?create_dir=1"), dir
		},
		"FileURLWithPrefix": func(t *testing.T) (*blobfiles.Files, string) {
			dir := t.TempDir()
			return open(t, "file://"+filepath.ToSlash(dir)+"?prefix=some/path/"), dir
		},
		"Memory": func(t *testing.T) (*blobfiles.Files, string) { return open(t, "mem://"), "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filestest.Run(t, func(t *testing.T) filestest.Subject {
				f, folder := open(t)
				return filestest.Subject{Files: f, Count: func(t *testing.T) int {
					objects := blobfiles.CountObjects(t, f)
					if folder != "" {
						// The driver lists neither sidecars nor what was left over.
						require.Len(t, filesUnder(t, folder), objects)
					}
					return objects
				}}
			})
		})
	}
}

func open(t *testing.T, url string) *blobfiles.Files {
	t.Helper()
	f, err := blobfiles.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func openDir(t *testing.T, dir string) *blobfiles.Files {
	t.Helper()
	f, err := blobfiles.OpenDir(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

// filesUnder gives the paths of all files in a folder and below.
func filesUnder(t *testing.T, dir string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

func put(t *testing.T, f *blobfiles.Files, tenant core.TenantID, content string) core.FileRef {
	t.Helper()
	stored, err := f.Put(t.Context(), tenant, strings.NewReader(content))
	require.NoError(t, err)
	require.Equal(t, int64(len(content)), stored.Size)
	return stored.Ref
}

func read(t *testing.T, f *blobfiles.Files, tenant core.TenantID, ref core.FileRef) (string, error) {
	t.Helper()
	r, err := f.Open(t.Context(), tenant, ref)
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, r.Close())
	return string(content), err
}

// What is written where is a promise: a later version has to find it.
func TestLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	ref := put(t, f, "Acme", "hello")
	digest := sha256.Sum256([]byte("hello"))
	digits := hex.EncodeToString(digest[:])
	require.Equal(t, core.FileRef("sha256:"+digits), ref)
	path := filepath.Join(dir, "41636d65", digits[:2], digits)
	require.Equal(t, []string{path}, filesUnder(t, dir))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "hello", string(content))
}

func TestReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := blobfiles.OpenDir(dir)
	require.NoError(t, err)
	ref := put(t, first, "acme", "to stay")
	require.NoError(t, first.Close())
	_, err = first.Put(t.Context(), "acme", strings.NewReader("after the end"))
	require.Error(t, err)
	_, err = first.Open(t.Context(), "acme", ref)
	require.Error(t, err)
	require.NotErrorIs(t, err, ports.ErrNotFound)

	for _, second := range []*blobfiles.Files{openDir(t, dir), open(t, "file://"+filepath.ToSlash(dir))} {
		got, err := read(t, second, "acme", ref)
		require.NoError(t, err)
		require.Equal(t, "to stay", got)
		require.Equal(t, ref, put(t, second, "acme", "to stay"))
	}
	require.Len(t, filesUnder(t, dir), 1)
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	base := t.TempDir()
	viaURL := filepath.Join(base, "new", "url")
	put(t, openDir(t, filepath.Join(base, "new", "dir")), "acme", "private")
	put(t, open(t, "file://"+viaURL+"?create_dir=1&dir_file_mode=0777&no_tmp_dir=&metadata="), "acme", "private")
	require.NoError(t, filepath.WalkDir(filepath.Join(base, "new"), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if d.IsDir() {
			require.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), path)
		} else {
			require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), path)
		}
		return nil
	}))
	require.Len(t, filesUnder(t, base), 2)
}

func TestTenantRefused(t *testing.T) {
	t.Parallel()
	f := open(t, "mem://")
	ref := put(t, f, "acme", "hello")
	for _, tenant := range []core.TenantID{"", core.TenantID(strings.Repeat("x", core.MaxIDLength+1))} {
		_, err := f.Put(t.Context(), tenant, strings.NewReader("hello"))
		require.ErrorContains(t, err, "tenant's ID")
		_, err = f.Open(t.Context(), tenant, ref)
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	require.Equal(t, 1, blobfiles.CountObjects(t, f))
}

// A storage that cannot be read must not look like a file that is not there.
func TestFaultIsNotNotFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	ref := put(t, f, "acme", "hello")
	folder := filepath.Dir(filepath.Dir(filesUnder(t, dir)[0]))
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.WriteFile(folder, nil, 0o600))
	_, err := f.Open(t.Context(), "acme", ref)
	require.Error(t, err)
	require.NotErrorIs(t, err, ports.ErrNotFound)
	stored, err := f.Put(t.Context(), "acme", strings.NewReader("hello"))
	require.Error(t, err)
	require.Zero(t, stored)
}

// The reader neither ends nor looks at ctx.
func TestPutStopsWithContext(t *testing.T) {
	t.Parallel()
	f := open(t, "mem://")
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 20 {
			cancel()
		}
		return len(p), nil
	})
	_, err := f.Put(ctx, "acme", endless)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 20, reads)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Not parallel: it counts all that the process allocates, and sets TMPDIR.
func TestPutOfLargeContent(t *testing.T) {
	temp, dir := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	f := openDir(t, dir)
	const size = 64 << 20
	content := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var ref core.FileRef
	for range 2 { // written, then read back
		stored, err := f.Put(t.Context(), "acme", content())
		require.NoError(t, err)
		require.Equal(t, int64(size), stored.Size)
		ref = stored.Ref
	}
	r, err := f.Open(t.Context(), "acme", ref)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.Equal(t, int64(size), n)
	require.NoError(t, r.Close())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "bytes allocated in all")

	require.Empty(t, filesUnder(t, temp))
}

// Not parallel: it sets TMPDIR and counts the open files of the process.
func TestPutLeavesNothing(t *testing.T) {
	temp, dir := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	f := openDir(t, dir)
	put(t, f, "acme", "the only one")
	before := openFiles(t)
	_, err := f.Put(t.Context(), "acme", io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func([]byte) (int, error) {
		if runtime.GOOS != "windows" {
			// A process that is killed now leaves nothing either.
			require.Empty(t, filesUnder(t, temp))
		}
		return 0, errBroken
	})))
	require.ErrorIs(t, err, errBroken)
	require.Panics(t, func() {
		_, _ = f.Put(t.Context(), "acme", io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func([]byte) (int, error) { panic(errBroken) })))
	})
	put(t, f, "acme", "the only one")
	require.Equal(t, before, openFiles(t))
	require.Len(t, filesUnder(t, dir), 1)
	require.Empty(t, filesUnder(t, temp))
}

// openFiles counts the files that the process has open, where that is easy.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

var errBroken = errors.New("the connection broke")
