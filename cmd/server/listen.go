package main

import (
	"fmt"
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

	MaxCredentialRequests int            `group:"limits" env:"REDRIVE_MAX_CREDENTIAL_REQUESTS" default:"6000" help:"Most requests of one caller in a minute, in this server; 0 for no limit."`
	MaxTenantRequests     int            `group:"limits" env:"REDRIVE_MAX_TENANT_REQUESTS" default:"30000" help:"Most requests of all callers of a tenant in a minute, in this server; 0 for no limit."`
	MaxFailedLogins       int            `group:"limits" env:"REDRIVE_MAX_FAILED_LOGINS" default:"60" help:"Most credentials that are not valid, of one address in a minute (of one /64 network for IPv6); 0 for no limit. More are answered with 429; valid ones are let in from any address."`
	TrustedProxies        []netip.Prefix `group:"limits" env:"REDRIVE_TRUSTED_PROXIES" placeholder:"NETWORK" help:"Networks of the proxies in front, such as 10.0.0.0/8: clients' addresses are then those that X-Forwarded-For tells. Several are separated by commas."`

	HSTS time.Duration `group:"server" name:"hsts" env:"REDRIVE_HSTS" default:"720h" help:"How long browsers that came by HTTPS, which the proxy in front says in X-Forwarded-Proto, use nothing else for this host (Strict-Transport-Security); 0s to leave that to the proxy."`

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

// limiter bounds how often requests may come, to the API and the page together.
func (f *listenFlags) limiter() *httpapi.Limiter {
	perMinute := func(n int) httpapi.Rate { return httpapi.Rate{Requests: n, Window: time.Minute} }
	return httpapi.NewLimiter(httpapi.RateLimits{
		Credential: perMinute(f.MaxCredentialRequests), Tenant: perMinute(f.MaxTenantRequests), Failed: perMinute(f.MaxFailedLogins),
		Address: httpapi.ClientAddress(f.TrustedProxies),
	})
}

// maxHeaderBytes is 32 KB less the 4 KB that net/http adds.
const maxHeaderBytes = 28 << 10

// server makes the server of a handler on a listener.
func (f *listenFlags) server(handler http.Handler, conns *connections, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           strictTransport(handler, f.HSTS),
		ReadHeaderTimeout: f.HeaderTimeout, IdleTimeout: f.IdleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: conns.contextOf, ConnState: conns.changed,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// strictTransport has browsers use HTTPS alone, once they came by it. Others ignore the
// header, so it does no harm to believe what a request says of itself.
func strictTransport(next http.Handler, maxAge time.Duration) http.Handler {
	if maxAge <= 0 {
		return next
	}
	value := fmt.Sprintf("max-age=%d", int64(maxAge.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.TLS != nil || req.Header.Get("X-Forwarded-Proto") == "https" {
			w.Header().Set("Strict-Transport-Security", value)
		}
		next.ServeHTTP(w, req)
	})
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
