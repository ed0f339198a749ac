//go:build linux

package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// jail is a folder that is the whole file system of a process, which runs as a user of its
// own: it finds there what was installed, and nothing of the machine.
type jail struct {
	root     string
	uid, gid int
	dir      string
	env      []string
	log      lockedBuffer
}

// lockedBuffer is read while a process writes to it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// isRoot reports whether the tests have root. Without it they install and start what is tested
// in a user namespace, where the user has the IDs that are needed and owns all the files.
var isRoot = os.Getuid() == 0

// needsJail skips where the test may not change its root and its user.
func needsJail(t *testing.T) {
	t.Helper()
	if isRoot {
		return
	}
	if err := (&exec.Cmd{Path: "/proc/self/exe", Args: []string{"dist.test", "-test.run=^$"}, SysProcAttr: as(0, 0)}).Run(); err != nil {
		t.Skipf("installs into a folder and changes its root and its user, which takes root or a user namespace: %v", err)
	}
}

// as makes a process that of another user.
func as(uid, gid int) *syscall.SysProcAttr {
	if isRoot {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}},
	}
}

// give makes a file another user's, as far as that can be.
func give(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if isRoot {
		require.NoError(t, os.Chown(path, uid, gid))
	}
}

func (j *jail) command(args ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: args[0], Args: args, Dir: j.dir, Env: j.env, Stdout: &j.log, Stderr: &j.log, SysProcAttr: as(j.uid, j.gid)}
	cmd.SysProcAttr.Chroot = j.root
	return cmd
}

var listening = regexp.MustCompile(`msg=listening url=(http://\S+)`)

// serves starts a server, waits until it is ready, stops it as a service manager would, and
// gives its log.
func (j *jail) serves(t *testing.T, args ...string) string {
	t.Helper()
	cmd := j.command(args...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // has no effect once it ended
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what counts is the exit code
		close(ended)
	}()
	ready := func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		found := listening.FindStringSubmatch(j.log.String())
		if found == nil {
			return false
		}
		_, port, err := net.SplitHostPort(strings.TrimPrefix(found[1], "http://"))
		require.NoError(t, err)
		res, err := http.Get("http://127.0.0.1:" + port + "/readyz")
		if err != nil {
			return false
		}
		require.NoError(t, res.Body.Close())
		return res.StatusCode == http.StatusOK
	}
	require.Eventually(t, ready, time.Minute, 10*time.Millisecond, "%s", &j.log)
	select {
	case <-ended:
		t.Fatalf("the server ended by itself: %s", &j.log)
	default:
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatalf("the server did not stop: %s", &j.log)
	}
	require.Zero(t, cmd.ProcessState.ExitCode(), "%s", &j.log)
	return j.log.String()
}

// changes says what was changed in a folder, by when, and by what was made a file another's.
func changes(t *testing.T, root string) map[string]syscall.Timespec {
	t.Helper()
	paths := map[string]syscall.Timespec{}
	require.NoError(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		paths[strings.TrimPrefix(path, root)] = info.Sys().(*syscall.Stat_t).Ctim
		return nil
	}))
	return paths
}

// keepsTo checks that what was written since then is the database and what is beside it.
func keepsTo(t *testing.T, state, root string, before map[string]syscall.Timespec) {
	t.Helper()
	after := changes(t, root)
	require.Contains(t, after, state+"/redrive.db")
	require.NotContains(t, before, state+"/redrive.db")
	for path, at := range after {
		if was, there := before[path]; !there || was != at {
			require.True(t, path == state || strings.HasPrefix(path, state+"/"), "%s: it may write to its state only", path)
		}
	}
}
