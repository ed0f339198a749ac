package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoPostgres is the error of a test if Postgres is not installed.
var errNoPostgres = errors.New("pgtest: no PostgreSQL was found, and these tests need one. Install it:\n\n" +
	"\tapt-get install -y postgresql\n\n" +
	"(no server has to run), or set REDRIVE_TEST_DATABASE_URL to a server on which databases may be created")

// findBinaries gives the folder that has initdb, pg_ctl and postgres.
func findBinaries() (string, error) {
	var folders []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian keeps them out of the PATH
	if err != nil {
		return "", err
	}
	slices.SortFunc(installed, func(a, b string) int { return version(b) - version(a) })
	folders = append(folders, installed...)
	if path, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	return firstComplete(folders)
}

// firstComplete skips folders that have only clients, as pg_config's folder often does.
func firstComplete(folders []string) (string, error) {
	for _, dir := range folders {
		complete := true
		for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
			info, err := os.Stat(filepath.Join(dir, name))
			complete = complete && err == nil && !info.IsDir() && info.Mode()&0o111 != 0
		}
		if complete {
			return dir, nil
		}
	}
	return "", errNoPostgres
}

func version(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

const (
	folderPrefix = "redrive-pgtest-"
	lockName     = "lock"
	// unborn is how long a folder may be without its lock file.
	unborn = time.Minute
)

// lockFolder locks a new folder. The lock is on the open file, which the supervisor
// inherits: it ends when both processes have ended in any way. The file gets its name once
// it is locked, so that no other process takes the folder for stale.
func lockFolder(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A database has some 300 small files. In a file system in memory, copying them takes
// 10 ms, also while the disk is busy.
const (
	memoryFolder = "/dev/shm"
	memoryNeeded = 4 << 30 // bytes; containers often have 64 MB only
)

// hasRoom reports whether a server's folder can be in another folder: there is enough
// space, and the server's user, who may differ from the test's, can remove it.
func hasRoom(parent string, needed uint64) bool {
	info, err := os.Stat(parent)
	if err != nil || info.Mode()&0o002 == 0 {
		return false // not on this system, or not as it usually is
	}
	var fs syscall.Statfs_t
	return syscall.Statfs(parent, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= needed
}

// removeStale removes the folders of test binaries whose supervisor was killed
// as well, and stops a server that still runs in one. It is a courtesy: what it
// cannot do (another user's folder) is left to that user's next start.
func removeStale(bin string) {
	var folders []string
	for _, parent := range []string{os.TempDir(), memoryFolder} {
		found, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
		if err != nil {
			return
		}
		folders = append(folders, found...)
	}
	for _, dir := range folders {
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > unborn {
				_ = os.RemoveAll(dir)
			}
			continue
		}
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			stopStale(bin, dir)
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

// stopStale stops a server by its own pid file, which names the process and the
// folder that it serves.
func stopStale(bin, dir string) {
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); err != nil {
		return
	}
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	stop := exec.Command(filepath.Join(bin, "pg_ctl"), "-D", data, "-m", "immediate", "-w", "-t", "10", "stop")
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		stop.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	_ = stop.Run()
}
