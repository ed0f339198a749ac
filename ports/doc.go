// Package ports has the interfaces between the use cases (core/app) and the
// world: the store, the queue, the executor, the files and the clock. They are
// small, and each method says its errors, its locks and what a repeat does.
//
// The repository (Store) is the truth and the queue a fast hint: no adapter of
// Queue or Feed is trusted with correctness. Every adapter, an embedder's own as
// well, passes the suite of its port: storetest, queuetest or filestest in
// adapters/adaptertest.
package ports
