package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// Config is what there is to count. A part that is nil is left out.
type Config struct {
	Service interface {
		Stats() app.Stats
		Outcomes() app.Outcomes
	}
	Worker interface{ Stats() worker.Stats }
	Queue  ports.QueueStats
	Pool   func() Pool // of connections to the database

	Version, Commit string // of the program
	Log             *slog.Logger
}

// Pool is the state of a pool of connections. Counts are since its beginning.
type Pool struct {
	InUse, Idle, Max int
	Acquired         int64         // how often a connection was
	Waited           int64         // how often none was free
	WaitedFor        time.Duration // in all
}

// queueTimeout bounds how long a scrape waits for the queue.
const queueTimeout = 3 * time.Second

// Metrics collects what a process counts. It is safe for use by many goroutines.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// New makes the metrics of a process.
func New(cfg Config) *Metrics {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(), log: cfg.Log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_http_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redrive_http_request_duration_seconds", Help: "Time from the first byte of a request to the last one of its answer; event streams are left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"method", "route"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "redrive_build_info", Help: "1, with the version of the program.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "commit": cfg.Commit},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if cfg.Service != nil {
		m.registry.MustRegister(reader(func(out sink) { ofService(out, cfg.Service.Stats(), cfg.Service.Outcomes()) }))
	}
	if cfg.Worker != nil {
		m.registry.MustRegister(reader(func(out sink) { ofWorker(out, cfg.Worker.Stats()) }))
	}
	if cfg.Queue != nil {
		m.registry.MustRegister(reader(func(out sink) { ofQueue(out, cfg.Queue, cfg.Log) }))
	}
	if cfg.Pool != nil {
		m.registry.MustRegister(reader(func(out sink) { ofPool(out, cfg.Pool()) }))
	}
	return m
}

// Handler answers GET /metrics. It has no authentication: serve it on an address that only
// Prometheus reaches.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: errorLog{m.log}, ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second, EnableOpenMetrics: true,
	})
}

// errorLog writes what goes wrong with a scrape to the log.
type errorLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(words ...any) { l.log.Warn("metrics", "error", words) }

// Answered counts a request that was answered. route is the pattern and never the path;
// empty for what no route was found for.
func (m *Metrics) Answered(method, route string, status int, streamed bool, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // a client may make up as many as it likes
	}
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	if !streamed {
		m.seconds.WithLabelValues(method, route).Observe(took.Seconds())
	}
}

// Counted counts the requests of a handler under one route.
func (m *Metrics) Counted(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, answer := time.Now(), &answered{ResponseWriter: w}
		defer func() {
			if answer.status == 0 {
				answer.status = http.StatusOK
			}
			m.Answered(r.Method, route, answer.status, answer.Header().Get("Content-Type") == "text/event-stream", time.Since(began))
		}()
		next.ServeHTTP(answer, r)
	})
}

// answered remembers the status.
type answered struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// sink takes numbers while they are read.
type sink chan<- prometheus.Metric

func (s sink) send(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s <- prometheus.MustNewConstMetric(prometheus.NewDesc("redrive_"+name, help, names, nil), kind, value, values...)
}

func (s sink) count(name, help string, n int64, labels ...string) {
	s.send(prometheus.CounterValue, name, help, float64(n), labels...)
}

func (s sink) gauge(name, help string, value float64, labels ...string) {
	s.send(prometheus.GaugeValue, name, help, value, labels...)
}

// reader is a collector whose numbers are kept elsewhere.
type reader func(sink)

// Describe implements prometheus.Collector. What is read is described by what is there.
func (r reader) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r reader) Collect(to chan<- prometheus.Metric) { r(to) }

func ofQueue(out sink, q ports.QueueStats, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	depth, err := q.Stats(ctx)
	up := 1.0
	if err != nil {
		up = 0
		log.Debug("metrics: the queue's depth cannot be read", "error", err)
	}
	out.gauge("queue_readable", "Whether the queue's depth could be read.", up)
	if err != nil {
		return
	}
	const jobs, help = "queue_jobs", "Jobs in the queue: waiting, taken by a server, or dead letters; of very many the number is where counting stopped."
	out.gauge(jobs, help, float64(depth.Waiting.N), "state", "waiting")
	out.gauge(jobs, help, float64(depth.Taken.N), "state", "taken")
	out.gauge(jobs, help, float64(depth.Dead.N), "state", "dead")
	age := 0.0
	if !depth.Oldest.IsZero() {
		age = max(0, time.Since(depth.Oldest).Seconds())
	}
	out.gauge("queue_oldest_job_age_seconds", "How long the oldest job has waited; 0 if none waits.", age)
}

func ofPool(out sink, p Pool) {
	const name, help = "db_connections", "Connections to the database."
	out.gauge(name, help, float64(p.InUse), "state", "in_use")
	out.gauge(name, help, float64(p.Idle), "state", "idle")
	out.gauge("db_connections_max", "Most connections to the database at once.", float64(p.Max))
	out.count("db_acquires_total", "How often a connection was taken.", p.Acquired)
	out.count("db_acquire_waits_total", "How often a connection was asked for when none was free.", p.Waited)
	out.send(prometheus.CounterValue, "db_acquire_wait_seconds_total", "How long connections were waited for.", p.WaitedFor.Seconds())
}
