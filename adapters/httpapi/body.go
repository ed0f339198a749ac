package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Pace is how fast a client has to be. Zero means the default of each.
type Pace struct {
	// Body bounds a request's body from its headers to its end;
	// default 10 s. Authorized uploads have the bounds below instead.
	Body time.Duration
	// UploadRate is the least rate of an upload in bytes per second, averaged over
	// UploadWindow; default 10 KiB per second over 30 s. Only the time that the server
	// spends waiting for the client counts.
	UploadRate   int64
	UploadWindow time.Duration
	// Upload bounds an upload altogether; default 6 h.
	Upload time.Duration
	// Write bounds the writing of each 32 KiB of an answer; default 30 s.
	Write time.Duration
}

func (p Pace) withDefaults() Pace {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.Body, 10 * time.Second}, {&p.UploadWindow, 30 * time.Second}, {&p.Upload, 6 * time.Hour}, {&p.Write, 30 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if p.UploadRate <= 0 {
		p.UploadRate = 10 << 10
	}
	return p
}

// body is a request's body with deadlines: without them, a client that announces a body
// and then sends nothing would hold a connection and a goroutine for ever. Only the
// handler's goroutine uses it, except for leave.
type body struct {
	io.ReadCloser
	writer http.ResponseWriter // the server's own
	pace   Pace

	ends    time.Time     // of all of it
	linger  bool          // its sender is authenticated, and may finish a body that was refused
	paced   bool          // it is an upload
	left    time.Duration // an upload: of the window, for the client to use up
	arrived int64         // an upload: bytes in the window

	mu    sync.Mutex
	state bodyState
}

type bodyState int

const (
	bodyExpected bodyState = iota
	bodyEnded              // every byte of it was read, or there was none
	bodyTimedOut
	bodyGivenUp // the answer was begun without it
)

func newBody(w http.ResponseWriter, req *http.Request, pace Pace) *body {
	b := &body{ReadCloser: req.Body, writer: w, pace: pace, ends: time.Now().Add(pace.Body)}
	if b.ReadCloser == nil || b.ReadCloser == http.NoBody {
		b.ReadCloser, b.state = http.NoBody, bodyEnded
		return b
	}
	b.until(b.ends)
	return b
}

// until sets the deadline of reading. Servers that know none have none.
func (b *body) until(t time.Time) { _ = http.NewResponseController(b.writer).SetReadDeadline(t) }

// senderKnown marks the body as that of an authenticated caller. A client that sent
// Expect: 100-continue does not send a body that is refused, so there is none to finish.
func (b *body) senderKnown(req *http.Request) { b.linger = req.Header.Get("Expect") == "" }

// isUpload gives the client the time of an upload.
func (b *body) isUpload() {
	if b.state == bodyEnded {
		return
	}
	b.paced, b.left, b.ends = true, b.pace.UploadWindow, time.Now().Add(b.pace.Upload)
}

// Read fails once the client has used up its time.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	if b.paced {
		b.until(earlier(b.ends, began.Add(b.left)))
	}
	n, err := b.ReadCloser.Read(p)
	if b.paced {
		b.left -= time.Since(began)
		b.arrived += int64(n)
		if float64(b.arrived) >= float64(b.pace.UploadRate)*b.pace.UploadWindow.Seconds() {
			b.arrived, b.left = 0, b.pace.UploadWindow
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		// From now on net/http reads to notice that the client disconnects. It would
		// take an expired read deadline for that.
		b.end(bodyEnded)
		b.until(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.end(bodyTimedOut)
	}
	return n, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (b *body) end(s bodyState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == bodyExpected {
		b.state = s
	}
}

func (b *body) is(s bodyState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == s
}

// timedOut reports whether the client has used up its time.
func (b *body) timedOut() bool { return b.is(bodyTimedOut) }

// giveUp is called before an answer that does not wait for the rest of the body.
// net/http would first read up to 256 KB of it, for as long as the client likes. A body
// that is marked as too large makes it answer at once with Connection: close, and lets
// the client read the answer before the connection is closed.
func (b *body) giveUp() {
	if b.is(bodyEnded) {
		return
	}
	b.end(bodyGivenUp)
	_, _ = http.MaxBytesReader(b.writer, io.NopCloser(oneByte{}), 0).Read(make([]byte, 1)) // the error is what it is for
	b.until(time.Now())
}

// Many clients send their whole body before they read the answer. If the body was
// refused at its beginning, they would find a closed connection instead. Authenticated
// clients may therefore go on: for lingerBytes, for Pace.Body, with no pause longer than
// lingerPause.
const (
	lingerBytes = 32 << 20
	lingerPause = 2 * time.Second
)

// leave is called when the handler is done. net/http then closes the body, and would
// wait for the rest of it.
func (b *body) leave() {
	if b.is(bodyEnded) {
		return
	}
	if b.linger && b.is(bodyGivenUp) && http.NewResponseController(b.writer).Flush() == nil {
		b.discard()
	}
	b.until(time.Now())
}

func (b *body) discard() {
	buffer := make([]byte, 32<<10)
	ends := time.Now().Add(b.pace.Body)
	for left := lingerBytes; left > 0 && time.Now().Before(ends); {
		b.until(earlier(ends, time.Now().Add(lingerPause)))
		n, err := b.ReadCloser.Read(buffer)
		if left -= n; err != nil {
			return
		}
	}
}

// oneByte is a body of one byte.
type oneByte struct{}

func (oneByte) Read(p []byte) (int, error) { return copy(p, "x"), nil }
