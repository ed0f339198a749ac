// Command examples is the Go of docs/examples.md, which is made of it. A test runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/redrive/redrive/adapters/httpapi/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// [Set up]
	redrive, err := client.NewClientWithResponses(os.Getenv("REDRIVE_URL"),
		client.WithToken(os.Getenv("REDRIVE_TOKEN")), client.WithRetries(5))
	if err != nil {
		return err
	}

	// [Start a run]
	started, err := client.Check(redrive.InitiateRunWithResponse(ctx,
		&client.InitiateRunParams{IdempotencyKey: new("reports-of-november")},
		client.InlineRun{Template: new("summarise"), Files: []client.InlineFile{
			{Name: "a.txt", Text: "Sales rose."}, {Name: "fail-b.txt", Text: "Costs fell."},
		}}))
	if err != nil {
		return err
	}
	id := started.JSON201.Id
	fmt.Println(id)

	// [Wait until it is closed]
	state, err := client.AwaitClosed(ctx, redrive, id)
	if err != nil {
		return err
	}
	fmt.Println(state.Status)

	// [Read the run with its files]
	read, err := client.Check(redrive.GetRunWithResponse(ctx, id, nil))
	if err != nil {
		return err
	}
	for _, f := range read.JSON200.Files {
		fmt.Println(f.Name, f.Status)
	}

	// [Ask what a Continue would do and cost]
	preview, err := client.Check(redrive.PreviewRetryWithResponse(ctx, id))
	if err != nil {
		return err
	}
	fmt.Println(preview.JSON200.Files, preview.JSON200.Price)

	// [Continue: run again what failed]
	_, err = client.Check(redrive.RetryFailedWithResponse(ctx, id, &client.RetryFailedParams{
		MaxPrice: &preview.JSON200.Price, IdempotencyKey: new("reports-of-november-again"),
	}))
	if err != nil {
		return err
	}
	if state, err = client.AwaitClosed(ctx, redrive, id); err != nil {
		return err
	}
	fmt.Println(state.Status)

	// [Read an output]
	output, err := client.Check(redrive.GetOutputWithResponse(ctx, id, "1", nil))
	if err != nil {
		return err
	}
	fmt.Println(string(output.Body))

	// [Read what each file cost, and why]
	receipt, err := client.Check(redrive.GetReceiptWithResponse(ctx, id, nil))
	if err != nil {
		return err
	}
	for _, a := range receipt.JSON200.Attempts {
		for _, f := range a.Files {
			fmt.Println(f.Index, f.Why, f.Credits)
		}
	}

	// [Read the balance]
	balance, err := client.Check(redrive.GetBalanceWithResponse(ctx, nil))
	if err != nil {
		return err
	}
	fmt.Println(balance.JSON200.Available)

	// [Upload files]
	contentType, body := client.UploadForm("summarise", client.UploadedFile{Name: "c.txt", Content: strings.NewReader("A longer text.")})
	uploaded, err := client.Check(redrive.InitiateRunWithBodyWithResponse(ctx, nil, contentType, body))
	if err != nil {
		return err
	}
	fmt.Println(uploaded.JSON201.Id)

	// [See why a request is refused]
	_, err = client.Check(redrive.RetryFailedWithResponse(ctx, id, nil))
	if problem, refused := errors.AsType[*client.Error](err); refused {
		fmt.Println(problem.Problem.Code, *problem.Problem.Detail)
		err = nil
	}
	return err
}
