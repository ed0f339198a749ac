package watermillqueue

import (
	"log/slog"
	"testing"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// There is no broker here: this is what is said to one.
func TestKafka(t *testing.T) {
	t.Parallel()
	o, err := Options{}.withDefaults()
	require.NoError(t, err)

	t.Run("Configuration", func(t *testing.T) {
		t.Parallel()
		c, err := kafkaOf("kafka://one:9092,two:9093", o)
		require.NoError(t, err)
		require.Equal(t, []string{"one:9092", "two:9093"}, c.pub.Brokers)
		require.Equal(t, c.pub.Brokers, c.sub.Brokers)
		require.NoError(t, c.pub.OverwriteSaramaConfig.Validate())
		require.NoError(t, c.sub.OverwriteSaramaConfig.Validate())
		require.NoError(t, c.pub.Validate())
		require.NoError(t, c.sub.Validate())
		require.Equal(t, "redrive_jobs-workers", c.sub.ConsumerGroup)
		for _, bad := range []string{"kafka:", "kafka://", "kafka:///topic"} {
			_, err := kafkaOf(bad, o)
			require.Error(t, err, bad)
		}
	})
	t.Run("Message", func(t *testing.T) {
		t.Parallel()
		c, err := kafkaOf("kafka://one:9092", o)
		require.NoError(t, err)
		msgs, err := seal(t.Context(), filesOf("acme", "t", "r", 1), "correlation")
		require.NoError(t, err)
		sent, err := c.pub.Marshaler.Marshal("redrive_jobs", msgs[0])
		require.NoError(t, err)
		key, err := sent.Key.Encode()
		require.NoError(t, err)
		require.Equal(t, "acme", string(key), "a tenant's jobs are in one partition")
		value, err := sent.Value.Encode()
		require.NoError(t, err)

		received := &sarama.ConsumerMessage{Topic: sent.Topic, Key: key, Value: value}
		for i := range sent.Headers {
			received.Headers = append(received.Headers, &sent.Headers[i])
		}
		var msg *message.Message
		msg, err = c.sub.Unmarshaler.Unmarshal(received)
		require.NoError(t, err)
		require.Equal(t, msgs[0].UUID, msg.UUID)
		require.Equal(t, msgs[0].Metadata, msg.Metadata)
		job, err := decodeJob(msg.Payload)
		require.NoError(t, err)
		require.Equal(t, filesOf("acme", "t", "r", 1)[0], job)
	})
	t.Run("NobodyThere", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), "kafka://127.0.0.1:1", Options{Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, err, "connect to Kafka")
	})
}
