package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limitedServer is a server with a limit of few connections. Requests to /known count as
// having a token; /known/wait is answered when the test says so.
type limitedServer struct {
	t     *testing.T
	conns *connections
	free  chan struct{}
	began chan struct{}
}

func newLimitedServer(t *testing.T, most, perAddress int) *limitedServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &limitedServer{t: t, free: make(chan struct{}), began: make(chan struct{}, 100)}
	b.conns = limitConnections(l, most, perAddress, slog.New(slog.DiscardHandler))
	f := listenFlags{HeaderTimeout: time.Hour, IdleTimeout: time.Hour}
	server := f.server(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/" {
			b.conns.atWork(req.Context())
		}
		if req.URL.Path == "/known/wait" {
			b.began <- struct{}{}
			<-b.free
		}
	}), b.conns, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(b.conns) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return b
}

type visitor struct {
	net.Conn
	in *bufio.Reader
}

func (b *limitedServer) connect() *visitor {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.conns.Addr().String())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(b.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &visitor{conn, bufio.NewReader(conn)}
}

func (v *visitor) ask(path string) error {
	if _, err := fmt.Fprintf(v, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err
	}
	return v.answered()
}

func (v *visitor) answered() error {
	res, err := http.ReadResponse(v.in, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// dropped waits for the server to close the connection.
func (b *limitedServer) dropped(v *visitor) {
	b.t.Helper()
	_, err := v.in.ReadByte()
	require.Error(b.t, err)
	require.NotErrorIs(b.t, err, os.ErrDeadlineExceeded, "it was kept")
}

func (b *limitedServer) open() int {
	b.conns.mu.Lock()
	defer b.conns.mu.Unlock()
	return len(b.conns.open)
}

func (b *limitedServer) settle(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.open() == n }, time.Minute, time.Millisecond)
}

// A flood without tokens only closes its own connections; clients with a token are
// served all the time.
func TestFloodWithoutTokens(t *testing.T) {
	t.Parallel()
	const most = 8
	b := newLimitedServer(t, most, 0)
	worker := b.connect()
	_, err := fmt.Fprint(worker, "GET /known/wait HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-b.began
	idle := b.connect()
	require.NoError(t, idle.ask("/known"))

	var flood []*visitor
	for range 10 {
		for range most {
			flood = append(flood, b.connect())
		}
		added := b.connect()
		require.NoError(t, added.ask("/known"), "one with a token")
		require.NoError(t, added.Close())
		b.settle(most - 1)
	}
	require.NoError(t, idle.ask("/known"), "one that was known before, while there were others to close")
	require.LessOrEqual(t, b.open(), most)
	for _, v := range flood[:len(flood)-most] {
		b.dropped(v)
	}
	close(b.free)
	require.NoError(t, worker.answered(), "a request under way keeps its connection")
}

// While all connections have requests under way a new one is refused; once one has ended
// it is accepted.
func TestAllConnectionsBusy(t *testing.T) {
	t.Parallel()
	b := newLimitedServer(t, 2, 0)
	first, second := b.connect(), b.connect()
	for _, v := range []*visitor{first, second} {
		_, err := fmt.Fprint(v, "GET /known/wait HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		<-b.began
	}
	b.dropped(b.connect())
	close(b.free)
	require.NoError(t, first.answered())
	require.NoError(t, second.answered())
	require.NoError(t, b.connect().ask("/known"), "an idle one is closed for it")
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	require.Eventually(t, func() bool { return b.open() <= 1 }, time.Minute, time.Millisecond)
}

// The connections of one address are limited separately.
func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	b := newLimitedServer(t, 100, 3)
	var all []*visitor
	for range 5 {
		all = append(all, b.connect())
	}
	b.dropped(all[0])
	b.dropped(all[1])
	require.NoError(t, all[4].ask("/"))
	b.settle(3)
	for _, v := range all {
		require.NoError(t, v.Close())
	}
	b.settle(0)
	b.conns.mu.Lock()
	defer b.conns.mu.Unlock()
	require.Empty(t, b.conns.from, "what is gone is forgotten")
	require.Zero(t, b.conns.waiting.Len()+b.conns.idle.Len())
}

func TestPrefixOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "::ffff:10.1.2.3": "10.1.2.3/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		ip, zone, _ := splitZone(address)
		require.Equal(t, want, prefixOf(&net.TCPAddr{IP: net.ParseIP(ip), Zone: zone}).String(), address)
	}
	require.False(t, prefixOf(&net.UnixAddr{}).IsValid())
}

func splitZone(s string) (ip, zone string, ok bool) {
	for i := range s {
		if s[i] == '%' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
