package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// A cursor is the position where a page ended, opaque to clients: a version, a sum of the
// list that it belongs to with its filter, a sum of the whole, and the place. One that was
// made up, cut or changed is refused, and so is one of another list or filter, in words that
// say which. Its version says too whether a page before it was incomplete. The sums are no
// secret: a cursor made up by hand gets a place in a list that its maker may read anyhow.
const (
	cursorVersion = '2'
	partialCursor = '3' // of a list of which a page was incomplete
	scopeBytes    = 6
	sumBytes      = 8
	maxCursor     = 512
)

// listing is one list as it was asked for: what its cursors are bound to, and where they lead.
type listing struct {
	api   *api
	r     *request
	scope [scopeBytes]byte
	// partial says that a page until here was incomplete.
	partial bool
}

// listing gives the list of this name as the request asks for it: of a tenant, or of what the
// path names, and filtered by these parameters of the query. limit is no filter: it may change
// from page to page.
func (a *api) listing(r *request, name string, tenant core.TenantID, filters ...string) (*listing, error) {
	l := &listing{api: a, r: r}
	text := fmt.Appendf(nil, "%q %q %q", name, tenant, r.id)
	for _, f := range slices.Sorted(slices.Values(filters)) {
		value, err := r.query(f)
		if err != nil {
			return l, err
		}
		if value != "" {
			text = fmt.Appendf(text, " %q=%q", f, value)
		}
	}
	sum := sha256.Sum256(text)
	copy(l.scope[:], sum[:])
	return l, nil
}

func (l *listing) version() byte {
	if l.partial {
		return partialCursor
	}
	return cursorVersion
}

func (l *listing) sum(place string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "cursor %c %x %s", l.version(), l.scope, place))
	return sum[:sumBytes]
}

// cursor is the cursor of a place.
func (l *listing) cursor(place string) string {
	return base64.RawURLEncoding.EncodeToString(slices.Concat([]byte{l.version()}, l.scope[:], l.sum(place), []byte(place)))
}

// place is where the request wants the page to begin, by ?cursor=; empty: at the beginning.
func (l *listing) place() (string, error) {
	cursor, err := l.r.query("cursor")
	if err != nil || cursor == "" {
		return "", err
	}
	if len(cursor) > maxCursor {
		return "", badCursor()
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < 1+scopeBytes+sumBytes || b[0] != cursorVersion && b[0] != partialCursor || base64.RawURLEncoding.EncodeToString(b) != cursor { // one cursor has one spelling
		return "", badCursor()
	}
	given := listing{scope: [scopeBytes]byte(b[1:]), partial: b[0] == partialCursor}
	sum, place := b[1+scopeBytes:][:sumBytes], string(b[1+scopeBytes+sumBytes:])
	if !slices.Equal(sum, given.sum(place)) {
		return "", badCursor()
	}
	if given.scope != l.scope {
		return "", core.InvalidField("cursor", "belongs to another list or another filter; send it with the parameters of its first page, or begin without a cursor")
	}
	l.partial = given.partial
	return place, nil
}

// next announces that there is a next page, and gives its cursor.
func (l *listing) next(w http.ResponseWriter, place string) string {
	cursor := l.cursor(place)
	query := l.r.URL.Query()
	query.Del("after")
	query.Set("cursor", cursor)
	next := url.URL{Path: l.api.cfg.Prefix + l.r.URL.Path, RawQuery: query.Encode()}
	w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	return cursor
}

// after gives the place of a list that goes on after an ID or a number: by its cursor, or by
// ?after=, as earlier clients did.
func (l *listing) after() (string, error) {
	place, err := l.place()
	if err != nil {
		return "", err
	}
	after, err := l.r.query("after")
	if err != nil {
		return "", err
	}
	if place != "" && after != "" {
		return "", core.InvalidField("after", "cannot be there together with a cursor; send the cursor alone")
	}
	return place + after, nil
}

func badCursor() error {
	return core.InvalidField("cursor", "is not one that this list has given; begin without a cursor")
}

func runPlace(at ports.RunCursor) string {
	return strconv.FormatInt(at.CreatedAt.UnixNano(), 10) + "/" + string(at.ID)
}

// parseRunPlace reads a place among runs; an empty one is the newest run.
func parseRunPlace(place string) (ports.RunCursor, error) {
	if place == "" {
		return ports.RunCursor{}, nil
	}
	nanos, id, slash := strings.Cut(place, "/")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if !slash || err != nil || !core.ValidID(id) {
		return ports.RunCursor{}, badCursor()
	}
	return ports.RunCursor{CreatedAt: time.Unix(0, n).UTC(), ID: core.RunID(id)}, nil
}

// parseIndex reads a place that is a number of at most 31 bits; an empty one is 0.
func parseIndex(place string) (int, error) {
	if place == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(place, 10, 31)
	if err != nil {
		return 0, badCursor()
	}
	return int(n), nil
}
