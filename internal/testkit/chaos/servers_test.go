package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startTime bounds the start of a server on a machine that is busy.
const startTime = 30 * time.Second

// binary is the built server, and the environment of every process of it.
type binary struct {
	path string
	env  []string
	logs string // folder
}

// build builds the server as it is deployed. It is not imported, because the test has to
// kill processes.
func build(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "server")
	out, err := exec.Command("go", "build", "-o", path, "github.com/redrive/redrive/cmd/server").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// environment is this process's environment without variables that configure a server.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		for _, prefix := range []string{"DATABASE_URL=", "QUEUE_URL=", "REDRIVE_", "LLM_"} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
	return append(env, more...)
}

// server is one member of the cluster: a process, and after a kill the next one.
type server struct {
	name   string
	binary binary
	args   []string

	url    atomic.Pointer[string] // where the process listens; nil while there is none
	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is gone
	starts int
	broken error // a process that ended by itself
}

var address = regexp.MustCompile(`msg=listening url=(\S+)\n`)

// listening finds the address in a process's log, and writes the log to a file.
type listening struct {
	file  *os.File
	mu    sync.Mutex
	text  bytes.Buffer
	found func(url string)
}

func (l *listening) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found != nil {
		l.text.Write(p)
		if m := address.FindStringSubmatch(l.text.String()); m != nil {
			l.found(m[1])
			l.found = nil
			l.text.Reset()
		}
	}
	return l.file.Write(p)
}

// start starts a process; it may take a moment until it has an address.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts++
	log, err := os.Create(filepath.Join(s.binary.logs, fmt.Sprintf("%s-%03d.log", s.name, s.starts)))
	if err != nil {
		return err
	}
	cmd := exec.Command(s.binary.path, append([]string{"serve", "--listen=127.0.0.1:0"}, s.args...)...)
	cmd.Env = s.binary.env
	ended := make(chan struct{})
	cmd.Stderr = &listening{file: log, found: func(url string) {
		select {
		case <-ended: // killed before it logged its address
		default:
			s.url.Store(&url)
		}
	}}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	s.cmd, s.ended = cmd, ended
	go func() {
		_ = cmd.Wait()  // how it ended is in its state
		_ = log.Close() // it is for people; nothing depends on it
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.cmd == cmd { // it was not killed
			s.url.Store(nil)
			s.broken = fmt.Errorf("%s ended by itself (%s); see %s", s.name, cmd.ProcessState, log.Name())
		}
		close(ended)
	}()
	return nil
}

// kill is kill -9. It returns when the process is gone.
func (s *server) kill() error {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.cmd = nil
	s.url.Store(nil)
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-ended
	s.url.Store(nil) // it may have logged its address just before it was killed
	return nil
}

func (s *server) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// cluster is the servers.
type cluster []*server

func newCluster(t *testing.T, n int, b binary, args []string) cluster {
	t.Helper()
	c := make(cluster, n)
	for i := range c {
		c[i] = &server{name: fmt.Sprintf("server-%d", i), binary: b, args: args}
		t.Cleanup(func() { require.NoError(t, c[i].kill()) })
		require.NoError(t, c[i].start())
	}
	return c
}

// ready waits until every server has an address.
func (c cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, s := range c {
		for s.url.Load() == nil {
			if err := s.failure(); err != nil {
				return err
			}
			if err := sleep(ctx, 5*time.Millisecond); err != nil {
				return fmt.Errorf("%s does not listen: %w", s.name, err)
			}
		}
	}
	return nil
}

// any gives the address of a server that is up; empty if there is none.
func (c cluster) any(r *rand.Rand) string {
	for _, i := range r.Perm(len(c)) {
		if url := c[i].url.Load(); url != nil {
			return *url
		}
	}
	return ""
}

// torment kills random servers until ctx ends. Then it kills all of them at the same
// moment, and starts them again.
func (c cluster) torment(ctx context.Context, every time.Duration, r *rand.Rand) (kills int, err error) {
	for sleep(ctx, every) == nil {
		if err := c.killThese(c[r.IntN(len(c))]); err != nil {
			return kills, err
		}
		kills++
	}
	return kills + len(c), c.killThese(c...)
}

// killThese kills servers and then starts them again.
func (c cluster) killThese(servers ...*server) error {
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.failure(), s.kill())
	}
	for _, s := range servers {
		errs = append(errs, s.start())
	}
	return errors.Join(errs...)
}

func (c cluster) failures() error {
	var errs []error
	for _, s := range c {
		errs = append(errs, s.failure())
	}
	return errors.Join(errs...)
}

// sleep waits, or gives ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
