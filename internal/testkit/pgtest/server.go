package pgtest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// superviseScript runs as the user that owns the server's files.
//
//go:embed supervise.sh
var superviseScript string

// role is the superuser of a started server. It needs no password: the socket is
// in a folder that only its owner (and root) may enter.
const role = "redrive"

// Options are the options of NewServer.
type Options struct {
	// Durable keeps fsync and synchronous commits on, as in production, for benchmarks.
	// Other tests need not survive a power failure.
	Durable bool
	// Settings are further server settings, name=value.
	Settings []string
}

// Server is a Postgres server: one that was started here, or the one that
// REDRIVE_TEST_DATABASE_URL names.
type Server struct {
	admin    string // connection string of a database that always exists
	fileCopy bool   // CREATE DATABASE has the option to copy files, which is faster without fsync
	cluster  *cluster

	prepare sync.Once // the template
	failed  error     // of prepare
}

// cluster is a server's process and folder.
type cluster struct {
	dir  string // socket, data, log
	bin  string // the binaries' folder
	lock *os.File

	mu       sync.Mutex
	shell    *exec.Cmd
	commands io.WriteCloser // closing it ends everything
	answers  *bufio.Reader
}

// NewServer starts a server for one test, for tests that stop it and for benchmarks. It is
// removed when the test ends. It never is the server of REDRIVE_TEST_DATABASE_URL.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.cluster.end(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s
}

var shared = sync.OnceValues(func() (*Server, error) {
	if u := os.Getenv("REDRIVE_TEST_DATABASE_URL"); u != "" {
		return &Server{admin: u}, nil
	}
	return start(Options{}) // it ends with the process: see supervise.sh
})

// start makes a cluster and starts its server.
func start(o Options) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	removeStale(bin)
	parent := os.TempDir()
	if !o.Durable && hasRoom(memoryFolder, memoryNeeded) {
		parent = memoryFolder
	}
	c, err := supervise(bin, parent)
	if err != nil {
		return nil, err
	}
	settings := []string{
		"listen_addresses=''", "unix_socket_directories='" + c.dir + "'", "unix_socket_permissions=0700",
		"max_connections=400", "shared_buffers=128MB", "deadlock_timeout=100ms", "log_min_messages=warning",
	}
	if !o.Durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "checkpoint_timeout=1h", "max_wal_size=1GB")
	}
	settings = append(settings, o.Settings...)
	for _, step := range []func() error{
		func() error { return c.do("init") },
		func() error { return c.configure(settings) },
		func() error { return c.do("start") },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, c.end())
		}
	}
	return &Server{
		admin:    fmt.Sprintf("postgres:///postgres?host=%s&user=%s&sslmode=disable", url.QueryEscape(c.dir), role),
		fileCopy: !o.Durable && c.major() >= 15,
		cluster:  c,
	}, nil
}

// Restart stops the server without waiting for open connections, and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Stop stops the server; it can be started again.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.cluster.do("stop"); err != nil {
		t.Fatal(err)
	}
}

// Start starts a server that was stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.cluster.do("start"); err != nil {
		t.Fatal(err)
	}
}

// Socket is the server's Unix socket. Empty for a server that was not started here.
func (s *Server) Socket() string {
	if s.cluster == nil {
		return ""
	}
	return filepath.Join(s.cluster.dir, ".s.PGSQL.5432")
}

// Binaries is the folder of psql, pgbench and the others. Empty for a server
// that was not started here.
func (s *Server) Binaries() string {
	if s.cluster == nil {
		return ""
	}
	return s.cluster.bin
}

// supervise makes the folder and starts the shell that owns it.
func supervise(bin, parent string) (*cluster, error) {
	dir, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, bin: bin}
	fail := func(err error) (*cluster, error) {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(dir))
	}
	if c.lock, err = lockFolder(dir); err != nil {
		return fail(err)
	}
	attr, err := attributes(dir)
	if err != nil {
		return fail(err)
	}
	c.shell = exec.Command("/bin/sh", "-c", superviseScript, "pgtest-supervisor", bin, dir, role)
	c.shell.SysProcAttr = attr
	c.shell.Dir = dir
	c.shell.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	c.shell.ExtraFiles = []*os.File{c.lock} // locked as long as this process or the shell lives
	if c.commands, err = c.shell.StdinPipe(); err != nil {
		return fail(err)
	}
	// A pipe of our own, because Wait would close the one of StdoutPipe early. The
	// shell has no other descriptor of ours: `go test` waits for those to close.
	read, write, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	c.shell.Stdout = write
	c.answers = bufio.NewReader(read)
	err = c.shell.Start()
	if closeErr := write.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// attributes gives the shell a session of its own, so that an interrupt from the terminal
// does not reach it. If this process is root, as which Postgres refuses to run, the shell
// runs as an ordinary user.
func attributes(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	var account *user.User
	var err error
	for _, name := range []string{"postgres", "nobody"} {
		if account, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("running as root, and there is no user postgres or nobody to run Postgres as: %w", err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

// do lets the shell execute a command and waits for it.
func (c *cluster) do(command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.commands, command+"\n"); err != nil {
		return fmt.Errorf("pgtest: %s: %w", command, err)
	}
	answer, err := c.answers.ReadString('\n')
	if err == nil && answer == "0\n" {
		return nil
	}
	log, readErr := os.ReadFile(filepath.Join(c.dir, "log"))
	return errors.Join(fmt.Errorf("pgtest: %s failed (%q):\n%s", command, strings.TrimSpace(answer), log), err, readErr)
}

// configure appends to the server's configuration.
func (c *cluster) configure(settings []string) error {
	f, err := os.OpenFile(filepath.Join(c.dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "\n"+strings.Join(settings, "\n")+"\n")
	return errors.Join(err, f.Close())
}

// major is the server's major version; 0 if it is not known.
func (c *cluster) major() int {
	version, err := os.ReadFile(filepath.Join(c.dir, "data", "PG_VERSION"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(version)))
	if err != nil {
		return 0
	}
	return n
}

// end stops the server and waits until its folder is gone.
func (c *cluster) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.commands.Close(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.shell.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("supervisor of %s: %w", c.dir, err)
		}
		return errors.Join(c.lock.Close(), os.RemoveAll(c.dir))
	case <-ctx.Done():
		return fmt.Errorf("the server in %s did not stop", c.dir)
	}
}
