package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
)

// listenFlags limit the connections and the time of clients.
type listenFlags struct {
	MaxConnections           int `group:"limits" env:"REDRIVE_MAX_CONNECTIONS" default:"0" help:"Most connections at once; 0 for as many as the process may open files, less 128, and 4096 at most. At the limit, the oldest connections without a valid token are closed first."`
	MaxConnectionsPerAddress int `group:"limits" env:"REDRIVE_MAX_CONNECTIONS_PER_ADDRESS" default:"0" help:"Most connections of one address (of one /64 network for IPv6); 0 for no limit. Behind a proxy, which is one address, leave it at 0 and let the proxy count."`

	HeaderTimeout time.Duration `group:"limits" env:"REDRIVE_HEADER_TIMEOUT" default:"10s" help:"Timeout of reading a request's headers."`
	BodyTimeout   time.Duration `group:"limits" env:"REDRIVE_BODY_TIMEOUT" default:"10s" help:"Timeout of reading a request's body, except for uploads."`
	UploadRate    int64         `group:"limits" env:"REDRIVE_UPLOAD_RATE" default:"10240" help:"Least bytes per second of an upload, averaged over 30s of waiting for the client."`
	UploadTimeout time.Duration `group:"limits" env:"REDRIVE_UPLOAD_TIMEOUT" default:"6h" help:"Timeout of a whole upload."`
	WriteTimeout  time.Duration `group:"limits" env:"REDRIVE_WRITE_TIMEOUT" default:"30s" help:"How long a client may take to read 32 KB of an answer before its connection is closed."`
	IdleTimeout   time.Duration `group:"limits" env:"REDRIVE_IDLE_TIMEOUT" default:"1m" help:"How long a connection is kept without a request. A proxy in front should use a shorter one."`
}

func (f *listenFlags) durations() []*time.Duration {
	return []*time.Duration{&f.HeaderTimeout, &f.BodyTimeout, &f.UploadTimeout, &f.WriteTimeout, &f.IdleTimeout}
}

func (f *listenFlags) pace() httpapi.Pace {
	return httpapi.Pace{Body: f.BodyTimeout, UploadRate: f.UploadRate, Upload: f.UploadTimeout, Write: f.WriteTimeout}
}

// maxHeaderBytes is 32 KB less the 4 KB that net/http adds.
const maxHeaderBytes = 28 << 10

// server makes the server of a handler on a listener.
func (f *listenFlags) server(handler http.Handler, conns *connections, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: f.HeaderTimeout, IdleTimeout: f.IdleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: conns.contextOf, ConnState: conns.changed,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// loopback reports whether an address to listen on can be reached only from this machine.
// It does not resolve names other than localhost.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
