package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialSmall dials with a small buffer, so that the server soon waits for who does not read.
func dialSmall(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetReadBuffer(4 << 10)
	}
	return conn, err
}

// Clients that read single files as slowly as they like have places, so that those of one
// tenant cannot take every connection of the server, and give them back when they go away.
func TestSlowReadersOfFiles(t *testing.T) {
	t.Parallel()
	const ofTenant = 16
	w := newWorld(t, func(o *options) { o.app.MaxFileDownloads, o.app.MaxTenantFileDownloads = ofTenant+4, ofTenant })
	id := w.upload(formPart{"files", "long.txt", strings.Repeat("a", 4<<20)}, formPart{"files", "short.txt", "a"}) // the long one is more than sockets hold
	w.work()
	path := func(file, what string) string { return "/workflow-runs/" + id + "/files/" + file + "/" + what }
	slow := &http.Client{Transport: &http.Transport{DialContext: dialSmall, DisableKeepAlives: true}}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for i := range ofTenant {
		what := []string{"content", "output"}[i%2]
		resp, err := slow.Do(w.request(call{method: http.MethodGet, path: path("0", what), token: w.user}).WithContext(ctx))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		defer func() { _ = resp.Body.Close() }() // it was broken off
	}
	for _, what := range []string{"content", "output"} {
		got := w.get(w.admin, path("1", what))
		require.Equal(t, http.StatusTooManyRequests, got.status, what)
		require.Equal(t, "too_many_downloads", got.str("code"))
		require.NotEmpty(t, got.header.Get("Retry-After"))
		require.Empty(t, got.header.Get("Content-Disposition"))
	}
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status)
	require.Equal(t, http.StatusOK, w.get(w.user, "/workflow-runs/"+id+"/outputs").status, "all outputs have places of their own")

	leave()
	require.Eventually(t, func() bool { return w.get(w.user, path("1", "content")).status == http.StatusOK }, hangTimeout, 10*time.Millisecond)
	// Nobody keeps a place who is done, whatever came of it.
	for range 2 * ofTenant {
		for _, what := range []string{"content", "output"} {
			got := w.get(w.user, path("1", what))
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, http.StatusNotModified, w.get(w.user, path("1", what), header("If-None-Match", got.header.Get("ETag"))).status)
			w.head(path("1", what))
			require.Equal(t, http.StatusNotFound, w.get(w.user, path("7", what)).status)
		}
	}
	w.files.opened(func(io.ReadCloser) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF })
	for range 2 * ofTenant {
		require.Equal(t, http.StatusInternalServerError, w.get(w.user, path("1", "content")).status)
	}
}
