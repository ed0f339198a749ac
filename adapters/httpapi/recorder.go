package httpapi

import (
	"net/http"
	"time"
)

// pieceBytes is how much is written under one deadline: a client has to read at least
// pieceBytes in Pace.Write.
const pieceBytes = 32 << 10

// recorder notes the answer's status and size for the log, and puts a deadline on each
// write, so that a client that does not read is disconnected.
type recorder struct {
	http.ResponseWriter
	body    *body
	timeout time.Duration // of each piece
	own     bool          // the handler sets the deadlines of its writes itself
	status  int           // 0 until the answer has begun
	bytes   int64
	err     error // the first of writing
}

// WriteHeader notes the status. It does not wait for the rest of the request's body.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.body.giveUp()
		r.extend()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	written := 0
	for {
		piece := b[written:min(len(b), written+pieceBytes)]
		r.extend()
		n, err := r.ResponseWriter.Write(piece)
		written += n
		r.bytes += int64(n)
		if err != nil && r.err == nil {
			r.err = err
		}
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// WriteString is Write without a copy of the whole text.
func (r *recorder) WriteString(s string) (int, error) {
	written := 0
	for written < len(s) {
		n, err := r.Write([]byte(s[written:min(len(s), written+pieceBytes)]))
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// FlushError sends what was written so far, for http.ResponseController.
func (r *recorder) FlushError() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.extend()
	err := http.NewResponseController(r.ResponseWriter).Flush()
	if err != nil && r.err == nil {
		r.err = err
	}
	return err
}

// extend gives the client time for the next piece. The last deadline also applies to
// what net/http itself still has to send. A writer without deadlines, such as the
// recorder of a test, ignores it.
func (r *recorder) extend() {
	if r.own {
		return
	}
	_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(r.timeout))
}

// SetWriteDeadline is for a handler that streams, through http.ResponseController. From
// then on the handler alone sets the deadlines.
func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.own = true
	return http.NewResponseController(r.ResponseWriter).SetWriteDeadline(t)
}

// Unwrap lets http.ResponseController find what the server's own writer can do.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
