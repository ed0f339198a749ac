package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// spending says what a stretch spent its time on: processor time here and in
// the database, the log that was written, and, with -statements, each
// statement. It says nothing without that flag, since asking costs a little.
type spending struct {
	pool     *pgxpool.Pool
	here     time.Duration
	database map[int]time.Duration
	log      int64
}

func newSpending(b *testing.B, pool *pgxpool.Pool) *spending {
	b.Helper()
	if *statements {
		_, err := pool.Exec(b.Context(), "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
		require.NoError(b, err)
	}
	return &spending{pool: pool}
}

func (s *spending) begin(b *testing.B) {
	b.Helper()
	if !*statements {
		return
	}
	_, err := s.pool.Exec(b.Context(), "SELECT pg_stat_statements_reset()")
	require.NoError(b, err)
	s.log = s.logged(b)
	s.here, s.database = ownTime(b), s.databaseTime(b)
}

func (s *spending) end(b *testing.B, stretch string, jobs int, took time.Duration) {
	b.Helper()
	if !*statements {
		return
	}
	here := ownTime(b) - s.here
	var database time.Duration
	for pid, now := range s.databaseTime(b) {
		database += now - s.database[pid] // a process that is new began at 0
	}
	fmt.Printf("\n%s, %s: %d jobs in %v; processor time %v here, %v in the database; %d bytes of log a job\n\n",
		b.Name(), stretch, jobs, took.Round(time.Millisecond), here.Round(time.Millisecond), database.Round(time.Millisecond), (s.logged(b)-s.log)/int64(jobs))
	fmt.Println("| ms | least ms of a call | calls | rows | statement |\n|---|---|---|---|---|")
	rows, err := s.pool.Query(b.Context(), `
SELECT format('| %s | %s | %s | %s | %s |', round(total_exec_time), round(min_exec_time::numeric, 3), calls, rows, left(regexp_replace(query, '\s+', ' ', 'g'), 110))
  FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'
 ORDER BY total_exec_time DESC LIMIT 30`)
	require.NoError(b, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b, err)
	fmt.Println(strings.Join(lines, "\n"))
}

// logged is how many bytes of write-ahead log there are so far.
func (s *spending) logged(b *testing.B) (bytes int64) {
	b.Helper()
	require.NoError(b, s.pool.QueryRow(b.Context(), "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").Scan(&bytes))
	return bytes
}

func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// databaseTime is what each of the server's processes has used so far. It is on
// this machine.
func (s *spending) databaseTime(b *testing.B) map[int]time.Duration {
	b.Helper()
	rows, err := s.pool.Query(b.Context(), "SELECT pid FROM pg_stat_activity")
	require.NoError(b, err)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(b, err)
	used := map[int]time.Duration{}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		require.NoError(b, err)
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		var ticks int64
		for _, f := range fields[11:13] { // utime and stime, see proc(5)
			n, err := strconv.ParseInt(f, 10, 64)
			require.NoError(b, err)
			ticks += n
		}
		used[pid] = time.Duration(ticks) * time.Second / 100
	}
	return used
}
