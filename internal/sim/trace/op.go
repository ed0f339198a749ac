package trace

// Op is a call of a port, named as a reader would.
type Op uint8

// The calls.
const (
	NoOp Op = iota
	Begin
	CommitTx
	View
	TenantOf
	DueRuns
	Ungranted
	AllTenants
	RunGet
	RunLock
	RunInsert
	RunSave
	RunList
	FilesRead
	GroupLock
	AttemptInsert
	AttemptRead
	AttemptMark
	AmendmentInsert
	AmendmentList
	TenantInsert
	TenantGet
	TenantSave
	TemplateInsert
	TemplateGet
	TemplateLock
	TemplateSave
	TemplateList
	BalanceRead
	CreditsLock
	Post
	BooksRead
	AnswerGet
	AnswerInsert
	AnswerSave
	Enqueue
	Receive
	Ack
	Nack
	Release
	Execute
	FilePut
	FileOpen
	Sleep
	Start
	WaitRun
	UploadBegin
	UploadCommit
	UploadKeep
	UploadRemove
	UploadList
	StartsWrite
	BulkInsert
	BulkLock
	BulkSave
	BulkRead
)

var opNames = [...]string{
	"", "begin", "commit", "view", "tenant of run", "due runs", "tenants without a grant", "all tenants",
	"read run", "lock run", "insert run", "save run", "list runs", "read files", "lock free runs",
	"insert attempt", "read attempt", "mark compensated", "insert amendment", "list amendments",
	"insert tenant", "read tenant", "save tenant",
	"insert template", "read template", "lock template", "save template", "list templates",
	"read balance", "lock credits", "post entry", "read ledger",
	"read answer", "insert answer", "save answer",
	"enqueue", "receive", "ack", "nack", "release", "execute", "put file", "open file", "sleep", "start", "wait for run",
	"begin upload", "commit upload", "keep upload", "remove upload", "list uploads", "write starts",
	"insert bulk continue", "lock bulk continue", "save bulk continue", "read bulk continue",
}

// String names the call.
func (o Op) String() string { return opNames[o] }
