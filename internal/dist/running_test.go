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

// needsRoot skips where the test cannot change its root and its user.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("installs into a folder and changes its root and its user, which takes root")
	}
}

func (j *jail) command(args ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: args[0], Args: args, Dir: j.dir, Env: j.env, Stdout: &j.log, Stderr: &j.log}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: j.root, Credential: &syscall.Credential{Uid: uint32(j.uid), Gid: uint32(j.gid)},
	}
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

// filesOf gives the paths of the files of a folder that belong to a user.
func filesOf(t *testing.T, root string, uid int) []string {
	t.Helper()
	var paths []string
	require.NoError(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) == uid {
			paths = append(paths, strings.TrimPrefix(path, root))
		}
		return nil
	}))
	return paths
}
