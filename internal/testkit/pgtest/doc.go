// Package pgtest gives tests a real Postgres: a throwaway server of the installed
// binaries, and in it a fresh, migrated database for each test.
//
//	db := pgtest.New(t)
//	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: db.URL})
//
// One server is started per test binary, when the first test asks for a
// database. It listens only on a Unix socket in its own temporary folder, so nothing can
// collide and no other user can connect. A test's database is a copy of a migrated
// template, which takes some 10 ms in memory (/dev/shm, if it is large enough) and 20 ms
// and more on a disk.
//
// If REDRIVE_TEST_DATABASE_URL is set, databases are made on that server instead;
// its user must be allowed to create databases. If it is not set and no Postgres
// is installed, tests fail and say what to run. They are never skipped.
//
// # What is left behind
//
// Nothing. A small shell supervises the server: it holds one end of a pipe whose other
// end the test binary holds. When the binary ends in any way, also by SIGKILL, the pipe
// closes, and the shell stops the server and removes the folder. If the shell was killed
// too, the next start removes the folder: every folder has a lock file that is locked as
// long as the binary or the shell lives.
package pgtest
