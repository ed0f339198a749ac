package httpapi

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Cursors are opaque to clients. A cursor is the position where a page ended, after a
// letter for the kind of list, so that a cursor of one list is refused by another.
const (
	runCursorKind  = "r"
	fileCursorKind = "f"
)

func encodeCursor(kind, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + place))
}

func decodeCursor(kind, cursor string) (place string, ok bool) {
	const most = 256
	if len(cursor) > most {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(b), kind)
}

func runCursor(at ports.RunCursor) string {
	return encodeCursor(runCursorKind, strconv.FormatInt(at.CreatedAt.UnixNano(), 10)+"/"+string(at.ID))
}

// parseRunCursor reads a cursor; an empty one is the newest run.
func parseRunCursor(cursor string) (ports.RunCursor, error) {
	if cursor == "" {
		return ports.RunCursor{}, nil
	}
	place, ok := decodeCursor(runCursorKind, cursor)
	nanos, id, slash := strings.Cut(place, "/")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if !ok || !slash || err != nil || !core.ValidID(id) {
		return ports.RunCursor{}, badCursor()
	}
	return ports.RunCursor{CreatedAt: time.Unix(0, n).UTC(), ID: core.RunID(id)}, nil
}

func fileCursor(next int) string { return encodeCursor(fileCursorKind, strconv.Itoa(next)) }

// parseFileCursor gives the index to go on from; an empty cursor is the first file.
func parseFileCursor(cursor string) (from int, err error) {
	if cursor == "" {
		return 0, nil
	}
	place, ok := decodeCursor(fileCursorKind, cursor)
	n, err := strconv.ParseInt(place, 10, 32)
	if !ok || err != nil || n < 0 {
		return 0, badCursor()
	}
	return int(n), nil
}

func badCursor() error {
	return core.InvalidField("cursor", "is not one that this list has given; begin without a cursor")
}
