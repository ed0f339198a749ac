// Package watermillqueue is ports.Queue and ports.Feed over Watermill.
//
//	q, err := watermillqueue.Open(ctx, os.Getenv("QUEUE_URL"), watermillqueue.Options{})
//	defer q.Close()
package watermillqueue
