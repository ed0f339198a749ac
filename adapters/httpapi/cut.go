package httpapi

import (
	"net/url"
	"strconv"
	"strings"
)

// The most bytes of one field of a log line. A request line may have 32 KB, and an
// error may quote a whole SQL statement.
const (
	maxLogged      = 256
	maxLoggedError = 1024
	maxLoggedStack = 8192
	// maxInstance bounds the path in a problem.
	maxInstance = 512
)

// cut shortens text that came from outside to at most most bytes, as valid UTF-8.
func cut(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// printable makes a word of a request fit for a message.
func printable(s string) string {
	const most = 32
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// instanceOf is the path of a request as a URI reference. It is not cut in the middle
// of an escape.
func instanceOf(u *url.URL) string {
	path := u.EscapedPath()
	if len(path) <= maxInstance {
		return path
	}
	path = path[:maxInstance]
	if i := strings.LastIndexByte(path, '%'); i > maxInstance-3 {
		path = path[:i]
	}
	return path
}
