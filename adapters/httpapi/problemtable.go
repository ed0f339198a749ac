package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core"
)

// answerTo is the HTTP side of a code, and what its page says (GET /problems/{code}).
type answerTo struct {
	status int
	title  string // the same for every case, a short sentence without a period
	when   string // when it comes: whole sentences
	do     string // what the caller can do about it: whole sentences
	waits  bool   // whether Retry-After says when to try again
	facts  factsJSON
}

// problems is the one table from codes to HTTP (spec 9). The OpenAPI document, the pages of
// problems and docs/errors.md are made from it. A code that is not in it is answered as
// internal, and a test fails that names it. facts are those of an example.
var problems = map[core.Code]answerTo{
	core.CodeRunNotFound: {
		status: http.StatusNotFound, title: "There is no such run",
		when: "No run has the ID of the path.",
		do:   "Check the ID; GET /workflow-runs lists your runs.",
	},
	core.CodeFileNotFound: {
		status: http.StatusNotFound, title: "There is no such file",
		when: "The run has no file of this index, or the file has not what was asked for: an output only exists once the file is completed.",
		do:   "Look at the run's files; they are numbered 0, 1, 2, and so on.",
	},
	core.CodeTenantNotFound: {
		status: http.StatusNotFound, title: "There is no such tenant",
		when: "A platform admin named a tenant that does not exist.",
		do:   "Check the ID; GET /tenants lists all of them.",
	},
	core.CodeTenantSuspended: {
		status: http.StatusForbidden, title: "The tenant is suspended",
		when: "The operator of the platform has suspended the tenant. Nothing was started or charged; what runs goes on to its end, and everything can be read.",
		do:   "Read GET /tenants/{id} for the reason, and ask the operator to reopen the tenant. Then send the request under a new Idempotency-Key, if it had one.",
	},
	core.CodeTemplateNotFound: {
		status: http.StatusNotFound, title: "There is no such template",
		when: "The tenant has no template of this ID.",
		do:   "Check the ID; GET /templates lists them.",
	},
	core.CodeWebhookEndpointNotFound: {
		status: http.StatusNotFound, title: "There is no such webhook endpoint",
		when: "The tenant has no webhook endpoint of this ID.",
		do:   "Check the ID; GET /webhook-endpoints lists them.",
	},
	core.CodeWebhookDeliveryNotFound: {
		status: http.StatusNotFound, title: "There is no such delivery",
		when: "No event of this ID was written for the endpoint, or it is so old that it was removed.",
		do:   "Check the ID; GET /webhook-endpoints/{id}/deliveries lists what there is.",
	},
	core.CodeWebhookEndpointPaused: {
		status: http.StatusConflict, title: "The webhook endpoint is paused",
		when: "Something was to be sent to an endpoint that is paused, by hand or because it failed for too long.",
		do:   "Enable it first, with PATCH /webhook-endpoints/{id} and paused false.",
	},
	core.CodeTooManyWebhookEndpoints: {
		status: http.StatusConflict, title: "There are too many webhook endpoints",
		when: "The tenant has as many webhook endpoints as it may have.",
		do:   "Remove one that is not needed; an endpoint can take several types of events.",
	},
	core.CodeTooManyPings: {
		status: http.StatusConflict, title: "Too many pings are under way",
		when: "Ten pings to the endpoint are pending. Nothing was written.",
		do:   "Look at GET /webhook-endpoints/{id}/deliveries for what became of them, and ping again when they are delivered or given up.",
	},
	core.CodeWebhooksDisabled: {
		status: http.StatusConflict, title: "This server sends no webhooks",
		when: "The operator has turned webhooks off.",
		do:   "Ask the operator, or follow GET /workflow-runs/{id}/events instead.",
	},
	core.CodeAPIKeyNotFound: {
		status: http.StatusNotFound, title: "There is no such API key",
		when: "The tenant has no API key of this ID, or it was removed ninety days after it ended.",
		do:   "Check the ID; GET /api-keys lists them.",
	},
	core.CodeTooManyAPIKeys: {
		status: http.StatusConflict, title: "The tenant has too many API keys",
		when: "The tenant has 50 API keys in use, or made 500 within ninety days.",
		do:   "Revoke those that nothing uses (DELETE /api-keys/{id}).",
	},
	codeNotFound: {
		status: http.StatusNotFound, title: "There is nothing here",
		when: "No resource is at this path. Paths do not end in a slash.",
		do:   "Check the path; GET /openapi.json lists what there is.",
	},
	codeMethodNotAllowed: {
		status: http.StatusMethodNotAllowed, title: "This method is not for this path",
		when: "The path exists and does not take this method.",
		do:   "Use one of the methods of the Allow header.",
	},
	codeUnauthenticated: {
		status: http.StatusUnauthorized, title: "You are not signed in",
		when: "There is no credential, or one that is not accepted: malformed, expired, revoked, or not signed by whom this server trusts.",
		do:   "Send a valid credential in the Authorization header. The detail says what is wrong with this one.",
	},
	core.CodeWrongTenant: {
		status: http.StatusForbidden, title: "This belongs to another tenant",
		when: "The run or the tenant that was named is not yours.",
		do:   "Use a credential of that tenant, or leave the tenant out to act for your own.",
	},
	core.CodeRoleNotAllowed: {
		status: http.StatusForbidden, title: "Your role may not do this",
		when: "The action needs another role.",
		do:   "Ask a user who has the role: a customer_admin of your tenant, or the operator of the platform.",
	},
	core.CodeRunAlreadyRunning: {
		status: http.StatusConflict, title: "The run is running",
		when:  "The run has not closed yet, or another Continue of it was faster.",
		do:    "Wait until it has closed: watch its events, or read it again.",
		facts: factsJSON{Run: "run-1"},
	},
	core.CodeRunNotRunning: {
		status: http.StatusConflict, title: "The run is not running",
		when: "A cancel came after the run had closed.",
		do:   "Nothing: the run is closed. Read it to see how it ended.",
	},
	core.CodeNoErrorsToRetry: {
		status: http.StatusBadRequest, title: "There are no errors to retry",
		when: "Every file of the run is completed.",
		do:   "Nothing: the results are there.",
	},
	core.CodeNothingToRetry: {
		status: http.StatusBadRequest, title: "There is nothing to retry",
		when: "No file of the run is failed or pending. Files with an error of their own content are never continued.",
		do:   "Start a new run with corrected files for those that have the status error.",
	},
	core.CodeMaxRetryCountExceeded: {
		status: http.StatusBadRequest, title: "Files have used all their retries",
		when:  "Failed files have been continued as often as maxRetryCount allows. They block the whole Continue; files names them.",
		do:    "A platform admin can raise the run's maxRetryCount (PATCH /workflow-runs/{id}).",
		facts: factsJSON{Files: []int{1, 4}},
	},
	core.CodeInsufficientCredits: {
		status: http.StatusPaymentRequired, title: "Not enough credits",
		when:  "The tenant has fewer credits than the whole price. Nothing was charged.",
		do:    "Buy credits, then send the request again under a new Idempotency-Key: the same key gets this answer again.",
		facts: factsJSON{Needed: new(int64(96)), Available: new(int64(94))},
	},
	core.CodePriceChanged: {
		status: http.StatusConflict, title: "The price is higher than was accepted",
		when:  "The price is above the maxPrice of the request. Nothing was charged.",
		do:    "Accept the price of the answer by a maxPrice that is high enough, under a new Idempotency-Key.",
		facts: factsJSON{Price: new(int64(500))},
	},
	core.CodeCreditsOutOfRange: {
		status: http.StatusBadRequest, title: "The amount of credits is out of range",
		when: "A price or a balance would be larger than a 64-bit number.",
		do:   "Use smaller amounts.",
	},
	core.CodeChargeNotFound: {
		status: http.StatusNotFound, title: "There is no such charge",
		when: "The tenant's ledger has no entry of kind charge under this key.",
		do:   "Take the key from the ledger, or from the receipt of the run.",
	},
	core.CodeRefundTooLarge: {
		status: http.StatusConflict, title: "So much cannot be refunded",
		when:  "The amount is more than is left of the charge after earlier refunds and after what covers files that are pending, which are free to continue. Nothing was refunded.",
		do:    "Refund at most available, under a new Idempotency-Key. What covers pending files can be refunded once they are done.",
		facts: factsJSON{Available: new(int64(4))},
	},
	core.CodeTemplateNotPublished: {
		status: http.StatusConflict, title: "The template is not published",
		when: "A run was started of a template that is a draft.",
		do:   "Publish the template first (POST /templates/{id}/publish).",
	},
	core.CodeTemplateDeleted: {
		status: http.StatusConflict, title: "The template was deleted",
		when: "A deleted template was to be changed, published or started. Its runs can still be continued.",
		do:   "Use another template.",
	},
	core.CodeTenantExists: {
		status: http.StatusConflict, title: "The tenant exists already",
		when: "A tenant of this ID was created before.",
		do:   "Use the one that is there, or another ID.",
	},
	core.CodeIdempotencyKeyReused: {
		status: http.StatusUnprocessableEntity, title: "The idempotency key was used for something else",
		when: "The Idempotency-Key was sent before, with another request.",
		do:   "Make a new key for each new request; repeat a request under its key unchanged.",
	},
	core.CodeIdempotencyInProgress: {
		status: http.StatusConflict, title: "The first request with this key is under way",
		when:  "A repeat under an Idempotency-Key came while the first request was still being decided, and has waited for it in vain.",
		do:    "Wait as long as Retry-After says, and send it again, unchanged and under the same key.",
		waits: true,
	},
	core.CodeSecretNotRepeated: {
		status: http.StatusConflict, title: "It was done, and its secret is not shown again",
		when:  "A repeat under an Idempotency-Key of a request whose answer had a secret: the token of an API key, which is shown once and kept nowhere, or the secret of a webhook endpoint that was removed or given another secret since. The repeat made nothing; made is the ID of what the first request made.",
		do:    "If you have the first answer, use it. If it was lost, revoke the API key that made names (DELETE /api-keys/{id}), or rotate the secret of the endpoint, and make another under a new Idempotency-Key.",
		facts: factsJSON{Made: "3f9aK2LmQ0xZ"},
	},
	core.CodeInvalidRequest: {
		status: http.StatusBadRequest, title: "The request is not valid",
		when:  "Fields, parameters, headers or files are missing, malformed or out of range; errors names each.",
		do:    "Correct what errors names. Unknown and repeated fields are refused as well.",
		facts: factsJSON{Errors: []fieldErrorJSON{{Field: "limit", Message: "must be a whole number from 1 to 200"}}},
	},
	codePayloadTooLarge: {
		status: http.StatusRequestEntityTooLarge, title: "Too large",
		when:  "The body, or a file in it, is larger than the server takes.",
		do:    "Send less at a time; an upload can be split into several runs.",
		facts: factsJSON{Errors: []fieldErrorJSON{{Field: "files[0]", Message: "has more than 16777216 bytes"}}},
	},
	codeUnsupportedMedia: {
		status: http.StatusUnsupportedMediaType, title: "This content type is not understood here",
		when: "The Content-Type is missing, or not one that the operation takes.",
		do:   "Send application/json, or multipart/form-data where the operation takes files.",
	},
	codeNotAcceptable: {
		status: http.StatusNotAcceptable, title: "There is none of the types that you accept",
		when: "The Accept header has none of the types in which this can be had.",
		do:   "Accept one of the types that the detail names, or ask for one with ?format=.",
	},
	codeRequestTimeout: {
		status: http.StatusRequestTimeout, title: "The request took too long to arrive",
		when: "The body did not arrive in time, or too slowly.",
		do:   "Send it again, over a better connection or in smaller parts.",
	},
	core.CodeUploadQuotaExceeded: {
		status: http.StatusTooManyRequests, title: "Too much is being uploaded",
		when:  "The tenant has as many uploads under way as it may have.",
		do:    "Wait as long as Retry-After says, and send it again.",
		waits: true,
	},
	core.CodeTooManyDownloads: {
		status: http.StatusTooManyRequests, title: "Too much is being downloaded",
		when:  "The tenant, or the server, sends as many downloads of outputs, or of single files, as it may at once.",
		do:    "Wait as long as Retry-After says, and send it again.",
		waits: true,
	},
	codeRateLimited: {
		status: http.StatusTooManyRequests, title: "Too many requests",
		when:  "The caller, or all callers of its tenant together, have sent as many requests as they may for now; or too many credentials that are not valid came from the caller's address. The request had no effect.",
		do:    "Wait as long as Retry-After says, and send it again, unchanged. RateLimit says what is left.",
		waits: true,
	},
	codeTooManyStreams: {
		status: http.StatusTooManyRequests, title: "Too many event streams",
		when:  "The client, or its tenant, has as many event streams open as it may have.",
		do:    "Close streams that are no longer read, or wait as long as Retry-After says.",
		waits: true,
	},
	codeStorageFull: {
		status: http.StatusInsufficientStorage, title: "There is no room for the files",
		when: "The server's storage is full. Nothing was stored or charged.",
		do:   "Try again later; the operator was told.",
	},
	core.CodeEnqueueFailed: {
		status: http.StatusServiceUnavailable, title: "The work could not be handed out",
		when:  "The queue did not take the jobs. The charge was refunded, or Redrive goes on trying to make it good; a new run stays, closed, under the ID in run.",
		do:    "Continue the run in a moment: its files stay uploaded.",
		facts: factsJSON{Run: "run-1"},
	},
	core.CodeBulkNotFound: {
		status: http.StatusNotFound, title: "There is no such bulk continue",
		when: "No bulk continue has the ID of the path, or the one that was made under the Idempotency-Key is not here any more. They are kept for 90 days after their end, and stay behind when their tenant is moved; their keys stay used, so that nothing is charged again.",
		do:   "Check the ID; GET /bulk-continues lists them. To make another one, use a new Idempotency-Key.",
	},
	core.CodeBulkEmpty: {
		status: http.StatusBadRequest, title: "No run is selected",
		when: "No run that can be continued is selected by the filter. Nothing was made.",
		do:   "Widen the filter, under a new Idempotency-Key, or do nothing: there is nothing to continue.",
	},
	core.CodeBulkTooLarge: {
		status: http.StatusBadRequest, title: "Too many runs are selected",
		when: "More than 10,000 runs are selected, or more than 100,000 runs or 2,000 tenants would have to be looked through. Nothing was made.",
		do:   "Narrow the time, or make one for each template or tenant.",
	},
	core.CodeBulkTooManyNow: {
		status: http.StatusConflict, title: "Too many bulk continues at once",
		when: "The tenant has 20 bulk continues that have not ended, or made 200 that are still remembered by their idempotency keys; or as many selections and previews are under way as the server makes at once, two of them of one tenant. The detail says which. Nothing was made.",
		do:   "Wait for them, abort those that are not needed any more, or try again in a moment; under a new Idempotency-Key, if the request had one.",
	},
	core.CodeTenantMoved: {
		status: http.StatusServiceUnavailable, title: "The tenant was moved",
		when: "In the record of a bulk continue over several tenants, of runs that it left out: their tenant was moved to another database before it was their turn.",
		do:   "Continue them where the tenant lives now, or here if it stayed.",
	},
	core.CodeBulkEnded: {
		status: http.StatusConflict, title: "The bulk continue has ended",
		when: "It has finished or was aborted, so it cannot be paused, resumed or aborted.",
		do:   "Nothing, or make another one for the runs that are left.",
	},
	codeUnavailable: {
		status: http.StatusServiceUnavailable, title: "Not available at the moment",
		when:  "Something that the server depends on does not answer, or the server is stopping. Nothing was changed.",
		do:    "Wait as long as Retry-After says, and send the request again, unchanged.",
		waits: true,
	},
	codeOutcomeUnknown: {
		status: http.StatusInternalServerError, title: "It is not known whether this took effect",
		when: "The answer of the database to the last step was lost: the request may have taken effect or not.",
		do:   "Repeat it under the same Idempotency-Key, or look before you repeat it.",
	},
	codeInternal: {
		status: http.StatusInternalServerError, title: "Something went wrong on our side",
		when: "A fault that nobody foresaw; it was logged.",
		do:   "Try again. If it happens again, give the operator the requestId.",
	},
}
