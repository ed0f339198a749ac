package watermillqueue_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/internal/testkit/queuetest"
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
			Queue: q, Feed: q, Close: q.Close, Skips: true, RemembersAcked: true, Quiet: 200 * time.Millisecond,
		}
	})
}

// cluster starts three servers that know each other.
func cluster(t testing.TB) []*server.Server {
	t.Helper()
	var seed *url.URL
	servers := make([]*server.Server, 3)
	for i := range servers {
		servers[i] = natsServer(t, func(o *server.Options) {
			o.ServerName = "node-" + strconv.Itoa(i)
			o.Cluster = server.ClusterOpts{Name: "redrive", Host: "127.0.0.1", Port: server.RANDOM_PORT}
			if seed != nil {
				o.Routes = []*url.URL{seed}
			}
		})
		if seed == nil {
			seed = &url.URL{Scheme: "nats", Host: servers[0].ClusterAddr().String()}
		}
	}
	return servers
}
