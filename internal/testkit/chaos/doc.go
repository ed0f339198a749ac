// Package chaos kills servers while users work, and checks the database afterwards.
//
//	make chaos                                # 200 runs × 50 files, at most 5 minutes
//	make chaos CHAOS="-seed 7 -kill-every 300ms"
//
// Three real server processes share one throwaway Postgres. A random one is
// killed (SIGKILL) every second and started again at once, on another port.
// Meanwhile users start runs, continue and cancel them over HTTP, repeating a
// request under its Idempotency-Key until some server answers it, and the
// provider (cmd/server/fakellm, in the test's own process, so that it
// survives) fails one file in five. The queue's table refuses one enqueue in ten, so that
// dispatches are undone and refunded meanwhile.
//
// Then the faults stop, and within a bound every run must close. After that the server's
// ledger check must find no difference, the invariants of spec 10 must hold, and the
// answers that users got must agree with the database. A log of every change of a file,
// written by a trigger that only this test installs, must show that no result was
// recorded twice per file and epoch.
//
// TestChaosSQLite does the same to one server on SQLite, which is started again on its file.
//
//	make chaos-sqlite
//
// TestChaosBulk continues many runs of all tenants by one bulk continue meanwhile. Each must
// be continued exactly once, with the record and the charges of that, and nothing else.
//
//	make chaos-bulk
//
// A seed decides what the provider and the users do and which server is killed. It does
// not decide how processes interleave, so the same seed often repeats a failure, but not
// always.
//
// Everything is in the tests; a short version runs with all other tests.
package chaos
