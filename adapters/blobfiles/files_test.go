package blobfiles_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/filestest"
	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/core"
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
					objects := blobfiles.CountContents(t, f)
					if folder != "" {
						// The driver does not list everything that may be left over.
						require.Len(t, contentsUnder(t, folder), objects)
					}
					return objects
				}}
			})
		})
	}
}

func open(t testing.TB, url string) *blobfiles.Files {
	t.Helper()
	f, err := blobfiles.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func openDir(t testing.TB, dir string) *blobfiles.Files {
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

// contentsUnder gives the paths of all files but the marks of uploads.
func contentsUnder(t *testing.T, dir string) (paths []string) {
	t.Helper()
	for _, path := range filesUnder(t, dir) {
		if slashed := filepath.ToSlash(path); strings.Contains(slashed, "/runs/") || !strings.Contains(slashed, "/uploads/") {
			paths = append(paths, path)
		}
	}
	return paths
}

var begun = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

var uploads atomic.Int64

// begin begins an upload with a unique name.
func begin(t *testing.T, f *blobfiles.Files, tenant core.TenantID) (core.RunID, ports.Upload) {
	t.Helper()
	id := core.RunID(fmt.Sprintf("upload-%d", uploads.Add(1)))
	u, err := f.Begin(t.Context(), tenant, id, begun)
	require.NoError(t, err)
	return id, u
}

// put is an upload of one content that is kept.
func put(t *testing.T, f *blobfiles.Files, tenant core.TenantID, content string) core.FileRef {
	t.Helper()
	id, u := begin(t, f, tenant)
	stored, err := u.Add(t.Context(), strings.NewReader(content))
	require.NoError(t, err)
	require.Equal(t, int64(len(content)), stored.Size)
	require.NoError(t, u.Commit(t.Context()))
	require.NoError(t, f.Keep(t.Context(), tenant, id))
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

// The layout is fixed: later versions have to find the contents.
func TestLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	for id, folder := range map[core.RunID]string{"0199-run": "0199-run", "Run_1": "x.52756e5f31"} {
		u, err := f.Begin(t.Context(), "Acme", id, begun)
		require.NoError(t, err)
		mark := filepath.Join(dir, "uploads", "41636d65", folder)
		require.Equal(t, []string{mark}, filesUnder(t, dir))
		begunAt, err := os.ReadFile(mark)
		require.NoError(t, err)
		require.Equal(t, "2026-03-01T12:00:00Z\n", string(begunAt))
		for i, content := range []string{"hello", "", "hello"} {
			stored, err := u.Add(t.Context(), strings.NewReader(content))
			require.NoError(t, err)
			digest := sha256.Sum256([]byte(content))
			require.Equal(t, hex.EncodeToString(digest[:]), stored.Digest)
			require.Equal(t, core.FileRef(fmt.Sprintf("%s/%d/sha256:%s", id, i, stored.Digest)), stored.Ref)
			path := filepath.Join(dir, "41636d65", "runs", folder, fmt.Sprint(i))
			require.Contains(t, filesUnder(t, dir), path)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, content, string(got))
		}
		require.NoError(t, u.Commit(t.Context()))
		require.Len(t, filesUnder(t, dir), 4)
		require.NoError(t, f.Remove(t.Context(), "Acme", id))
		require.Empty(t, filesUnder(t, dir))
		require.NoDirExists(t, filepath.Join(dir, "41636d65", "runs", folder))
	}
}

// Contents that earlier versions stored, by their sum and for all runs of a tenant, can
// still be read, and are never removed.
func TestEarlierLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	digest := sha256.Sum256([]byte("hello"))
	digits := hex.EncodeToString(digest[:])
	path := filepath.Join(dir, "61636d65", digits[:2], digits)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	ref := core.FileRef("sha256:" + digits)

	check := func() {
		t.Helper()
		got, err := read(t, f, "acme", ref)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
	}
	check()
	_, err := f.Open(t.Context(), "globex", ref)
	require.ErrorIs(t, err, ports.ErrNotFound)
	// Not even by an upload whose name is that of its folder.
	for _, id := range []core.RunID{core.RunID(digits[:2]), core.RunID(digits)} {
		u, err := f.Begin(t.Context(), "acme", id, begun)
		require.NoError(t, err)
		_, err = u.Add(t.Context(), strings.NewReader("hello"))
		require.NoError(t, err)
	}
	for left, err := range f.Leftovers(t.Context(), begun.Add(1)) {
		require.NoError(t, err)
		require.NoError(t, f.Remove(t.Context(), left.Tenant, left.Upload))
	}
	check()
	require.Equal(t, []string{path}, filesUnder(t, dir))
}

// A killed process leaves a torn mark, and a partly written content under a temporary
// name.
func TestLeftByAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	id, u := begin(t, f, "acme")
	_, err := u.Add(t.Context(), strings.NewReader("hello"))
	require.NoError(t, err)
	half := filepath.Join(dir, "61636d65", "runs", string(id), "1.18a.tmp")
	require.NoError(t, os.WriteFile(half, []byte("hel"), 0o600))
	mark := filepath.Join(dir, "uploads", "61636d65", string(id))
	require.NoError(t, os.WriteFile(mark, []byte("2026-03-0"), 0o600))
	require.NoError(t, os.Chtimes(mark, begun, begun))
	// Other objects among the marks are ignored.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "uploads", "README"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "uploads", "61636d65", "A"), nil, 0o600))

	var found []ports.Leftover
	for left, err := range f.Leftovers(t.Context(), begun.Add(1)) {
		require.NoError(t, err)
		found = append(found, left)
	}
	require.Equal(t, []ports.Leftover{{Tenant: "acme", Upload: id, Begun: begun}}, found)
	require.NoError(t, f.Remove(t.Context(), "acme", id))
	require.Empty(t, contentsUnder(t, dir))
}

func TestReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := blobfiles.OpenDir(dir)
	require.NoError(t, err)
	ref := put(t, first, "acme", "to stay")
	require.NoError(t, first.Close())
	u, err := first.Begin(t.Context(), "acme", "after-the-end", begun)
	if err == nil {
		_, err = u.Add(t.Context(), strings.NewReader("after the end"))
	}
	require.Error(t, err)
	_, err = first.Open(t.Context(), "acme", ref)
	require.Error(t, err)
	require.NotErrorIs(t, err, ports.ErrNotFound)

	for _, second := range []*blobfiles.Files{openDir(t, dir), open(t, "file://"+filepath.ToSlash(dir))} {
		got, err := read(t, second, "acme", ref)
		require.NoError(t, err)
		require.Equal(t, "to stay", got)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	base := t.TempDir()
	viaURL := filepath.Join(base, "new", "url")
	dir := openDir(t, filepath.Join(base, "new", "dir"))
	put(t, dir, "acme", "private")
	begin(t, dir, "acme")
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
	require.Len(t, filesUnder(t, base), 3)
}

func TestTenantRefused(t *testing.T) {
	t.Parallel()
	f := open(t, "mem://")
	ref := put(t, f, "acme", "hello")
	for _, tenant := range []core.TenantID{"", core.TenantID(strings.Repeat("x", core.MaxIDLength+1))} {
		_, err := f.Begin(t.Context(), tenant, "run", begun)
		require.ErrorContains(t, err, "tenant's ID")
		require.Error(t, f.Keep(t.Context(), tenant, "run"))
		require.Error(t, f.Remove(t.Context(), tenant, "run"))
		_, err = f.Open(t.Context(), tenant, ref)
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	for _, id := range []core.RunID{"", core.RunID(strings.Repeat("x", core.MaxIDLength+1))} {
		_, err := f.Begin(t.Context(), "acme", id, begun)
		require.ErrorContains(t, err, "upload's ID")
		require.Error(t, f.Keep(t.Context(), "acme", id))
		require.Error(t, f.Remove(t.Context(), "acme", id))
		_, err = f.Open(t.Context(), "acme", core.FileRef(id)+"/0/"+ref[strings.LastIndex(string(ref), "/")+1:])
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	require.Equal(t, 1, blobfiles.CountContents(t, f))
}

// A storage that cannot be read must not look like a missing file.
func TestFaultIsNotNotFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := openDir(t, dir)
	ref := put(t, f, "acme", "hello")
	folder := filepath.Dir(filepath.Dir(filesUnder(t, dir)[0]))
	_, u := begin(t, f, "acme")
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.WriteFile(folder, nil, 0o600))
	_, err := f.Open(t.Context(), "acme", ref)
	require.Error(t, err)
	require.NotErrorIs(t, err, ports.ErrNotFound)
	stored, err := u.Add(t.Context(), strings.NewReader("hello"))
	require.Error(t, err)
	require.Zero(t, stored)
}

// The reader neither ends nor checks ctx.
func TestAddStopsWithContext(t *testing.T) {
	t.Parallel()
	_, u := begin(t, open(t, "mem://"), "acme")
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 20 {
			cancel()
		}
		return len(p), nil
	})
	_, err := u.Add(ctx, endless)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 20, reads)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Not parallel: it counts all that the process allocates.
func TestAddOfLargeContent(t *testing.T) {
	dir := t.TempDir()
	f := openDir(t, dir)
	_, u := begin(t, f, "acme")
	const size = 64 << 20
	content := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stored, err := u.Add(t.Context(), content())
	require.NoError(t, err)
	require.Equal(t, int64(size), stored.Size)
	require.NoError(t, u.Commit(t.Context()))
	r, err := f.Open(t.Context(), "acme", stored.Ref)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.Equal(t, int64(size), n)
	require.NoError(t, r.Close())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "bytes allocated in all")
}

// Not parallel: it counts the open files of the process.
func TestAddLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := openDir(t, dir)
	put(t, f, "acme", "the only one")
	_, u := begin(t, f, "acme")
	before := openFiles(t)
	_, err := u.Add(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func([]byte) (int, error) { return 0, errBroken })))
	require.ErrorIs(t, err, errBroken)
	require.Panics(t, func() {
		_, _ = u.Add(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func([]byte) (int, error) { panic(errBroken) })))
	})
	put(t, f, "acme", "the only one")
	require.Equal(t, before, openFiles(t))
	require.Len(t, contentsUnder(t, dir), 2)
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
