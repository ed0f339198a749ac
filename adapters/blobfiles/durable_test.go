package blobfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// fsyncs records what is fsynced, as paths in root.
type fsyncs struct {
	t    *testing.T
	root string
	mu   sync.Mutex
	seen []string // guarded by mu
	fail func(path string) error
}

func (s *fsyncs) sync(f *os.File) error {
	path, err := filepath.Rel(s.root, f.Name())
	if err != nil {
		return err
	}
	path = filepath.ToSlash(path)
	s.mu.Lock()
	s.seen = append(s.seen, path)
	s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(path); err != nil {
			return err
		}
	}
	return f.Sync()
}

// paths gives what was fsynced since the last call.
func (s *fsyncs) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func watch(t *testing.T) (*blobfiles.Files, *fsyncs) {
	t.Helper()
	s := &fsyncs{t: t, root: t.TempDir()}
	f := openDir(t, s.root)
	blobfiles.ReplaceFsync(f, s.sync)
	return f, s
}

const (
	marks    = "uploads/61636d65" // of acme
	mark     = marks + "/run"
	contents = "61636d65/runs/run"
)

// The mark is fsynced before the first content, and the contents all together, each once.
func TestDurable(t *testing.T) {
	t.Parallel()
	for name, openIn := range map[string]func(t testing.TB, dir string) *blobfiles.Files{
		"OpenDir": openDir,
		"FileURL": func(t testing.TB, dir string) *blobfiles.Files { return open(t, "file://"+filepath.ToSlash(dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fsyncs{t: t, root: t.TempDir()}
			f := openIn(t, s.root)
			blobfiles.ReplaceFsync(f, s.sync)

			u, err := f.Begin(t.Context(), "acme", "run", begun)
			require.NoError(t, err)
			require.Subset(t, s.paths(), []string{mark, marks, "uploads", "."})
			for range 3 {
				_, err := u.Add(t.Context(), strings.NewReader("hello"))
				require.NoError(t, err)
			}
			require.Empty(t, s.paths(), "once an upload")
			require.NoError(t, u.Commit(t.Context()))
			require.ElementsMatch(t, []string{
				contents + "/0", contents + "/1", contents + "/2", contents, "61636d65/runs", "61636d65", ".",
			}, s.paths())
			require.NoError(t, f.Keep(t.Context(), "acme", "run"))
			require.Empty(t, s.paths(), "a mark that comes back is a leftover whose run exists")

			_, err = f.Begin(t.Context(), "acme", "other", begun)
			require.NoError(t, err)
			require.ElementsMatch(t, []string{marks + "/other", marks, "uploads", "."}, s.paths())
			require.NoError(t, f.Remove(t.Context(), "acme", "other"))
		})
	}
}

// The mark is removed once the removal of the contents is durable.
func TestRemoveDurable(t *testing.T) {
	t.Parallel()
	f, s := watch(t)
	u, err := f.Begin(t.Context(), "acme", "run", begun)
	require.NoError(t, err)
	_, err = u.Add(t.Context(), strings.NewReader("hello"))
	require.NoError(t, err)
	s.paths()
	broken := errors.New("input/output error")
	s.fail = func(string) error {
		require.Len(t, filesUnder(t, s.root), 1, "the mark alone")
		return broken
	}
	require.ErrorIs(t, f.Remove(t.Context(), "acme", "run"), broken)
	require.Equal(t, []string{"61636d65/runs"}, s.paths())
	require.Len(t, filesUnder(t, s.root), 1)
	s.fail = nil
	require.NoError(t, f.Remove(t.Context(), "acme", "run"))
	require.Empty(t, filesUnder(t, s.root))
}

// The name of each new folder is durable in its parent before the next folder is made.
func TestMakeFolderDurable(t *testing.T) {
	t.Parallel()
	f, s := watch(t)
	deep := filepath.Join(s.root, "a", "b", "c")
	require.NoError(t, blobfiles.MakeFolder(f, deep))
	require.DirExists(t, deep)
	require.Equal(t, []string{".", "a", "a/b"}, s.paths())
	require.NoError(t, blobfiles.MakeFolder(f, deep))
	require.Empty(t, s.paths())

	broken := errors.New("input/output error")
	s.fail = func(string) error { return broken }
	require.ErrorIs(t, blobfiles.MakeFolder(f, filepath.Join(s.root, "d")), broken)
}

// Contents that cannot be made durable do not count as stored, and can be stored again
// once the disk works. A full disk may report it only at the fsync.
func TestFsyncFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for name, where := range map[string]string{
		"Mark": mark, "FolderOfMarks": marks, "Content": contents + "/1", "FolderOfContents": contents, "FolderOfTenant": "61636d65",
	} {
		for cause, err := range map[string]error{"Broken": broken, "Full": syscall.ENOSPC, "OverQuota": syscall.EDQUOT} {
			t.Run(name+"/"+cause, func(t *testing.T) {
				t.Parallel()
				f, s := watch(t)
				s.fail = func(path string) error {
					if path == where {
						return &os.PathError{Op: "sync", Path: path, Err: err}
					}
					return nil
				}
				for range 2 {
					failure := upload(t, f)
					require.ErrorIs(t, failure, err)
					require.Equal(t, !errors.Is(err, broken), errors.Is(failure, ports.ErrFull))
					require.NoError(t, f.Remove(t.Context(), "acme", "run"))
					require.Empty(t, filesUnder(t, s.root))
				}
				s.fail = nil
				require.NoError(t, upload(t, f))
			})
		}
	}
}

// upload uploads two contents as one run and reads them back.
func upload(t *testing.T, f *blobfiles.Files) error {
	t.Helper()
	u, err := f.Begin(t.Context(), "acme", "run", begun)
	if err != nil {
		require.Nil(t, u)
		return err
	}
	var refs []core.FileRef
	for range 2 {
		stored, err := u.Add(t.Context(), strings.NewReader("hello"))
		require.NoError(t, err)
		refs = append(refs, stored.Ref)
	}
	if err := u.Commit(t.Context()); err != nil {
		return err
	}
	for _, ref := range refs {
		got, err := read(t, f, "acme", ref)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
	}
	return nil
}

// An error of the fsync of a folder is ignored if the file system has none. An error of
// the fsync of a file is not.
func TestFsyncOfFoldersUnknown(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{syscall.EINVAL, syscall.ENOTSUP} {
		f, s := watch(t)
		s.fail = func(path string) error {
			if path == mark || strings.HasPrefix(path, contents+"/") {
				return nil
			}
			return &os.PathError{Op: "sync", Path: path, Err: refusal}
		}
		require.NoError(t, upload(t, f))
		require.NoError(t, f.Remove(t.Context(), "acme", "run"))
		s.fail = func(string) error { return &os.PathError{Op: "sync", Err: refusal} }
		require.ErrorIs(t, upload(t, f), refusal)
	}
}
