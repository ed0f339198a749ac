// Package watermillqueue is ports.Queue and ports.Feed over Watermill: how jobs
// travel from whoever dispatches them to the workers.
//
//	q, err := watermillqueue.Open(ctx, os.Getenv("QUEUE_URL"), watermillqueue.Options{})
//	defer q.Close()
//
// The store is the truth and a job is a hint: claims are fenced by epoch, recovery
// sends again what was lost. So every backend serves, and they differ in what
// happens to jobs when a server stops, and in how fair they are.
//
//	               memory:             postgres://         nats://             kafka://
//	kept           in this process     in the database     in JetStream        in Kafka
//	servers        one                 any number          any number          any number
//	dedupe by      what is waiting     what is waiting     2 minutes,          none
//	(job, epoch)   or in hand          or in hand          acked ones too
//	order          tenants in turn,    tenants in turn,    lanes in turn       partitions in turn
//	               then templates      then templates
//	skip           looks past          looks past          looks past what     waits behind
//	                                                       is in hand
//	in hand        unbounded           unbounded           256 a lane          1 a partition
//	not answered   stays in hand       after the lease     after the lease     stays in hand
//	Close          all is lost         others go on        others go on        others go on
//	dead letters   none can be         table queue_dead    stream ..._dead     memory, latest 1,000
//
// # How it is made
//
// A Watermill router hands each message to the inbox, where deliveries meet those
// who receive, and sees to panics and correlation IDs (WithCorrelationID,
// CorrelationID). A message that cannot be read becomes a dead letter with its
// reason and is in nobody's way; DeadLetters lists them and sends them again.
// Watermill's Router.Close is no drain, and neither is Queue.Close: whoever works
// stops first, and what is then unanswered is given back.
//
// The memory and Postgres backends take no more than somebody waits for, so memory
// stays bounded however much is queued, and what is not wanted stays where other
// servers find it.
//
// # Messages
//
// A message is small JSON with a version, see message.go. Unknown fields are
// ignored, so servers of two releases can share a queue. A message of an unknown
// version is left in the queue for ten minutes, for a newer server that a rolling
// deployment is about to start, and is then a dead letter with ReasonVersion, which
// can be requeued once that server is there.
//
// # Postgres
//
// Rows are taken with SKIP LOCKED by one statement that commits by itself and
// writes until when they are in somebody's hands. Nothing is locked and no
// connection is used until they are answered, answers travel many at a time, and a
// server that dies loses what it had in hand for Options.Lease and no longer.
// Watermill's subscriber drives this through its adapters. Used as it comes it
// keeps a transaction open for every message, has one message in hand at a time,
// hands out rows before they are committed, deletes rows that it never delivered
// when a batch ends early, and takes an error that ends its rows for an empty queue.
//
// Who has jobs is known per (tenant, template), and each gets its share of what is
// wanted, so a backlog of 100,000 is in nobody's way and one that is skipped costs
// nothing. Fairness has no memory: a tenant whose provider was down does not get
// everything afterwards.
//
// LISTEN/NOTIFY wakes idle servers. A notification can be missed, so an idle feed
// also looks by itself every Options.PollInterval. Behind a pooler that does not
// let sessions listen only that remains. Taking and acking do not wait for the disk:
// after a crash of Postgres jobs come again. Publishing does, unless
// Options.CommitAsync says that the queue is in the store's database.
//
// # JetStream
//
// Tenants are hashed over Options.Lanes subjects, each with a durable consumer. Two
// tenants on one lane are served first come first served: a large backlog delays
// the few others of its lane, and a skipped tenant can hold up its lane once
// Options.Prefetch of its jobs are in hand. More lanes make that rarer; their
// number must not change while jobs are queued, or those on lanes that nobody
// listens to any more stay there. Jobs of a stream live for seven days; a stream
// with 10,000,000 jobs refuses more. A stream that is there already is used as it
// is. A job that was acked is not sent again under the same epoch for two minutes.
//
// # Kafka
//
// New over Watermill's pair, with the tenant as the key. A partition has one job in
// workers' hands at a time, so claims come singly; a nack holds up its partition.
// It was tested against no broker: only its configuration and messages are.
package watermillqueue
