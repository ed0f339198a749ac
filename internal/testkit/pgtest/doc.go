// Package pgtest gives tests a real Postgres: a throwaway server of the installed
// binaries, and in it a fresh, migrated database for each test.
//
//	db := pgtest.New(t)
//	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: db.URL})
//
// One server is started per test binary, when the first test asks for a
// database. It listens on a Unix socket in its own temporary folder and nowhere
// else, so nothing can collide and nobody else can connect. A test's database is a
// copy of a migrated template, which takes some 10 ms in memory (/dev/shm, if there
// is room) and 20 ms and more on a disk.
//
// If REDRIVE_TEST_DATABASE_URL is set, databases are made on that server instead;
// its user must be allowed to create databases. If it is not set and no Postgres
// is installed, tests fail and say what to run. They are never skipped.
//
// # What is left behind
//
// Nothing. A small shell supervises the server: it holds one end of a pipe whose
// other end is the test binary's. When the binary ends, however it ends (SIGKILL
// included), the pipe closes, and the shell stops the server and removes the
// folder. What even that shell left behind, because it was killed too, is found
// and removed by the next start: every folder has a lock file that is locked as
// long as the binary or the shell lives.
package pgtest
