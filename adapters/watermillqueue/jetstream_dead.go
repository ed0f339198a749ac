package watermillqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// streamDead keeps dead letters in a stream of JetStream.
type streamDead struct {
	js     nats.JetStreamContext
	stream string
	send   func(ctx context.Context, l DeadLetter) error
}

var _ DeadLetters = (*streamDead)(nil)

func (d *streamDead) add(ctx context.Context, l DeadLetter) error {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), natsTimeout)
	defer cancel()
	if _, err := d.js.Publish(d.stream, data, nats.Context(ctx)); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	return nil
}

func (d *streamDead) List(ctx context.Context, limit int) ([]DeadLetter, error) {
	info, err := d.js.StreamInfo(d.stream, nats.Context(ctx))
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	var letters []DeadLetter
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq && len(letters) < limit; seq++ {
		l, err := d.get(ctx, seq)
		if errors.Is(err, nats.ErrMsgNotFound) {
			continue // requeued
		}
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
		letters = append(letters, l)
	}
	return letters, nil
}

func (d *streamDead) get(ctx context.Context, seq uint64) (DeadLetter, error) {
	msg, err := d.js.GetMsg(d.stream, seq, nats.Context(ctx))
	if err != nil {
		return DeadLetter{}, err
	}
	var l DeadLetter
	if err := json.Unmarshal(msg.Data, &l); err != nil {
		l = DeadLetter{Reason: ReasonUndecodable, Detail: err.Error(), Origin: d.stream, At: msg.Time, Payload: msg.Data}
	}
	l.ID = strconv.FormatUint(seq, 10)
	return l, nil
}

func (d *streamDead) Requeue(ctx context.Context, ids ...string) (int, error) {
	found := 0
	for _, id := range ids {
		seq, err := strconv.ParseUint(id, 10, 64)
		if err != nil || seq == 0 {
			continue // it names none
		}
		l, err := d.get(ctx, seq)
		if errors.Is(err, nats.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			err = d.send(ctx, l)
		}
		if err == nil {
			found++
			err = d.js.DeleteMsg(d.stream, seq, nats.Context(ctx))
		}
		if err != nil {
			return found, fmt.Errorf("requeue dead letter %s: %w", id, err)
		}
	}
	return found, nil
}
