package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
)

// holdEnv makes the test's program a process that opens the file of that name and keeps it
// until its input ends.
const holdEnv = "REDRIVE_TEST_HOLD_SQLITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		os.Exit(hold(path))
	}
	os.Exit(m.Run())
}

func hold(path string) int {
	noContext := context.Background()
	store, err := sqlite.Open(noContext, path)
	if err == nil {
		_, err = sqlite.Migrate(noContext, store)
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0 // without Close: as a process that dies
}

// One process has a file. The second one is told who has it and what to do; when the first
// has died, in whatever way, the next one has it.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "redrive.db")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(bounded(t), self)
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	cmd.WaitDelay = 10 * time.Second
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)

	_, err = sqlite.Open(bounded(t), path)
	require.ErrorIs(t, err, sqlite.ErrInUse)
	require.ErrorContains(t, err, "process "+strconv.Itoa(cmd.Process.Pid))
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "stop it first")
	link := filepath.Join(t.TempDir(), "another name.db")
	require.NoError(t, os.Symlink(path, link))
	_, err = sqlite.Open(bounded(t), link)
	require.ErrorIs(t, err, sqlite.ErrInUse, "another name of the same file")
	require.NoError(t, sqlite.Backup(bounded(t), path, filepath.Join(t.TempDir(), "copy.db")), "what another process has is copied")

	require.NoError(t, input.Close())
	require.NoError(t, cmd.Wait())
	store := opened(t, path)
	require.NotEmpty(t, tablesOf(t, store))
	_, err = sqlite.Open(bounded(t), path)
	require.ErrorIs(t, err, sqlite.ErrInUse)
	require.ErrorContains(t, err, "this process")
}

func TestClosed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "redrive.db")
	w := worldOn(t, openStore(t, path), noExecution)
	w.AddTenant(t, "acme")
	require.NoError(t, w.store.Ping(bounded(t)))
	require.NoError(t, w.store.Close())
	require.NoError(t, w.store.Close(), "a repeat")
	require.ErrorContains(t, w.store.Ping(bounded(t)), "closed")
	_, err := w.Balance(bounded(t), admin, "acme")
	require.ErrorContains(t, err, "closed")
	_, err = os.Stat(path + "-wal")
	require.ErrorIs(t, err, os.ErrNotExist, "what was written is in the one file")
	again := worldOn(t, openStore(t, path), noExecution)
	require.EqualValues(t, 1_000_010, again.BalanceOf(t, "acme").Available())
}
