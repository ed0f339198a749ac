package apiclients

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi/client"
)

// The whole journey with the Go client.
func TestGoClient(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), newServer(t)
	operator, err := client.NewClientWithResponses(s.url, client.WithToken(s.operator), client.WithRetries(3))
	require.NoError(t, err)
	redrive, err := client.NewClientWithResponses(s.url, client.WithToken(s.token), client.WithRetries(3))
	require.NoError(t, err)

	// The platform's side: a tenant with credits and a template.
	of := string(tenant)
	_, err = client.Check(operator.CreateTenantWithResponse(ctx, nil, client.NewTenant{Id: of, Name: "Acme Ltd"}))
	require.NoError(t, err)
	key := client.NewKey()
	for range 2 {
		entry, err := client.Check(operator.PurchaseCreditsWithResponse(ctx, of, &client.PurchaseCreditsParams{IdempotencyKey: key}, client.NewPurchase{Amount: 100}))
		require.NoError(t, err)
		require.EqualValues(t, 1, entry.JSON201.Seq, "the repeat adds nothing")
	}
	template, err := client.Check(operator.CreateTemplateWithResponse(ctx, &client.CreateTemplateParams{TenantParameter: &of}, client.NewTemplate{
		Id: new("summarise"), Name: "Summarise", Instructions: "Summarise the file.", CreditsPerRun: 2, Mode: client.ModePerFile,
	}))
	require.NoError(t, err)
	_, err = client.Check(operator.PublishTemplateWithResponse(ctx, template.JSON201.Id, &client.PublishTemplateParams{TenantParameter: &of}))
	require.NoError(t, err)

	// A run of three files, of which one fails.
	body := client.InlineRun{Template: &template.JSON201.Id}
	for _, name := range []string{"a.txt", "fail-b.txt", "c.txt"} {
		body.Files = append(body.Files, client.InlineFile{Name: name, Text: "Text of " + name + "."})
	}
	params := &client.InitiateRunParams{IdempotencyKey: new(client.NewKey())}
	started, err := client.Check(redrive.InitiateRunWithResponse(ctx, params, body))
	require.NoError(t, err)
	run := started.JSON201.Id
	again, err := client.Check(redrive.InitiateRunWithResponse(ctx, params, body))
	require.NoError(t, err)
	require.Equal(t, run, again.JSON201.Id, "the repeat starts no other run")
	state, err := client.AwaitClosed(ctx, redrive, run)
	require.NoError(t, err)
	require.Equal(t, client.RunStatusCOMPLETEDWITHERRORS, state.Status)
	before, err := client.Check(redrive.GetRunWithResponse(ctx, run, nil))
	require.NoError(t, err)
	require.Equal(t, client.FileStatusFailed, before.JSON200.Files[1].Status)
	require.EqualValues(t, 6, before.JSON200.CreditsConsumed)

	// The Continue, at the price of its preview.
	preview, err := client.Check(redrive.PreviewRetryWithResponse(ctx, run))
	require.NoError(t, err)
	require.EqualValues(t, 2, preview.JSON200.Price)
	_, err = client.Check(redrive.RetryFailedWithResponse(ctx, run, &client.RetryFailedParams{MaxPrice: &preview.JSON200.Price, IdempotencyKey: new(client.NewKey())}))
	require.NoError(t, err)
	state, err = client.AwaitClosed(ctx, redrive, run)
	require.NoError(t, err)
	require.Equal(t, client.RunStatusCOMPLETED, state.Status)
	output, err := client.Check(redrive.GetOutputWithResponse(ctx, run, "1", &client.GetOutputParams{}))
	require.NoError(t, err)
	require.Equal(t, "TEXT OF FAIL-B.TXT.", string(output.Body))
	receipt, err := client.Check(redrive.GetReceiptWithResponse(ctx, run, &client.GetReceiptParams{}))
	require.NoError(t, err)
	require.Len(t, receipt.JSON200.Attempts, 2)
	balance, err := client.Check(redrive.GetBalanceWithResponse(ctx, &client.GetBalanceParams{}))
	require.NoError(t, err)
	require.EqualValues(t, 92, balance.JSON200.Available)

	// An upload, as a form.
	contentType, form := client.UploadForm(template.JSON201.Id, client.UploadedFile{Name: "d.txt", Content: strings.NewReader("Uploaded.")})
	uploaded, err := client.Check(redrive.InitiateRunWithBodyWithResponse(ctx, &client.InitiateRunParams{}, contentType, form))
	require.NoError(t, err)
	state, err = client.AwaitClosed(ctx, redrive, uploaded.JSON201.Id)
	require.NoError(t, err)
	require.Equal(t, client.RunStatusCOMPLETED, state.Status)

	// A refusal, whose type leads to what to do about it.
	_, err = client.Check(redrive.RetryFailedWithResponse(ctx, run, &client.RetryFailedParams{}))
	require.Equal(t, client.CodeNoErrorsToRetry, client.CodeOf(err))
	require.ErrorContains(t, err, "redrive: no_errors_to_retry (status 400): ")
	problem, err := client.Check(redrive.GetProblemWithResponse(ctx, string(client.CodeOf(err))))
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, problem.JSON200.Status)
}
