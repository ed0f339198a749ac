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
	// UploadWindow; default 10 KiB in 30 s. Only the time counts in which the client
	// is waited for.
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

// body is a request's body with deadlines: a client that says how long its body is
// and then sends nothing would hold a connection, and a goroutine, for ever. It is of
// the handler's goroutine alone, but for leave.
type body struct {
	io.ReadCloser
	writer http.ResponseWriter // the server's own
	pace   Pace

	ends    time.Time     // of all of it
	linger  bool          // its sender is known, and may finish a body that was refused
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

// isOf tells of whom it is: of a caller that is known. Who waits to be asked for the
// body sends none.
func (b *body) isOf(req *http.Request) { b.linger = req.Header.Get("Expect") == "" }

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
		// net/http now listens for the client's going away: at a deadline it would
		// take it for gone.
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
// net/http would read up to 256 KB of it first, for as long as the client likes; it
// is told that the body is too large instead, so that it answers at once, says
// Connection: close, and lets the client read the answer before it closes.
func (b *body) giveUp() {
	if b.is(bodyEnded) {
		return
	}
	b.end(bodyGivenUp)
	_, _ = http.MaxBytesReader(b.writer, io.NopCloser(oneByte{}), 0).Read(make([]byte, 1)) // the error is what it is for
	b.until(time.Now())
}

// Many clients send a body to its end before they look for an answer, and meet a
// closed connection instead if it was refused at its beginning. Those that are known
// may go on: this far, as long as any body may take, and without a pause.
const (
	lingerBytes = 32 << 20
	lingerPause = 2 * time.Second
)

// leave is called when the handler is done: net/http closes the body, and would wait.
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
