package postgres_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// verdict is what a relay does with a message of the client.
type verdict int

const (
	forward     verdict = iota
	cut                 // close both sides; the server never sees the message
	forwardCut          // pass it on and close both sides; the client never sees the answer
	forwardMute         // pass it on and keep the answer, and all that follow, from the client
)

// relay stands between a pool and the server and does to the connections what
// networks do. It looks at each message that a client sends: its type and body
// in the protocol of Postgres.
type relay struct {
	url    string
	target pgconn.Config

	mu     sync.Mutex
	decide func(kind byte, body string) verdict
}

// newRelay gives a relay to a database.
func newRelay(t *testing.T, databaseURL string) *relay {
	t.Helper()
	target, err := pgconn.ParseConfig(databaseURL)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{target: *target}
	r.url = (&url.URL{
		Scheme: "postgres", User: url.UserPassword(target.User, target.Password), Host: listener.Addr().String(),
		Path: "/" + target.Database, RawQuery: "sslmode=disable",
	}).String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(client) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		all.Wait()
	})
	return r
}

// on sets what is decided on from now on.
func (r *relay) on(decide func(kind byte, body string) verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decide = decide
}

func (r *relay) verdictOn(kind byte, body string) verdict {
	r.mu.Lock()
	decide := r.decide
	r.mu.Unlock()
	if decide == nil || kind == 0 {
		return forward
	}
	return decide(kind, body)
}

// serve passes messages on until one side closes or the verdict says so.
func (r *relay) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	network, address := pgconn.NetworkAddress(r.target.Host, r.target.Port)
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()

	var muted atomic.Bool
	var answers sync.WaitGroup
	answers.Go(func() {
		defer func() {
			if !muted.Load() {
				_ = client.Close()
			}
		}()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			if err == nil && !muted.Load() {
				_, err = client.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		_ = server.Close()
		answers.Wait()
	}()
	for first := true; ; first = false {
		kind, message, err := readMessage(client, first)
		if err != nil {
			return
		}
		v := r.verdictOn(kind, string(message[min(5, len(message)):]))
		if v == cut {
			return
		}
		if v == forwardCut || v == forwardMute { // before the server can answer
			muted.Store(true)
		}
		if _, err := server.Write(message); (err != nil && !muted.Load()) || v == forwardCut {
			return
		}
	}
}

// readMessage reads one message with its header. The first one of a connection
// has no type.
func readMessage(from io.Reader, first bool) (kind byte, message []byte, err error) {
	header := make([]byte, 5)
	if first {
		header = header[:4]
	}
	if _, err := io.ReadFull(from, header); err != nil {
		return 0, nil, err
	}
	if !first {
		kind = header[0]
	}
	length := int(binary.BigEndian.Uint32(header[len(header)-4:])) - 4
	if length < 0 || length > 1<<28 {
		return 0, nil, fmt.Errorf("a message of %d bytes", length)
	}
	message = append(header, make([]byte, length)...)
	_, err = io.ReadFull(from, message[len(header):])
	return kind, message, err
}
