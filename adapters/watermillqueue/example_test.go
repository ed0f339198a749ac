package watermillqueue_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Any Publisher and Subscriber of Watermill carry jobs; here those of its Go channel.
func ExampleNew() {
	channel := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	queue, err := watermillqueue.New(channel, channel, watermillqueue.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = queue.Close() }() // closes both

	ctx := context.Background()
	jobs := make([]core.Job, 5)
	for i := range jobs {
		jobs[i] = core.Job{Tenant: "acme", Run: "run", Epoch: 1, ID: core.FileJobID("run", i), Template: "summarise", Files: []int{i}}
	}
	taken, err := queue.Enqueue(ctx, jobs)
	if err != nil {
		panic(err)
	}
	fmt.Println("taken:", taken)

	// A worker with places for three jobs passes the others on.
	for left := len(jobs); left > 0; {
		deliveries, err := queue.Receive(ctx, 3, ports.Skip{})
		if err != nil {
			panic(err)
		}
		for _, d := range deliveries {
			mine := d.Jobs()
			if len(mine) > 3 {
				if err := d.Release(ctx, mine[3:]); err != nil {
					panic(err)
				}
			}
			for _, job := range d.Jobs() {
				fmt.Println(job.ID)
				left--
			}
			if err := d.Ack(ctx); err != nil { // once the claims are durable
				panic(err)
			}
		}
	}
	// Output:
	// taken: 5
	// run:file:0
	// run:file:1
	// run:file:2
	// run:file:3
	// run:file:4
}
