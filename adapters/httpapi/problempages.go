package httpapi

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/redrive/redrive/core"
)

// problemKindJSON is what there is to say of a code.
type problemKindJSON struct {
	Code       string             `json:"code"`
	Type       string             `json:"type"`
	Title      string             `json:"title"`
	Status     int                `json:"status"`
	When       string             `json:"when"`
	Do         string             `json:"do"`
	Example    problemJSON        `json:"example"`
	Operations []operationRefJSON `json:"operations"` // that may be answered with it
}

type operationRefJSON struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Tag    string `json:"-"`
}

type problemKindsJSON struct {
	Problems []problemKindJSON `json:"problems"`
}

// Pretty is the example for people.
func (p problemKindJSON) Pretty() (string, error) {
	text, err := json.MarshalIndent(p.Example, "", "  ")
	return string(text), err
}

// problemCodes are the codes of the table, by status.
func problemCodes() []core.Code {
	return slices.SortedFunc(maps.Keys(problems), func(a, b core.Code) int {
		return cmp.Or(cmp.Compare(problems[a].status, problems[b].status), cmp.Compare(a, b))
	})
}

func (a *api) problemKind(code core.Code) problemKindJSON {
	to := problems[code]
	return problemKindJSON{
		Code: string(code), Type: a.cfg.Prefix + problemsPath + string(code), Title: to.title, Status: to.status,
		When: to.when, Do: to.do, Example: exampleOf(code, a.cfg.Prefix), Operations: append([]operationRefJSON{}, a.documents().answering[code]...),
	}
}

// listProblems is GET /problems, a page for browsers and JSON for all others.
func (a *api) listProblems(w http.ResponseWriter, r *request) error {
	all := problemKindsJSON{}
	for _, code := range problemCodes() {
		all.Problems = append(all.Problems, a.problemKind(code))
	}
	w.Header().Set("Vary", "Accept")
	if wantsPage(r) {
		return writePage(w, "problems.html", textPolicy, all.Problems)
	}
	return writeJSON(w, http.StatusOK, all)
}

// getProblem is GET /problems/{code}: where the type of a problem leads to.
func (a *api) getProblem(w http.ResponseWriter, r *request) error {
	code := core.Code(r.code)
	if _, known := problems[code]; !known {
		return refused(codeNotFound, "there is no such problem; GET /problems lists all of them")
	}
	w.Header().Set("Vary", "Accept")
	if wantsPage(r) {
		return writePage(w, "problem.html", textPolicy, a.problemKind(code))
	}
	return writeJSON(w, http.StatusOK, a.problemKind(code))
}

// wantsPage reports whether the client is a browser that shows a page: those alone ask for
// HTML by name.
func wantsPage(r *request) bool {
	return slices.ContainsFunc(r.Header.Values("Accept"), func(v string) bool { return strings.Contains(v, "text/html") })
}
