package watermillqueue

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// Who stops waits for the messages on their way to their handlers, and takes no more:
// the subscriber closes their channel next.
func TestJetStreamStopWaitsForWhatIsComing(t *testing.T) {
	t.Parallel()
	b := &jetStream{topics: []string{"jobs.0"}}
	take := func(reply string) (*message.Message, error) {
		m := nats.NewMsg("jobs.0")
		m.Reply = reply
		return holding{b}.Unmarshal(m)
	}
	first, err := take("reply.1")
	require.NoError(t, err)
	second, err := take("reply.2")
	require.NoError(t, err)

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.stop()
	}()
	require.Eventually(t, b.stops, routerClose, time.Millisecond)
	_, err = take("reply.3")
	require.ErrorIs(t, err, errStopping)
	for _, msg := range []*message.Message{first, second} {
		select {
		case <-stopped:
			t.Fatal("it did not wait")
		default:
		}
		require.Len(t, b.unpack(0, msg), 1)
	}
	<-stopped
}
