package blobfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
)

// fsyncs notes what is fsynced, as paths in root, and what could be seen then.
type fsyncs struct {
	t     *testing.T
	root  string
	paths []string
	named []int // how many contents had their name
	fail  func(path string) error
}

func (s *fsyncs) sync(f *os.File) error {
	path, err := filepath.Rel(s.root, f.Name())
	require.NoError(s.t, err)
	path = filepath.ToSlash(path)
	// A temporary file elsewhere could not be renamed across file systems.
	if strings.HasSuffix(path, ".tmp") && filepath.IsLocal(path) {
		path = "tmp"
	}
	named := 0
	for _, file := range filesUnder(s.t, s.root) {
		if !strings.HasSuffix(file, ".tmp") {
			named++
		}
	}
	s.paths, s.named = append(s.paths, path), append(s.named, named)
	if s.fail != nil {
		if err := s.fail(path); err != nil {
			return err
		}
	}
	return f.Sync()
}

func watch(t *testing.T) (*blobfiles.Files, *fsyncs) {
	t.Helper()
	s := &fsyncs{t: t, root: t.TempDir()}
	f := openDir(t, s.root)
	blobfiles.ReplaceFsync(f, s.sync)
	return f, s
}

const (
	helloTenant = "61636d65" // acme
	helloShard  = helloTenant + "/2c"
)

// The file before it has its name, then every folder that leads to it.
func TestDurable(t *testing.T) {
	t.Parallel()
	for name, openIn := range map[string]func(t *testing.T, dir string) *blobfiles.Files{
		"OpenDir": openDir,
		"FileURL": func(t *testing.T, dir string) *blobfiles.Files { return open(t, "file://"+filepath.ToSlash(dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fsyncs{t: t, root: t.TempDir()}
			f := openIn(t, s.root)
			blobfiles.ReplaceFsync(f, s.sync)
			put(t, f, "acme", "hello")
			require.Equal(t, []string{"tmp", helloShard, helloTenant, "."}, s.paths)
			require.Equal(t, []int{0, 1, 1, 1}, s.named)

			// Who finds it there cannot know how far the other Put has come.
			s.paths = nil
			put(t, f, "acme", "hello")
			require.Equal(t, []string{helloShard, helloTenant, "."}, s.paths)
		})
	}
}

// Each new folder has its name in the one above before the next is made.
func TestMakeFolderDurable(t *testing.T) {
	t.Parallel()
	f, s := watch(t)
	deep := filepath.Join(s.root, "a", "b", "c")
	require.NoError(t, blobfiles.MakeFolder(f, deep))
	require.DirExists(t, deep)
	require.Equal(t, []string{".", "a", "a/b"}, s.paths)
	require.NoError(t, blobfiles.MakeFolder(f, deep))
	require.Len(t, s.paths, 3)

	broken := errors.New("input/output error")
	s.fail = func(string) error { return broken }
	require.ErrorIs(t, blobfiles.MakeFolder(f, filepath.Join(s.root, "d")), broken)
}

// What is not durable is not stored, and can be stored once the disk is well.
func TestFsyncFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for name, where := range map[string]string{"File": "tmp", "Folder": helloShard, "Root": "."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := watch(t)
			s.fail = func(path string) error {
				if path == where {
					return broken
				}
				return nil
			}
			for range 2 {
				stored, err := f.Put(t.Context(), "acme", strings.NewReader("hello"))
				require.ErrorIs(t, err, broken)
				require.Zero(t, stored)
				if where == "tmp" {
					require.Empty(t, filesUnder(t, s.root))
				}
			}
			s.fail = nil
			got, err := read(t, f, "acme", put(t, f, "acme", "hello"))
			require.NoError(t, err)
			require.Equal(t, "hello", got)
			require.Len(t, filesUnder(t, s.root), 1)
		})
	}
}

// Some file systems refuse to fsync a folder. A file they must fsync.
func TestFsyncOfFoldersUnknown(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{syscall.EINVAL, syscall.ENOTSUP} {
		f, s := watch(t)
		s.fail = func(path string) error {
			if path == "tmp" {
				return nil
			}
			return &os.PathError{Op: "sync", Path: path, Err: refusal}
		}
		put(t, f, "acme", "hello")
		s.fail = func(string) error { return &os.PathError{Op: "sync", Err: refusal} }
		_, err := f.Put(t.Context(), "acme", strings.NewReader("another"))
		require.ErrorIs(t, err, refusal)
	}
}
