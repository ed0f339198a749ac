// Package client calls Redrive over HTTP from Go. client.gen.go is generated from the OpenAPI
// document by oapi-codegen (make generate); the rest is what a generator cannot know: refusals
// as errors (Check), a run's events with resume (Watch), repeats that cannot count twice
// (WithRetries), and the signatures of webhooks (VerifyWebhook).
//
//	c, err := client.NewClientWithResponses("https://redrive.example.com",
//		client.WithToken(token), client.WithRetries(5))
//	run, err := client.Check(c.GetRunWithResponse(ctx, "run-1", nil))
//	fmt.Println(run.JSON200.Status)
//
// It depends on nothing else of Redrive.
package client
