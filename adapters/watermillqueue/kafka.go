package watermillqueue

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// kafkaPartitions is how many partitions a topic is made with: as many jobs are in
// workers' hands at a time, all servers together.
const kafkaPartitions = 64

// openKafka makes a queue on the brokers of a URL, kafka://host:port,host:port.
// It is New over Watermill's pair for Kafka; see the package comment for what that
// means.
func openKafka(queueURL string, o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := kafkaOf(queueURL, o)
	if err != nil {
		return nil, err
	}
	pub, err := kafka.NewPublisher(c.pub, logger{o.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: connect to Kafka: %w", err)
	}
	sub, err := kafka.NewSubscriber(c.sub, logger{o.Log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watermillqueue: connect to Kafka: %w", err), pub.Close())
	}
	if err := sub.SubscribeInitialize(o.Topic); err != nil {
		return nil, errors.Join(fmt.Errorf("watermillqueue: topic %s: %w", o.Topic, err), pub.Close(), sub.Close())
	}
	o.Lanes = 1 // the partitions of the topic are the lanes
	q, err := New(pub, sub, o)
	if err != nil {
		return nil, errors.Join(err, pub.Close(), sub.Close())
	}
	return q, nil
}

// kafkaConfig is what Watermill's pair is made of.
type kafkaConfig struct {
	pub kafka.PublisherConfig
	sub kafka.SubscriberConfig
}

func kafkaOf(queueURL string, o Options) (kafkaConfig, error) {
	u, err := url.Parse(queueURL)
	if err != nil || u.Host == "" {
		return kafkaConfig{}, errors.New("watermillqueue: a queue on Kafka is kafka://host:port,host:port")
	}
	brokers := strings.Split(u.Host, ",")
	// The tenant is the key: the jobs of one go to one partition, and a partition is
	// worked one job after the other.
	marshaler := kafka.NewWithPartitioningMarshaler(func(_ string, msg *message.Message) (string, error) {
		return msg.Metadata.Get(tenantKey), nil
	})
	out := kafka.DefaultSaramaSyncPublisherConfig()
	out.Producer.RequiredAcks = sarama.WaitForAll
	out.Producer.Idempotent, out.Net.MaxOpenRequests = true, 1
	in := kafka.DefaultSaramaSubscriberConfig()
	in.Consumer.Offsets.Initial = sarama.OffsetOldest // jobs that were sent before the first server listened
	return kafkaConfig{
		pub: kafka.PublisherConfig{Brokers: brokers, Marshaler: marshaler, OverwriteSaramaConfig: out},
		sub: kafka.SubscriberConfig{
			Brokers: brokers, Unmarshaler: marshaler, OverwriteSaramaConfig: in,
			ConsumerGroup: o.Topic + durableSuffix, NackResendSleep: o.NackDelay,
			InitializeTopicDetails: &sarama.TopicDetail{NumPartitions: kafkaPartitions, ReplicationFactor: int16(o.Replicas)},
		},
	}, nil
}
