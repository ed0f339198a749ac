package fakellm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxBody      = 64 << 20 // bytes of a request
	maxKept      = 1000     // requests kept for Requests
	maxKeptText  = 4 << 10  // bytes of text kept of each
	closeTimeout = 5 * time.Second
)

// Server is the fake provider. It is an http.Handler; with Listen it serves by itself. Its
// methods may be called by many goroutines at once.
type Server struct {
	script Script
	done   chan struct{} // closed by Close; ends every wait

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever a number below changes
	closed    bool
	inFlight  int
	highWater int
	seen      map[[sha256.Size]byte]int // by name and text; one entry per distinct file
	byName    map[string]int
	recent    []Request // the latest maxKept

	listening []*listening
	closeOnce sync.Once
	closeErr  error
}

// listening is one address that the server listens on.
type listening struct {
	server *http.Server
	ended  chan error // what Serve returned
}

// New gives a server that follows the script. Close it when done.
func New(script Script) *Server {
	if script == nil {
		script = Always(OK())
	}
	return &Server{
		script: script, done: make(chan struct{}), changed: make(chan struct{}),
		seen: map[[sha256.Size]byte]int{}, byName: map[string]int{},
	}
}

// Listen serves on an address such as "127.0.0.1:0" until Close, and gives the
// base URL for a client: http://host:port/v1.
func (s *Server) Listen(addr string) (baseURL string, err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("fake LLM: %w", err)
	}
	h := &listening{
		server: &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second},
		ended:  make(chan error, 1),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.Join(errors.New("fake LLM: it was closed"), l.Close())
	}
	s.listening = append(s.listening, h)
	go func() { h.ended <- h.server.Serve(l) }()
	return "http://" + l.Addr().String() + "/v1", nil
}

// Close ends every waiting request, stops listening and returns when no request is being
// answered any more. A second call gives the same error.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		open := s.listening
		s.mu.Unlock()
		close(s.done)
		for _, h := range open {
			s.closeErr = errors.Join(s.closeErr, h.close())
		}
		// A context that never ends: nothing waits any more.
		s.closeErr = errors.Join(s.closeErr, s.await(context.Background(), func() bool { return s.inFlight == 0 }))
	})
	return s.closeErr
}

func (h *listening) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if err != nil {
		// A client that neither sends nor disconnects must not delay Close.
		err = h.server.Close()
	}
	if ended := <-h.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{w: w, r: r, done: s.done}
	switch r.URL.Path {
	case "/v1/chat/completions":
		if x.method(http.MethodPost) {
			s.chat(x)
		}
	case "/v1/models":
		if x.method(http.MethodGet) {
			w.Header().Set("Content-Type", "application/json")
			x.send(http.StatusOK, `{"object":"list","data":[{"id":"fake-model","object":"model","created":1,"owned_by":"redrive"}]}`)
		}
	default:
		x.fail(http.StatusNotFound, "invalid_request_error", "unknown_url", "there is nothing at "+r.URL.Path)
	}
}

func (x exchange) method(want string) bool {
	if x.r.Method == want {
		return true
	}
	x.w.Header().Set("Allow", want)
	x.fail(http.StatusMethodNotAllowed, "invalid_request_error", "method_not_allowed", "use "+want)
	return false
}

func (s *Server) chat(x exchange) {
	// The body is read completely first: only then does net/http notice that a client
	// disconnects, and Hang depends on that.
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		x.fail(http.StatusBadRequest, "invalid_request_error", "unreadable_body", "the body could not be read")
		return
	}
	in, err := parseRequest(body, x.r.Header)
	if err != nil {
		x.fail(http.StatusBadRequest, "invalid_request_error", "invalid_request", err.Error())
		return
	}
	if x.in, err = s.begin(in); err != nil {
		drop()
	}
	defer s.end() // also if an action drops the connection, which is a panic
	s.script(x.in).do(x)
}

// begin counts and records a request, and gives the number of requests for its file.
func (s *Server) begin(in Request) (Request, error) {
	key := sha256.Sum256([]byte(in.File + "\x00" + in.Text))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Request{}, http.ErrServerClosed
	}
	s.seen[key]++
	s.byName[in.File]++
	in.Seen = s.seen[key]
	kept := in
	// Cloned, or the record would keep the whole text in memory.
	kept.Text = string([]byte(in.Text[:min(len(in.Text), maxKeptText)]))
	if len(s.recent) == maxKept {
		s.recent = slices.Delete(s.recent, 0, 1)
	}
	s.recent = append(s.recent, kept)
	s.inFlight++
	s.highWater = max(s.highWater, s.inFlight)
	s.signal()
	return in, nil
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.signal()
}

// signal wakes the goroutines in await; the caller holds mu.
func (s *Server) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until a condition on the fields under mu holds, or ctx ends.
func (s *Server) await(ctx context.Context, holds func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := holds(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitInFlight waits until at least n requests are being answered at the same
// moment, or ctx ends and then gives ctx's error.
func (s *Server) AwaitInFlight(ctx context.Context, n int) error {
	return s.await(ctx, func() bool { return s.inFlight >= n })
}

// AwaitIdle waits until no request is being answered, or ctx ends and then
// gives ctx's error.
func (s *Server) AwaitIdle(ctx context.Context) error {
	return s.await(ctx, func() bool { return s.inFlight == 0 })
}

// HighWater is the most requests that were being answered at the same moment.
func (s *Server) HighWater() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highWater
}

// Count is how many requests there were for files of this name.
func (s *Server) Count(file string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[file]
}

// Requests are the latest 1,000 requests in order of arrival, with the first
// 4 KiB of text of each.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent)
}
