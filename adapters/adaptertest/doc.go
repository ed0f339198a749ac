// Package adaptertest has the suites that every adapter passes, those of Redrive and
// those of an embedder:
//
//	storetest    ports.Store
//	queuetest    ports.Queue and ports.Feed
//	filestest    ports.Files
//
// Each holds an adapter to what package ports says of its methods, sentence by sentence,
// and no further: a suite knows nothing of how an adapter does it. An adapter that passes
// can stand in for any other of its port. No test of a suite can be skipped; where a port
// leaves something to the adapter, the suite is told by an option what this one does.
//
// # What is promised
//
// The suites have the version of the module, like the ports, and follow its semantic
// versioning. What is exported here stays until the next major version. A test of
// something new in a port comes with the release that has it, and a major version if
// adapters must change for it. A minor release may test more of what a port says already:
// an adapter that fails then was in breach before, and its users are better told by a
// test than by their books.
//
// # How to run them
//
// Give a factory that makes a new, empty adapter; subtests call it in parallel, each with
// the *testing.T to register clean-ups with. The subtests' names say what they ask, so
// `go test -run 'TestStore/Locks'` asks one thing. Run them with -race as well. An adapter
// that hangs fails by itself, after a minute or two a test.
//
// A module of its own that does this with a store, a queue and files is internal/embedder
// in Redrive's repository.
package adaptertest
