package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// The same on JetStream, whose dead letters are in a stream.
func TestQueueDeadOnJetStream(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(30*time.Second))
	queue := "--queue-url=" + s.ClientURL()

	code, _, logs := command("queue", "dead", queue)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "stream not found", "no server has made it")

	p := start(t, "--demo", "--database-url="+pgtest.NewEmpty(t).URL, "--files="+t.TempDir(), queue)
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	require.NoError(t, err)
	_, err = js.Publish("redrive_jobs.m0", []byte("not a job"))
	require.NoError(t, err)
	_, status := p.runFiles(t, twoFiles)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status, "it is in no other's way")

	// find waits for a dead letter with another ID.
	find := func(but string) (id string) {
		t.Helper()
		require.Eventually(t, func() bool {
			code, out, logs := command("queue", "dead", queue)
			require.Zero(t, code, logs)
			m := regexp.MustCompile(`(?m)^(\S+) +\S+ +undecodable .*not a job`).FindStringSubmatch(out)
			if m != nil && m[1] != but {
				id = m[1]
			}
			return id != ""
		}, 30*time.Second, 20*time.Millisecond)
		return id
	}
	id := find("")
	code, out, logs := command("queue", "requeue", queue, id)
	require.Zero(t, code, logs)
	require.Contains(t, out, "sent again: 1")
	require.NotEqual(t, id, find(id), "it is as it was, so it comes back")
	code, out, logs = command("queue", "requeue", queue, id)
	require.Equal(t, 1, code)
	require.Contains(t, out, "sent again: 0")
	require.True(t, strings.Contains(logs, "redrive queue dead"), logs)
	require.Zero(t, p.stop(t))
}
