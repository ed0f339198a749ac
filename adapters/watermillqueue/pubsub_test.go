package watermillqueue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// timeout bounds what must happen; only a hang uses it up.
const timeout = time.Minute

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func receive(t testing.TB, q *watermillqueue.Queue, n int, skip ports.Skip) []ports.Delivery {
	t.Helper()
	ctx := bounded(t)
	var got []ports.Delivery
	for jobs := 0; jobs < n; {
		more, err := q.Receive(ctx, n-jobs, skip)
		require.NoError(t, err, "after %d of %d", jobs, n)
		got = append(got, more...)
		for _, d := range more {
			jobs += len(d.Jobs())
		}
	}
	return got
}

// nothing checks that nothing is delivered for a while.
func nothing(t testing.TB, q *watermillqueue.Queue, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	got, err := q.Receive(ctx, 1, ports.Skip{})
	require.ErrorIs(t, err, context.DeadlineExceeded, "%d deliveries", len(got))
}

// queueOn is a queue with a way to put any bytes into it.
type queueOn struct {
	*watermillqueue.Queue
	put func(payload string)
}

// onPair is a queue over a pair of Watermill's own.
func onPair(t *testing.T) queueOn {
	t.Helper()
	channel := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	q, err := watermillqueue.New(channel, channel, quiet(watermillqueue.Options{Lanes: 1, DeadLimit: 3}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return queueOn{q, func(payload string) {
		require.NoError(t, channel.Publish("redrive_jobs", message.NewMessage(watermill.NewUUID(), []byte(payload))))
	}}
}

func TestPair(t *testing.T) {
	t.Parallel()
	t.Run("DeliversUntilAcked", func(t *testing.T) {
		t.Parallel()
		q := onPair(t)
		want := jobsOf("acme", "run", 0, 5)
		enqueue(t, q.Queue, want)
		for range 3 {
			for _, d := range receive(t, q.Queue, 5, ports.Skip{}) {
				require.NoError(t, d.Nack(t.Context()))
			}
		}
		var got []core.Job
		for _, d := range receive(t, q.Queue, 5, ports.Skip{}) {
			require.NoError(t, d.Ack(t.Context()))
			got = append(got, d.Jobs()[0])
		}
		require.ElementsMatch(t, want, got)
		nothing(t, q.Queue, 100*time.Millisecond)
	})
	t.Run("SeveralLanes", func(t *testing.T) {
		t.Parallel()
		channel := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
		q, err := watermillqueue.New(channel, channel, quiet(watermillqueue.Options{}))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, q.Close()) })
		var want, got []core.Job
		for i := range 40 {
			want = append(want, jobsOf(core.TenantID(fmt.Sprint("tenant-", i)), "run", 0, 2)...)
		}
		enqueue(t, q, want)
		for _, d := range receive(t, q, len(want), ports.Skip{}) {
			require.NoError(t, d.Ack(t.Context()))
			got = append(got, d.Jobs()[0])
		}
		require.ElementsMatch(t, want, got)
	})
	t.Run("CloseGivesBackWhatIsHeld", func(t *testing.T) {
		t.Parallel()
		q := onPair(t)
		enqueue(t, q.Queue, jobsOf("acme", "run", 0, 2))
		held := receive(t, q.Queue, 1, ports.Skip{})
		require.NoError(t, q.Close())
		require.ErrorIs(t, held[0].Ack(t.Context()), ports.ErrClosed)
	})
}

// deadLetters is what every backend does with messages that it cannot read.
func deadLetters(t *testing.T, q queueOn) {
	letters := q.DeadLetters()
	list := func() []watermillqueue.DeadLetter {
		all, err := letters.List(bounded(t), 100)
		require.NoError(t, err)
		return all
	}
	require.Empty(t, list())

	good := jobsOf("acme", "run", 0, 3)
	enqueue(t, q.Queue, good[:1])
	q.put("no JSON at all")
	q.put(`{"v":1,"tenant":"acme"}`)
	q.put(fmt.Sprintf(`{"v":99,"at":%d,"job":{"of":"the future"}}`, time.Now().Add(-time.Hour).Unix()))
	enqueue(t, q.Queue, good[1:])

	// They are in no other's way.
	var got []core.Job
	for _, d := range receive(t, q.Queue, 3, ports.Skip{}) {
		require.NoError(t, d.Ack(t.Context()))
		require.NotEmpty(t, watermillqueue.CorrelationID(d))
		got = append(got, d.Jobs()[0])
	}
	require.ElementsMatch(t, good, got)
	ctx := bounded(t)
	go func() { // a caller has to want jobs
		for ctx.Err() == nil {
			if got, err := q.Receive(ctx, 1, ports.Skip{}); err == nil {
				t.Errorf("delivered: %v", got[0].Jobs()[0])
			}
		}
	}()
	require.Eventually(t, func() bool { return len(list()) == 3 }, timeout, 5*time.Millisecond)
	byReason := map[string]int{}
	ids := map[string]bool{}
	for _, l := range list() {
		byReason[l.Reason]++
		ids[l.ID] = true
		require.NotEmpty(t, l.Payload)
		require.NotEmpty(t, l.Origin)
		require.NotEmpty(t, l.Detail)
		require.WithinDuration(t, time.Now(), l.At, timeout)
	}
	require.Equal(t, map[string]int{watermillqueue.ReasonUndecodable: 2, watermillqueue.ReasonVersion: 1}, byReason)
	require.Len(t, ids, 3)
	some, err := letters.List(bounded(t), 2)
	require.NoError(t, err)
	require.Len(t, some, 2)

	// Sent again they come back as other dead letters, since they are no better.
	var again []string
	for id := range ids {
		again = append(again, id)
	}
	found, err := letters.Requeue(bounded(t), append(again, "999999", "nonsense")...)
	require.NoError(t, err)
	require.Equal(t, 3, found)
	require.Eventually(t, func() bool {
		now := list()
		return len(now) == 3 && !ids[now[0].ID] && !ids[now[1].ID] && !ids[now[2].ID]
	}, timeout, 5*time.Millisecond)
}

// leftForANewerServer is what becomes of a message of the next version.
func leftForANewerServer(t *testing.T, q queueOn) {
	payload, err := json.Marshal(map[string]any{"v": 3, "at": time.Now().Unix(), "tenant": "acme", "files": "all"})
	require.NoError(t, err)
	q.put(string(payload))
	nothing(t, q.Queue, 300*time.Millisecond)
	letters, err := q.DeadLetters().List(bounded(t), 10)
	require.NoError(t, err)
	require.Empty(t, letters, "a newer server may be about to start")
	// It is in no other's way.
	enqueue(t, q.Queue, jobsOf("acme", "run", 0, 1))
	for _, d := range receive(t, q.Queue, 1, ports.Skip{}) {
		require.NoError(t, d.Ack(t.Context()))
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) queueOn{"Pair": onPair, "Postgres": onPostgres, "JetStream": onJetStream} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deadLetters(t, open(t))
		})
		t.Run(name+"/NewerVersion", func(t *testing.T) {
			t.Parallel()
			leftForANewerServer(t, open(t))
		})
	}
	t.Run("BoundedInMemory", func(t *testing.T) {
		t.Parallel()
		q := onPair(t)
		for i := range 10 {
			q.put(fmt.Sprint("nonsense ", i))
		}
		require.Eventually(t, func() bool {
			letters, err := q.DeadLetters().List(t.Context(), 100)
			require.NoError(t, err)
			return len(letters) == 3
		}, timeout, time.Millisecond)
	})
}
