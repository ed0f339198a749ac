// Package watermillqueue is ports.Queue and ports.Feed over Watermill: how jobs
// travel from the service that dispatches them to the workers.
//
//	q, err := watermillqueue.Open(ctx, os.Getenv("QUEUE_URL"), watermillqueue.Options{})
//	defer q.Close()
//
// The store is the truth and a job is a hint: claims are fenced by epoch, recovery
// sends again what was lost. So every backend serves, and they differ in what
// happens to jobs when a server stops, and in how fair they are.
//
//	               memory:             postgres://         nats://             New
//	kept           in this process     in the database     in JetStream        by the broker
//	servers        one                 any number          any number          any number
//	dedupe of the  what is waiting     what is waiting     2 minutes,          by the broker
//	same message   or in hand          or in hand          acked ones too
//	order          tenants in turn,    tenants in turn,    lanes, then         lanes, then
//	               then templates      then templates      tenants in turn     tenants in turn
//	skip           looks past          looks past          looks past what     waits behind
//	                                                       is in hand
//	in hand        unbounded           unbounded           256 messages a      as the Subscriber
//	                                                       lane                gives out
//	not answered   stays in hand       after the lease     after the lease     by the broker
//	Close          all is lost         others go on        others go on        others go on
//	dead letters   none can be         table queue_dead    stream ..._dead     memory, latest 1,000
//
// New makes a queue over any Publisher and Subscriber of Watermill, for brokers that
// have no URL here; see its example.
//
// # The way of a job
//
// Enqueue cuts jobs into messages of up to 250, of one run, epoch and template
// (ports.Messages), and the backend's publisher sends them. Its subscriber gives each
// to a Watermill router, whose handler reads it and puts a delivery into the inbox,
// where deliveries meet the callers of Receive: tenants in turn, then their templates.
// The answer to a delivery goes to its holder, which is what keeps the message: a row, a
// message of a broker, or this process. The router sees to panics and correlation IDs
// (WithCorrelationID, CorrelationID).
//
// On Postgres a store in the same database can insert messages by its own transactions
// (Queue.Outbox): then Enqueue is not called for what it begins.
//
// A worker that has no place for all jobs of a message releases the others, which are
// then a message of their own. A message that cannot be read becomes a dead letter with
// its reason and is in no other's way; DeadLetters lists them and sends them again.
// Watermill's Router.Close is no drain, and neither is Queue.Close: the workers
// stop first, and what is then unanswered is given back.
//
// The Postgres backend takes no more than callers wait for, so what is not wanted stays
// where other servers find it.
//
// # Messages and rolling upgrades
//
// A message is small JSON with a version, see message.go. Unknown fields are
// ignored, so servers of two releases can share a queue. A message of an unknown
// version is left in the queue for ten minutes, for a newer server that a rolling
// deployment is about to start, and is then a dead letter with ReasonVersion, which
// can be requeued once that server is there.
//
// Messages of version 1 were one job each. Servers that know only those do not see
// those of version 2, which on Postgres have a table of their own (queue_messages) and
// on JetStream subjects of their own. Servers of now read both: they move what is in
// queue_jobs when they start and once a minute, and listen to the earlier subjects
// while there is something or a server that listens to them. So nothing has to be done
// in an upgrade, and nothing in going back either: what is left in the new table or
// subjects is sent again by recovery. Over New both travel on one topic. There the old
// servers are stopped first, or Options.Topic is changed; dead letters that arose
// otherwise are requeued, and recovery sends their jobs again in any case.
//
// # Postgres
//
// Rows are taken with SKIP LOCKED by one statement that commits by itself and
// writes until when they are in a server's hands. Nothing is locked and no
// connection is used until they are answered, answers travel many at a time, and a
// server that dies loses what it had in hand for Options.Lease and no longer.
//
// Who has messages is known per (tenant, template), and each gets its share of the jobs
// that are wanted, so a backlog of 100,000 is in no other's way and one that is skipped
// costs nothing. Fairness has no memory: a tenant whose provider was down does not get
// everything afterwards.
//
// LISTEN/NOTIFY wakes idle servers. A notification can be missed, so an idle feed
// also looks by itself every Options.PollInterval, with one statement for all tenants.
// Behind a pooler that does not let sessions listen only that remains. Taking and acking
// do not wait for the disk: after a crash of Postgres jobs come again. Publishing does,
// unless Options.CommitAsync says that the queue is in the store's database.
//
// # JetStream
//
// Tenants are hashed over Options.Lanes subjects, each with a durable consumer. Two
// tenants on one lane are served first come first served: a large backlog delays
// the few others of its lane, and a skipped tenant can hold up its lane once
// Options.Prefetch of its messages are in hand. More lanes make that rarer; their
// number must not change while jobs are queued, or those on lanes that no server
// listens to any more stay there. Messages live for seven days; a stream
// with 10,000,000 refuses more. A stream that is there already is used as it
// is. A message that was acked is not sent again for two minutes, unless it was released.
//
// A message of a stream cannot be changed: if a server dies that has released a part of
// one, all of it comes again after the lease, which costs refused claims. The same holds
// over New.
package watermillqueue
