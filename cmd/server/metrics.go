package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/metrics"
)

// metricsFlag is where Prometheus finds the metrics.
type metricsFlag struct {
	MetricsListen string `group:"server" env:"REDRIVE_METRICS_LISTEN" placeholder:"ADDRESS" help:"Address on which Prometheus finds /metrics, such as 127.0.0.1:9464; without it there are none. It has no authentication, so let only Prometheus reach it."`
}

// metricsTimeout bounds each step of a scrape, whose client is a machine nearby.
const metricsTimeout = 15 * time.Second

// serveMetrics serves the metrics on an address of their own, until close is called; so a
// server that is full of clients, or is stopping, is still watched. Without an address it
// does nothing, and m is nil.
func (f metricsFlag) serveMetrics(ctx context.Context, cfg metrics.Config, log *slog.Logger) (m *metrics.Metrics, closeServer func(), err error) {
	if f.MetricsListen == "" {
		return nil, func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.MetricsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot listen for metrics: %w; choose another address with --metrics-listen", err)
	}
	if !loopback(f.MetricsListen) {
		log.Warn("metrics have no authentication; let only Prometheus reach them", "listen", f.MetricsListen)
	}
	m = metrics.New(cfg)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	log.Info("metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return m, func() {
		_ = server.Close() // a scrape that is cut off comes again
		<-ended
	}, nil
}

// poolOf reads the state of the connections to Postgres; nil without it.
func poolOf(pool *pgxpool.Pool) func() metrics.Pool {
	if pool == nil {
		return nil
	}
	return func() metrics.Pool {
		s := pool.Stat()
		return metrics.Pool{
			InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
			Acquired: s.AcquireCount(), Waited: s.EmptyAcquireCount(), WaitedFor: s.EmptyAcquireWaitTime(),
		}
	}
}
