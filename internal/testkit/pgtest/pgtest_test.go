package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// helperVariable makes this binary a process to be killed: it starts a server, prints its
// address and waits.
const helperVariable = "REDRIVE_PGTEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		s, err := start(Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.cluster.dir, s.cluster.shell.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

func count(t *testing.T, conn *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func TestNew(t *testing.T) {
	t.Parallel()
	New(t) // the server and its template

	t.Run("Migrated", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, New(t).URL)
		require.Equal(t, 1, count(t, conn, "SELECT count(*) FROM pg_tables WHERE tablename = 'ledger'"))
	})
	t.Run("Empty", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, NewEmpty(t).URL)
		require.Zero(t, count(t, conn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
	})
	t.Run("OneForEachTest", func(t *testing.T) {
		t.Parallel()
		a, b := connect(t, New(t).URL), connect(t, New(t).URL)
		_, err := a.Exec(t.Context(), "INSERT INTO tenants VALUES ('t', 't', 0, now())")
		require.NoError(t, err)
		require.Equal(t, 1, count(t, a, "SELECT count(*) FROM tenants"))
		require.Zero(t, count(t, b, "SELECT count(*) FROM tenants"))
	})
	t.Run("DroppedAfterTheTest", func(t *testing.T) {
		t.Parallel()
		var db Database
		var left *pgx.Conn
		t.Run("Test", func(t *testing.T) {
			db = New(t)
			var err error
			left, err = pgx.Connect(t.Context(), db.URL) // not closed: it must not keep the database
			require.NoError(t, err)
		})
		other := connect(t, New(t).URL)
		require.Zero(t, count(t, other, "SELECT count(*) FROM pg_database WHERE datname = $1", db.Name))
		require.Error(t, left.Ping(t.Context()))
	})
	t.Run("Fast", func(t *testing.T) {
		// Not parallel: this one takes the time.
		began := time.Now()
		const n = 10
		for range n {
			New(t)
		}
		t.Logf("%v a database", time.Since(began)/n)
		require.Less(t, time.Since(began)/n, 2*time.Second, "it is meant to take less than 100 ms on an idle machine")
	})
}

func TestServer(t *testing.T) {
	t.Parallel()
	s := NewServer(t, Options{Durable: true, Settings: []string{"work_mem='5MB'"}})
	db := s.New(t)

	setting := func(name string) string {
		conn, err := pgx.Connect(t.Context(), db.URL)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(t.Context())) }()
		var value string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value))
		return value
	}
	require.Equal(t, "on", setting("fsync"))
	require.Equal(t, "5MB", setting("work_mem"))

	conn := connect(t, db.URL)
	_, err := conn.Exec(t.Context(), "INSERT INTO tenants VALUES ('t', 't', 0, now())")
	require.NoError(t, err)
	s.Restart(t)
	require.Error(t, conn.Ping(t.Context()), "the restart ended every connection")
	require.Equal(t, 1, count(t, connect(t, db.URL), "SELECT count(*) FROM tenants"))
	require.FileExists(t, filepath.Join(s.Binaries(), "postgres"))
}

// helper starts this binary as a process that has a server.
func helper(t *testing.T) (process *os.Process, dir string, supervisor, postmaster int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it is dead already unless the test failed
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, line)
	_, err = fmt.Sscan(line, &dir, &supervisor)
	require.NoError(t, err, line)
	pidFile, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(pidFile), "\n")
	postmaster, err = strconv.Atoi(first)
	require.NoError(t, err)
	require.True(t, alive(postmaster))
	return cmd.Process, dir, supervisor, postmaster
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestKilled(t *testing.T) {
	t.Parallel()
	t.Run("TheTestBinary", func(t *testing.T) {
		t.Parallel()
		process, dir, _, postmaster := helper(t)
		require.NoError(t, process.Kill())
		require.Eventually(t, func() bool { return !alive(postmaster) }, 30*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }, 30*time.Second, 10*time.Millisecond)
	})
	t.Run("ItsSupervisorToo", func(t *testing.T) {
		t.Parallel()
		process, dir, supervisor, postmaster := helper(t)
		require.NoError(t, syscall.Kill(supervisor, syscall.SIGKILL))
		require.NoError(t, process.Kill())
		_, err := process.Wait()
		require.NoError(t, err)
		require.True(t, alive(postmaster), "no supervisor is left to stop it")

		bin, err := findBinaries()
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			removeStale(bin)
			_, err := os.Stat(dir)
			return os.IsNotExist(err)
		}, 30*time.Second, 50*time.Millisecond)
		require.Eventually(t, func() bool { return !alive(postmaster) }, 30*time.Second, 10*time.Millisecond)
	})
}

func TestRemoveStaleSparesTheLiving(t *testing.T) {
	t.Parallel()
	s := NewServer(t, Options{})
	removeStale(s.Binaries())
	require.Equal(t, 1, count(t, connect(t, s.admin), "SELECT 1"))
	require.FileExists(t, s.Socket())
}

func TestNoPostgres(t *testing.T) {
	t.Parallel()
	_, err := firstComplete([]string{t.TempDir(), "/nowhere"})
	require.ErrorIs(t, err, errNoPostgres)
	require.ErrorContains(t, err, "apt-get install -y postgresql")
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for admin, want := range map[string]string{
		"postgres://u:p@host:1/postgres?sslmode=disable": "postgres://u:p@host:1/x?sslmode=disable",
		"postgres:///postgres?host=%2Ftmp%2Fa&user=u":    "postgres:///x?host=%2Ftmp%2Fa&user=u",
		"host=/tmp user=u dbname=postgres":               "host=/tmp user=u dbname=postgres dbname=x",
	} {
		require.Equal(t, want, withDatabase(admin, "x"))
		_, err := pgx.ParseConfig(want)
		require.NoError(t, err)
	}
}
