package httpapi

import "time"

// The wire types of the answers. Requests are read field by field (decode.go). Times are
// RFC 3339 in UTC. An empty field is left out, except where 0 means the same. Amounts
// are whole credits, sizes are bytes.

type actorJSON struct {
	Subject string `json:"subject"`
	Role    string `json:"role"`
}

// runJSON is a run without its files.
type runJSON struct {
	ID       string `json:"id"`
	Tenant   string `json:"tenant"`
	Template string `json:"template"`
	// TemplateVersion is the version of the instructions that every attempt works with.
	TemplateVersion int    `json:"templateVersion"`
	Mode            string `json:"mode"`
	Status          string `json:"status"`
	Reason          string `json:"reason,omitempty"`
	// Failure is the fault of ours that interrupted files of the attempt.
	Failure   *failureJSON `json:"failure,omitempty"`
	CreatedBy actorJSON    `json:"createdBy"`
	CreatedAt time.Time    `json:"createdAt"`
	ClosedAt  time.Time    `json:"closedAt,omitzero"`

	MaxRetryCount int       `json:"maxRetryCount"`
	Attempt       int       `json:"attempt"` // 0 for the initiation
	LastRetriedAt time.Time `json:"lastRetriedAt,omitzero"`

	TotalJobs     int            `json:"totalJobs"`
	AttemptJobs   int            `json:"attemptJobs"`
	CompletedJobs int            `json:"completedJobs"`
	FailedJobs    int            `json:"failedJobs"`
	FileCounts    fileCountsJSON `json:"fileCounts"`

	CreditsConsumed      int64 `json:"creditsConsumed"`
	CreditsFromMonthly   int64 `json:"creditsFromMonthly"`
	CreditsFromPurchased int64 `json:"creditsFromPurchased"`

	Continuable continuableJSON `json:"continuable"`
}

type fileCountsJSON struct {
	Total      int `json:"total"`
	Unfinished int `json:"unfinished"` // pending or processing
	Completed  int `json:"completed"`
	Failed     int `json:"failed"`
	Error      int `json:"error"`
}

// continuableJSON says whether a Continue would be accepted, as far as that depends on
// the run and its files.
type continuableJSON struct {
	OK     bool   `json:"ok"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// runWithFilesJSON is a run as it is read by its ID.
type runWithFilesJSON struct {
	runJSON
	Files           []fileJSON `json:"files"`
	FilesURL        string     `json:"filesUrl"` // where all of them are, in pages
	NextFilesCursor string     `json:"nextFilesCursor,omitempty"`
}

type runPageJSON struct {
	Runs       []runJSON `json:"runs"`
	NextCursor string    `json:"nextCursor,omitempty"`
}

type fileJSON struct {
	Index        int          `json:"index"`
	Name         string       `json:"name"`
	Size         int64        `json:"size"`
	Status       string       `json:"status"`
	RetryAttempt int          `json:"retryAttempt"`
	FreeRetries  int          `json:"freeRetries"`           // those of them that were free, after a fault of ours
	Output       *string      `json:"output,omitempty"`      // completed only; left out if it is long
	OutputBytes  *int64       `json:"outputBytes,omitempty"` // completed only
	OutputURL    string       `json:"outputUrl,omitempty"`   // completed only: the address of the whole output
	Failure      *failureJSON `json:"failure,omitempty"`     // failed and error, and pending after an interruption
}

type failureJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type filePageJSON struct {
	Files      []fileJSON `json:"files"`
	Total      *int       `json:"total,omitempty"` // of the run; not with a filter
	NextCursor string     `json:"nextCursor,omitempty"`
}

type splitJSON struct {
	Monthly   int64 `json:"monthly"`
	Purchased int64 `json:"purchased"`
}

// previewJSON is what Continue would do now; if it would be refused, only the refusal.
type previewJSON struct {
	OK        bool         `json:"ok"`
	Files     []int        `json:"files"` // indexes of those that would be run again
	Charged   int          `json:"charged"`
	Free      int          `json:"free"`
	Price     int64        `json:"price"`
	Split     splitJSON    `json:"split"`
	Available int64        `json:"available"`
	Refusal   *refusalJSON `json:"refusal,omitempty"`
}

// refusalJSON is a refusal that is part of an answer and not the answer itself.
type refusalJSON struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
	factsJSON
}

// factsJSON are the facts of a refusal; each code has its own.
type factsJSON struct {
	Files     []int            `json:"files,omitempty"`
	Needed    *int64           `json:"needed,omitempty"`
	Price     *int64           `json:"price,omitempty"`
	Available *int64           `json:"available,omitempty"`
	Errors    []fieldErrorJSON `json:"errors,omitempty"`
	Run       string           `json:"run,omitempty"`
	Made      string           `json:"made,omitempty"`
}

type fieldErrorJSON struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// problemJSON is an RFC 9457 problem.
type problemJSON struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Instance  string `json:"instance"`
	Code      string `json:"code"`
	RequestID string `json:"requestId"`
	// NewKey says that this stays the answer under the request's Idempotency-Key, and that
	// the same request under a new one may succeed.
	NewKey bool `json:"newKey,omitempty"`
	factsJSON
}

type receiptJSON struct {
	Run             string               `json:"run"`
	Total           splitJSON            `json:"total"`
	TemplateVersion int                  `json:"templateVersion"`
	Attempts        []attemptReceiptJSON `json:"attempts"`
	// Amendments are the changes to maxRetryCount.
	Amendments []amendmentJSON `json:"amendments"`
	NextCursor string          `json:"nextCursor,omitempty"`
}

type amendmentJSON struct {
	By   actorJSON `json:"by"`
	At   time.Time `json:"at"`
	From int       `json:"maxRetryCountFrom"`
	To   int       `json:"maxRetryCountTo"`
}

type attemptReceiptJSON struct {
	Attempt       int               `json:"attempt"`
	RequestedBy   actorJSON         `json:"requestedBy"`
	RequestedAt   time.Time         `json:"requestedAt"`
	Jobs          int               `json:"jobs"`
	PricePerFile  int64             `json:"pricePerFile"`
	Charge        *chargeJSON       `json:"charge,omitempty"`
	RefundEntry   string            `json:"refundEntry,omitempty"`
	CompensatedAt time.Time         `json:"compensatedAt,omitzero"`
	Files         []receiptLineJSON `json:"files"`
	// RefundsByHand are the entries by which platform admins gave back of the charge.
	RefundsByHand []entryJSON `json:"refundsByHand,omitempty"`
}

// chargeJSON names the ledger entry of a charge.
type chargeJSON struct {
	Entry  string    `json:"entry"`
	Period string    `json:"period"`
	Split  splitJSON `json:"split"`
}

type receiptLineJSON struct {
	Index   int    `json:"index"`
	Kind    string `json:"kind"`
	Why     string `json:"why"`
	Credits int64  `json:"credits"`
	// Interrupted is the fault of ours that ended the attempt's work on the file.
	Interrupted *failureJSON `json:"interrupted,omitempty"`
}

type balanceJSON struct {
	Tenant    string `json:"tenant"`
	Period    string `json:"period"`
	Monthly   int64  `json:"monthly"`
	Purchased int64  `json:"purchased"`
	Available int64  `json:"available"`
	Suspended bool   `json:"suspended,omitempty"`
}

type templateVersionJSON struct {
	Version      int       `json:"version"`
	Instructions string    `json:"instructions"`
	By           actorJSON `json:"by"`
	At           time.Time `json:"at"`
}

type templateVersionPageJSON struct {
	Versions   []templateVersionJSON `json:"versions"` // newest first
	Total      int                   `json:"total"`
	NextCursor string                `json:"nextCursor,omitempty"`
}

type templateJSON struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	Name          string    `json:"name"`
	Instructions  string    `json:"instructions"`
	Version       int       `json:"version"`       // of the instructions
	CreditsPerRun int64     `json:"creditsPerRun"` // per file
	Mode          string    `json:"mode"`
	Status        string    `json:"status"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
	DeletedAt     time.Time `json:"deletedAt,omitzero"`
}

type templatesJSON struct {
	Templates  []templateJSON `json:"templates"`
	NextCursor string         `json:"nextCursor,omitempty"`
	NextAfter  string         `json:"nextAfter,omitempty"` // the same for ?after=
}

type tenantJSON struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	MonthlyAllowance int64     `json:"monthlyAllowance"`
	CreatedAt        time.Time `json:"createdAt"`
	SuspendedAt      time.Time `json:"suspendedAt,omitzero"`
	SuspendedReason  string    `json:"suspendedReason,omitempty"`
}

type tenantPageJSON struct {
	Tenants    []tenantJSON `json:"tenants"`
	NextCursor string       `json:"nextCursor,omitempty"`
	NextAfter  string       `json:"nextAfter,omitempty"` // the same for ?after=

	Incomplete *incompleteJSON `json:"incomplete,omitempty"`
}

type entryJSON struct {
	Seq     int64     `json:"seq"`
	Key     string    `json:"key"`
	Kind    string    `json:"kind"`
	Period  string    `json:"period"`
	Amount  splitJSON `json:"amount"`
	Run     string    `json:"run,omitempty"`
	Attempt *int      `json:"attempt,omitempty"` // charge and refund only; 0 is the initiation
	Charge  string    `json:"charge,omitempty"`  // refund only: the entry that it undoes
	Reason  string    `json:"reason,omitempty"`  // a refund by hand only
	Actor   actorJSON `json:"actor"`
	At      time.Time `json:"at"`
}

type ledgerPageJSON struct {
	Entries    []entryJSON `json:"entries"`
	NextCursor string      `json:"nextCursor,omitempty"`
	NextAfter  int64       `json:"nextAfter,omitempty"` // the same for ?after=; oldest first only
}

type healthJSON struct {
	Status string `json:"status"`
}
