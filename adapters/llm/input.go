package llm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// readText gives a file's text, or the result that the file gets because it has
// none. limit is in bytes.
func readText(ctx context.Context, file ports.TaskFile, limit int64, log *slog.Logger) (string, *core.FileResult) {
	fail := func(r core.FileResult) (string, *core.FileResult) { return "", &r }
	tooLarge := func() (string, *core.FileResult) {
		return fail(permanent(FailureTooLarge, fmt.Sprintf("the file has more than %d bytes of text", limit)))
	}
	if file.Size > limit {
		return tooLarge()
	}
	content, err := read(ctx, file, limit+1)
	if err != nil {
		// Storage is ours: not the tenant's fault, and perhaps soon over.
		if ctx.Err() == nil {
			log.Warn("a stored file could not be read", "error", err)
		}
		return fail(transient(core.FailureUnreadable, "the stored file could not be read", 0))
	}
	switch text := string(content); {
	case int64(len(text)) > limit:
		return tooLarge()
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return fail(permanent(FailureNotText, "the file is not UTF-8 text; convert it to UTF-8 and upload it again"))
	case strings.TrimSpace(text) == "":
		return fail(permanent(FailureEmpty, "the file has no text"))
	default:
		return text, nil
	}
}

// read gives at most limit bytes of the file.
func read(ctx context.Context, file ports.TaskFile, limit int64) (content []byte, err error) {
	r, err := file.Open(ctx)
	if err != nil {
		return nil, err
	}
	// Some storages tell only on closing that what they gave was not right.
	defer func() {
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
	}()
	return io.ReadAll(io.LimitReader(r, limit))
}
