package world

import (
	"context"
	"strings"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// contents are what the files of runs say.
var contents = [...]string{"alpha", "beta", "gamma", "delta"}

// newFiles are what runs are made of whose files are not uploaded: references into the
// library.
var newFiles []core.NewFile = loadLibrary(memory.NewFiles(), tenantIDs[0])

// newLibrary has an upload of every tenant that was made before the world began.
func newLibrary() *memory.Files {
	files := memory.NewFiles()
	for _, tenant := range tenantIDs {
		loadLibrary(files, tenant)
	}
	return files
}

// loadLibrary gives the same references for every tenant. Memory does not fail.
func loadLibrary(into *memory.Files, tenant core.TenantID) []core.NewFile {
	const library core.RunID = "library"
	ctx := context.Background()
	upload, err := into.Begin(ctx, tenant, library, time.Time{})
	must(err)
	files := make([]core.NewFile, len(contents))
	for i, content := range contents {
		stored, err := upload.Add(ctx, strings.NewReader(content))
		must(err)
		files[i] = core.NewFile{Name: string(rune('a'+i)) + ".txt", Ref: stored.Ref, Size: stored.Size, Digest: stored.Digest}
	}
	must(upload.Commit(ctx))
	must(into.Keep(ctx, tenant, library))
	return files
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// upload initiates a run of the files that wanted names, which are uploaded for it.
func upload(ctx context.Context, svc *app.Service, who core.Actor, wanted app.InitiateRequest) (core.Run, error) {
	files, err := svc.BeginUpload(ctx, who, app.UploadRequest{
		Tenant: wanted.Tenant, Template: wanted.Template, Files: len(wanted.Files),
		MaxRetryCount: wanted.MaxRetryCount, MaxPrice: wanted.MaxPrice, IdempotencyKey: wanted.IdempotencyKey,
	})
	if err != nil {
		return core.Run{}, err
	}
	defer files.Discard(ctx)
	for i := range wanted.Files {
		if _, err := files.Add(ctx, wanted.Files[i].Name, strings.NewReader(contents[i])); err != nil {
			return core.Run{}, err
		}
	}
	wanted.Files, wanted.Upload = nil, files
	return svc.Initiate(ctx, who, wanted)
}
