package core

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NewUpload is what is known of a run before its files are uploaded.
type NewUpload struct {
	Files         int      // 0: not known yet, one at least
	MaxRetryCount *int     // nil: not known yet, or the default
	MaxFiles      int      // the configured limit; 0: DefaultMaxFiles
	MaxPrice      *Credits // as in NewRun
}

// CheckNewUpload checks what can be checked without a store. It fails with
// CodeInvalidRequest.
func CheckNewUpload(req NewUpload) error {
	var wrong []FieldError
	limit := req.MaxFiles
	if limit == 0 {
		limit = DefaultMaxFiles
	}
	if req.Files < 0 || req.Files > limit {
		wrong = append(wrong, FieldError{"files", fmt.Sprintf("must be 1 to %d files, not %d", limit, req.Files)})
	}
	if n := req.MaxRetryCount; n != nil && (*n < 1 || *n > MaxMaxRetryCount) {
		wrong = append(wrong, FieldError{"maxRetryCount", fmt.Sprintf("must be 1 to %d", MaxMaxRetryCount)})
	}
	return Invalid(wrong...)
}

// MayUpload decides before a byte is stored whether a run of these files could be
// initiated now, so that a run that PlanRun would refuse is refused without an upload.
// PlanRun decides again after the upload. It fails with CodeTemplateNotPublished,
// CodeTemplateDeleted, CodePriceChanged, CodeInsufficientCredits or CodeCreditsOutOfRange.
func MayUpload(req NewUpload, t Template, balance Balance) error {
	if err := t.usable(); err != nil {
		return err
	}
	price, err := t.CreditsPerRun.Times(max(1, req.Files))
	if err != nil {
		return err
	}
	if err := accepted(price, req.MaxPrice); err != nil {
		return err
	}
	if err := balance.mayStart(); err != nil {
		return err
	}
	_, err = balance.SplitPrice(price)
	return err
}

// CheckFileName says what is wrong with the name of an uploaded file at an index. It
// may contain folders, but must not lead out of the uploaded folder: a client that writes
// results next to the files would follow it. It fails with CodeInvalidRequest.
func CheckFileName(index int, name string) error {
	problem := fileNameProblem(name)
	if problem == "" && leadsOut(name) {
		problem = "leads out of the folder of the upload; send it relative and without '..', like sub/readme.txt"
	}
	if problem != "" {
		return InvalidField(fmt.Sprintf("files[%d].name", index), "%s", problem)
	}
	return nil
}

// leadsOut reports whether a name, taken as a path on any system, leads out of a folder.
func leadsOut(name string) bool {
	path := strings.ReplaceAll(name, `\`, "/")
	if strings.HasPrefix(path, "/") || len(path) > 2 && path[1] == ':' && path[2] == '/' {
		return true
	}
	return slices.Contains(strings.Split(path, "/"), "..")
}

// fileNameProblem says why a file cannot have a name; empty if it can. A name is a label
// and may contain folders; Redrive never uses it as a path.
func fileNameProblem(name string) string {
	switch {
	case name == "":
		return "is empty; each file needs a name"
	case !utf8.ValidString(name):
		return "is not UTF-8; send the name in UTF-8"
	}
	if n := utf8.RuneCountInString(name); n > MaxNameLength {
		return fmt.Sprintf("has %d characters, folders included; at most %d are allowed", n, MaxNameLength)
	}
	position := 0
	for _, r := range name {
		if position++; unicode.IsControl(r) {
			return fmt.Sprintf("has the control character %U as its character %d; rename the file", r, position)
		}
	}
	if strings.TrimSpace(name) == "" {
		return "has blanks only; each file needs a name"
	}
	return ""
}
