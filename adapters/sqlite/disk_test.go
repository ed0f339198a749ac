package sqlite_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// disk is what a machine's disk has of the files in a folder. SQLite writes to the folder
// through a layer (a VFS of SQLite around its own) that takes down each write, and what was
// not synced since is what a power cut can lose. Names of files are as the system has them:
// SQLite syncs the folder with the first sync of a new file.
type disk struct {
	mu    sync.Mutex
	files map[string]*diskFile
	ops   int                // writes, syncs and truncations so far
	cut   func(d *disk) bool // asked before each of them, under mu: whether the power fails now
	off   bool               // everything fails
	full  bool               // writes that make a file longer fail
}

type diskFile struct {
	synced  []byte
	pending []diskWrite
	size    int64 // with what is pending
}

type diskWrite struct {
	at   int64
	data []byte // nil: the file is cut to at
}

func (w diskWrite) apply(to []byte) []byte {
	if w.data == nil {
		return to[:min(w.at, int64(len(to)))]
	}
	if end := w.at + int64(len(w.data)); end > int64(len(to)) {
		to = append(to, make([]byte, end-int64(len(to)))...)
	}
	copy(to[w.at:], w.data)
	return to
}

// disks are the folders that have one.
var disks sync.Map // of *disk by folder

const diskVFS = "redrive-test-disk"

// newDisk puts a disk below a folder.
func newDisk(t testing.TB, folder string) *disk {
	t.Helper()
	registerDisks.Do(func() { require.True(t, registerDiskVFS()) })
	d := &disk{files: map[string]*diskFile{}}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		require.NoError(t, err)
		d.files[e.Name()] = &diskFile{synced: content, size: int64(len(content))}
	}
	disks.Store(folder, d)
	t.Cleanup(func() { disks.Delete(folder) })
	return d
}

// after writes what the disk has after a power cut into another folder: all that was synced,
// and of what was not any part, also of single writes.
func (d *disk) after(t testing.TB, dice *rand.Rand, folder string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	const sector = 512
	for name, f := range d.files {
		if strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, ".lock") {
			continue
		}
		content := append([]byte(nil), f.synced...)
		keep := dice.Float64() // of the writes
		for _, w := range f.pending {
			switch {
			case dice.Float64() >= keep:
			case w.data == nil || dice.IntN(4) > 0:
				content = w.apply(content)
			default: // torn
				for at := 0; at < len(w.data); at += sector {
					if dice.IntN(2) == 0 {
						content = diskWrite{w.at + int64(at), w.data[at:min(at+sector, len(w.data))]}.apply(content)
					}
				}
			}
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
}

// op takes down an operation; what it gives is SQLite's result code.
func (d *disk) op(name string, do func(*diskFile) int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off && d.cut != nil && d.cut(d) {
		d.off = true
	}
	if d.off {
		return sqlite3.SQLITE_IOERR
	}
	d.ops++
	f := d.files[name]
	if f == nil {
		f = &diskFile{}
		d.files[name] = f
	}
	return do(f)
}

func (d *disk) write(name string, at int64, data []byte) int32 {
	return d.op(name, func(f *diskFile) int32 {
		end := at + int64(len(data))
		if d.full && end > f.size {
			return sqlite3.SQLITE_FULL
		}
		f.size = max(f.size, end)
		f.pending = append(f.pending, diskWrite{at, append([]byte{}, data...)})
		return sqlite3.SQLITE_OK
	})
}

func (d *disk) truncate(name string, size int64) int32 {
	return d.op(name, func(f *diskFile) int32 {
		f.size = min(f.size, size)
		f.pending = append(f.pending, diskWrite{at: size})
		return sqlite3.SQLITE_OK
	})
}

func (d *disk) sync(name string) int32 {
	return d.op(name, func(f *diskFile) int32 {
		for _, w := range f.pending {
			f.synced = w.apply(f.synced)
		}
		f.pending = nil
		return sqlite3.SQLITE_OK
	})
}

// What follows is the layer itself. SQLite is C that was translated to Go, so its file
// system layers are structs of function pointers in memory that Go does not manage. Ours is a
// copy of SQLite's own, with some of the functions exchanged.

var registerDisks sync.Once

// openFile is an open file of SQLite's, by the address of its struct.
type openFile struct {
	disk *disk
	name string
	real uintptr // *sqlite3_io_methods of SQLite's own layer
}

var (
	openFiles   sync.Map // of openFile by uintptr
	realVFS     uintptr
	diskMethods sync.Map // uintptr of our methods by that of SQLite's own
)

// at gives the struct at an address outside of Go's memory.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// address gives a function of Go in the form in which translated C calls it.
func address(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

// function is the way back.
func function[F any](f uintptr) F {
	p := &struct{ f uintptr }{f}
	return *(*F)(unsafe.Pointer(p))
}

func registerDiskVFS() bool {
	tls := libc.NewTLS()
	defer tls.Close()
	realVFS = sqlite3.Xsqlite3_vfs_find(tls, 0)
	if realVFS == 0 {
		return false
	}
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	name, err := libc.CString(diskVFS)
	if own == 0 || err != nil {
		return false
	}
	vfs := at[sqlite3.Tsqlite3_vfs](own)
	*vfs = *at[sqlite3.Tsqlite3_vfs](realVFS)
	vfs.FpNext, vfs.FzName, vfs.FxOpen, vfs.FxDelete = 0, name, address(diskOpen), address(diskDelete)
	return sqlite3.Xsqlite3_vfs_register(tls, own, 0) == sqlite3.SQLITE_OK
}

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, sync int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	writeFunc    = func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
)

func diskOpen(tls *libc.TLS, _, name, file uintptr, flags int32, out uintptr) int32 {
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](realVFS).FxOpen)(tls, realVFS, name, file, flags, out)
	f := at[sqlite3.Tsqlite3_file](file)
	if rc != sqlite3.SQLITE_OK || name == 0 || f.FpMethods == 0 {
		return rc
	}
	path := libc.GoString(name)
	d, ok := disks.Load(filepath.Dir(path))
	if !ok {
		return rc
	}
	openFiles.Store(file, openFile{d.(*disk), filepath.Base(path), f.FpMethods})
	f.FpMethods = ownMethods(tls, f.FpMethods)
	return rc
}

// ownMethods gives a copy of methods with ours among them.
func ownMethods(tls *libc.TLS, real uintptr) uintptr {
	if own, ok := diskMethods.Load(real); ok {
		return own.(uintptr)
	}
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	m := at[sqlite3.Tsqlite3_io_methods](own)
	*m = *at[sqlite3.Tsqlite3_io_methods](real)
	m.FxClose, m.FxWrite, m.FxTruncate, m.FxSync = address(diskClose), address(diskWriteTo), address(diskTruncate), address(diskSync)
	kept, _ := diskMethods.LoadOrStore(real, own)
	return kept.(uintptr)
}

// methodsOf gives SQLite's own methods of a file.
func methodsOf(file uintptr) (openFile, *sqlite3.Tsqlite3_io_methods) {
	f, ok := openFiles.Load(file)
	if !ok {
		panic("a file that was not opened here")
	}
	return f.(openFile), at[sqlite3.Tsqlite3_io_methods](f.(openFile).real)
}

func diskDelete(tls *libc.TLS, _, name uintptr, sync int32) int32 {
	path := libc.GoString(name)
	if d, ok := disks.Load(filepath.Dir(path)); ok {
		d := d.(*disk)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.off {
			return sqlite3.SQLITE_IOERR
		}
		delete(d.files, filepath.Base(path))
	}
	return function[deleteFunc](at[sqlite3.Tsqlite3_vfs](realVFS).FxDelete)(tls, realVFS, name, sync)
}

func diskClose(tls *libc.TLS, file uintptr) int32 {
	f, m := methodsOf(file)
	openFiles.Delete(file)
	at[sqlite3.Tsqlite3_file](file).FpMethods = f.real
	return function[closeFunc](m.FxClose)(tls, file)
}

func diskWriteTo(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	f, m := methodsOf(file)
	if rc := f.disk.write(f.name, offset, unsafe.Slice(at[byte](data), n)); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[writeFunc](m.FxWrite)(tls, file, data, n, offset)
}

func diskTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f, m := methodsOf(file)
	if rc := f.disk.truncate(f.name, size); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[truncateFunc](m.FxTruncate)(tls, file, size)
}

func diskSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	f, m := methodsOf(file)
	if rc := f.disk.sync(f.name); rc != sqlite3.SQLITE_OK {
		return rc
	}
	// What counts as synced is what was taken down: the system's own sync adds nothing.
	_ = function[syncFunc](m.FxSync)
	_, _, _ = tls, file, flags
	return sqlite3.SQLITE_OK
}
