package watermillqueue_test

import (
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// natsServer starts a server within the test.
func natsServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(30*time.Second))
	return s
}

func newJetStream(t testing.TB, s *server.Server, o watermillqueue.Options) *watermillqueue.Queue {
	t.Helper()
	q, err := watermillqueue.Open(t.Context(), s.ClientURL(), quiet(o))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

func TestJetStream(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		q := newJetStream(t, natsServer(t, nil), watermillqueue.Options{})
		return queuetest.Subject{
			Queue: q, Feed: q, Close: q.Close, Skips: true, Fair: true, Broker: q, RemembersAcked: true, Quiet: 200 * time.Millisecond,
		}
	})
}

func TestJetStreamDeliversAfterTheLease(t *testing.T) {
	t.Parallel()
	queuetest.RunLease(t, func(t *testing.T) queuetest.Subject {
		q := newJetStream(t, natsServer(t, nil), watermillqueue.Options{Lease: time.Second})
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, ComesWhole: true}
	})
}

// cluster starts three servers that know each other.
func cluster(t testing.TB) []*server.Server {
	t.Helper()
	var routes []*url.URL
	ports := make([]int, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0") // a free port; nobody else is given it soon
		require.NoError(t, err)
		ports[i] = l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	servers := make([]*server.Server, len(ports))
	for i, port := range ports {
		servers[i] = natsServer(t, func(o *server.Options) {
			o.ServerName = "node-" + strconv.Itoa(i)
			o.Cluster = server.ClusterOpts{Name: "redrive", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		})
	}
	return servers
}

// natsPut puts any bytes into lane 0.
func natsPut(t *testing.T, s *server.Server) func(payload string) {
	t.Helper()
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	require.NoError(t, err)
	return func(payload string) {
		_, err := js.Publish("redrive_jobs.m0", []byte(payload))
		require.NoError(t, err)
	}
}

func onJetStream(t *testing.T) queueOn {
	t.Helper()
	s := natsServer(t, nil)
	q := newJetStream(t, s, watermillqueue.Options{Lanes: 1})
	return queueOn{q, natsPut(t, s)}
}

// What is in hand when a server stops is there for the others, at the latest when
// its lease ends, and the consumer that they share stays.
func TestJetStreamCloseLosesNothing(t *testing.T) {
	t.Parallel()
	s := natsServer(t, nil)
	first := newJetStream(t, s, watermillqueue.Options{})
	enqueue(t, first, jobsOf("acme", "run", 0, 100))
	done := map[core.JobID]bool{}
	for i, d := range receive(t, first, 50, ports.Skip{}) {
		if i%2 == 0 {
			require.NoError(t, d.Ack(t.Context()))
			done[d.Jobs()[0].ID] = true
		}
	}
	second := newJetStream(t, s, watermillqueue.Options{Prefetch: 500}) // after a deployment
	require.NoError(t, first.Close())
	for len(done) < 100 {
		for _, d := range receive(t, second, 1, ports.Skip{}) {
			require.NoError(t, d.Ack(t.Context()))
			require.False(t, done[d.Jobs()[0].ID], "acked and delivered again")
			done[d.Jobs()[0].ID] = true
		}
	}
	require.Eventually(t, func() bool {
		depth, err := second.Stats(t.Context())
		require.NoError(t, err)
		return depth == ports.QueueDepth{}
	}, timeout, 5*time.Millisecond)
}

// A server stops while messages arrive. Watermill's subscriber closes the channel to
// its handlers beside the callbacks that send to it, which is a race, and a panic
// that ends the process if it is lost.
func TestJetStreamClosesWhileMessagesArrive(t *testing.T) {
	t.Parallel()
	s := natsServer(t, nil)
	sender := newJetStream(t, s, watermillqueue.Options{Lanes: 2, Prefetch: 1})
	const rounds, each = 3, 150
	for n := range rounds {
		q := newJetStream(t, s, watermillqueue.Options{Lanes: 2, Prefetch: 500})
		sent := make(chan error, 1)
		go func() {
			_, err := sender.Enqueue(t.Context(), jobsOf("acme", core.RunID("run"+strconv.Itoa(n)), 0, each))
			sent <- err
		}()
		for _, d := range receive(t, q, 1, ports.Skip{}) {
			require.NoError(t, d.Ack(t.Context()))
		}
		require.NoError(t, q.Close())
		require.NoError(t, <-sent)
	}
}

// One of three servers stops while jobs are sent and worked; none is lost.
func TestJetStreamCluster(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	urls := servers[0].ClientURL() + "," + servers[1].ClientURL() + "," + servers[2].ClientURL()
	var q *watermillqueue.Queue
	require.Eventually(t, func() bool { // the cluster elects its leader first
		var err error
		q, err = watermillqueue.Open(t.Context(), urls, quiet(watermillqueue.Options{Replicas: 3, Lanes: 2}))
		return err == nil
	}, timeout, 100*time.Millisecond)
	t.Cleanup(func() { require.NoError(t, q.Close()) })

	const n = 600
	go func() {
		for from := 0; from < n; {
			accepted, err := q.Enqueue(bounded(t), jobsOf("acme", "run", from, from+20))
			if err != nil || accepted < 20 {
				time.Sleep(50 * time.Millisecond) // the same again: JetStream knows what it has
				continue
			}
			from += 20
			if from == n/2 {
				servers[2].Shutdown()
			}
		}
	}()
	seen := map[core.JobID]bool{}
	for len(seen) < n {
		got, err := q.Receive(bounded(t), 50, ports.Skip{})
		require.NoError(t, err, "%d of %d", len(seen), n)
		for _, d := range got {
			for _, j := range d.Jobs() {
				seen[j.ID] = true
			}
			if err := d.Ack(t.Context()); err != nil {
				t.Log("it comes again:", err)
			}
		}
	}
}
