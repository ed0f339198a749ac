package webui

import (
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// Prefix begins every path of the page; all other paths are the API's.
const Prefix = "/ui/"

// handler answers one request. An error that it returns becomes a page in words.
type handler func(w http.ResponseWriter, r *request) error

// routes is every address of the page.
func (u *ui) routes() http.Handler {
	mux := http.NewServeMux()
	public := func(pattern string, h handler) { mux.Handle(pattern, u.serve(h, false)) }
	signedIn := func(pattern string, h handler) { mux.Handle(pattern, u.serve(h, true)) }

	public("GET /{$}", func(w http.ResponseWriter, r *request) error { return r.redirect(w, Prefix+"runs") })
	public("GET /ui", func(w http.ResponseWriter, r *request) error { return r.redirect(w, Prefix+"runs") })
	public("GET /ui/{$}", func(w http.ResponseWriter, r *request) error { return r.redirect(w, Prefix+"runs") })
	mux.HandleFunc("GET /ui/assets/{hash}/{name}", serveAsset)
	public("GET /favicon.ico", func(w http.ResponseWriter, r *request) error { return r.redirect(w, assetURL("icon.svg")) })
	public("GET /ui/sign-in", u.signInPage)
	public("POST /ui/sign-in", u.signIn)
	public("POST /ui/sign-in/demo", u.signInDemo)
	public("GET /ui/sign-in/oidc", u.goToProvider)
	public("GET "+ProviderCallback, u.backFromProvider)
	public("POST /ui/sign-out", u.signOut)
	public("POST /ui/preferences", u.setPreferences)
	public("GET /ui/components", u.componentsPage)

	signedIn("GET /ui/runs", u.runsPage)
	signedIn("GET /ui/runs/new", u.newRunPage)
	signedIn("POST /ui/runs/new", u.startRun)
	signedIn("GET /ui/runs/{id}", u.runPage)
	signedIn("GET /ui/runs/{id}/events", u.runEvents)
	signedIn("GET /ui/events", u.tenantEvents)
	signedIn("POST /ui/runs/{id}/continue", u.continueRun)
	signedIn("POST /ui/runs/{id}/cancel", u.cancelRun)
	signedIn("POST /ui/runs/{id}/retries", u.raiseRetries)
	signedIn("GET /ui/runs/{id}/receipt", u.receiptPage)
	signedIn("GET /ui/runs/{id}/files.csv", u.outputsAs("text/csv; charset=utf-8", ".csv", filesCSV))
	signedIn("GET /ui/runs/{id}/outputs.zip", u.outputsAs("application/zip", ".zip", (*app.Outputs).WriteZIP))
	signedIn("GET /ui/runs/{id}/outputs.jsonl", u.outputsAs("application/jsonl", ".jsonl", (*app.Outputs).WriteJSONL))
	signedIn("GET /ui/runs/{id}/files/{index}", u.filePage)
	signedIn("GET /ui/runs/{id}/files/{index}/output", u.fileOutput)
	signedIn("GET /ui/runs/{id}/files/{index}/input", u.fileInput)

	signedIn("GET /ui/bulk", u.bulksPage)
	signedIn("POST /ui/bulk", u.createBulk)
	signedIn("GET /ui/bulk/new", u.newBulkPage)
	signedIn("GET /ui/bulk/{id}", u.bulkPage)
	signedIn("POST /ui/bulk/{id}/pause", u.pauseBulk)
	signedIn("POST /ui/bulk/{id}/resume", u.resumeBulk)
	signedIn("POST /ui/bulk/{id}/abort", u.abortBulk)

	signedIn("GET /ui/credits", u.creditsPage)
	signedIn("GET /ui/credits/ledger.csv", u.ledgerCSV)
	signedIn("GET /ui/credits/statement", u.statementPage)
	signedIn("GET /ui/templates", u.templatesPage)
	signedIn("GET /ui/templates/new", u.newTemplatePage)
	signedIn("POST /ui/templates/new", u.createTemplate)
	signedIn("GET /ui/templates/{id}", u.templatePage)
	signedIn("POST /ui/templates/{id}", u.changeTemplate)
	signedIn("POST /ui/templates/{id}/publish", u.publishTemplate)
	signedIn("POST /ui/templates/{id}/try", u.tryTemplate)
	signedIn("POST /ui/templates/{id}/delete", u.deleteTemplate)
	signedIn("GET /ui/keys", u.keysPage)
	signedIn("POST /ui/keys", u.makeKey)
	signedIn("POST /ui/keys/{id}/revoke", u.revokeKey)
	signedIn("GET /ui/webhooks", u.webhooksPage)
	signedIn("POST /ui/webhooks", u.makeWebhook)
	signedIn("POST /ui/low-credits", u.setLowCredits)
	signedIn("GET /ui/webhooks/{id}", u.webhookPage)
	signedIn("POST /ui/webhooks/{id}", u.changeWebhook)
	signedIn("POST /ui/webhooks/{id}/pause", u.pauseWebhook)
	signedIn("POST /ui/webhooks/{id}/ping", u.pingWebhook)
	signedIn("POST /ui/webhooks/{id}/rotate", u.rotateWebhook)
	signedIn("POST /ui/webhooks/{id}/remove", u.removeWebhook)
	signedIn("POST /ui/webhooks/{id}/deliveries/{event}", u.redeliverWebhook)
	signedIn("GET /ui/operations", u.operationsPage)
	signedIn("GET /ui/tenants", u.tenantsPage)
	signedIn("POST /ui/tenants", u.createTenant)
	signedIn("GET /ui/tenants/{id}", u.tenantPage)
	signedIn("POST /ui/tenants/{id}", u.changeTenant)
	signedIn("POST /ui/tenants/{id}/suspend", u.suspendTenant)
	signedIn("POST /ui/tenants/{id}/reopen", u.reopenTenant)
	signedIn("GET /ui/audit", u.auditPage)
	signedIn("POST /ui/runs/{id}/refund", u.refundCharge)
	signedIn("POST /ui/tenants/{id}/allowances", u.grantAllowance)
	signedIn("POST /ui/tenants/{id}/purchases", u.purchaseCredits)

	public("/", func(http.ResponseWriter, *request) error { return errNoPage })
	return mux
}

// errNoPage is an unknown address.
var errNoPage = &core.Error{Code: codeNoPage}

// errContentGone is a file whose stored content is not there any more.
var errContentGone = &core.Error{Code: codeContentGone}

const (
	codeContentGone core.Code = "content_gone"
	codeNoPage      core.Code = "no_page"
	codeRateLimited core.Code = "rate_limited"
	codeUnavailable core.Code = "unavailable"
	// Those of a Provider.
	codeSignInDenied   core.Code = "sign_in_denied"
	codeSignInNoAccess core.Code = "sign_in_no_access"
	codeUnknown        core.Code = "outcome_unknown"
	codeInternal       core.Code = "internal"
)
