package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// Event is an event of a run. One of State, Closed and End is set.
type Event struct {
	ID     string     // to go on after it, in another process
	State  *RunState  // the state of the run now
	Closed *RunClosed // the run has closed; a Continue opens it again
	End    *StreamEnd // the server ended the stream for good: sign in again
}

// mostEvent bounds a line of a stream, in bytes.
const mostEvent = 1 << 20

// Watch gives the events of a run as they come: its state now, and each change. When the
// connection breaks or the server stops it connects again, by itself, and goes on after the
// last event; states in between are not sent. after is the ID of an event to begin after;
// empty: with the state now. It ends with the context, with an event that has End, or with
// an *Error if the run cannot be watched. A timeout of the HTTP client ends no more than a
// connection.
func Watch(ctx context.Context, c ClientInterface, run, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for try := 1; ; try++ {
			before := after
			wait, err := connect(ctx, c, run, &after, yield)
			switch {
			case errors.Is(err, errEnough):
				return
			case ctx.Err() != nil:
				yield(Event{}, ctx.Err())
				return
			case err != nil:
				yield(Event{}, err)
				return
			}
			if after != before {
				try = 1
			}
			if wait == nil {
				wait = http.Header{}
			}
			if err := sleep(ctx, retryAfter(wait, backoff(try))); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// errEnough: the caller wants no more events, or there are none.
var errEnough = errors.New("enough")

// connect gives the events of one connection. Without an error there should be another one,
// after what the header says.
func connect(ctx context.Context, c ClientInterface, run string, after *string, yield func(Event, error) bool) (http.Header, error) {
	params := &StreamEventsParams{}
	if *after != "" {
		last := *after
		params.LastEventID = &last
	}
	resp, err := c.StreamEvents(ctx, run, params)
	if err != nil {
		return nil, nil // the connection broke: there is another one
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		again, err := curable(resp)
		if again || err != nil {
			return resp.Header, nil // as above
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, mostProblem))
		return nil, errors.Join(failed(resp.StatusCode, body), err)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, mostEvent)
	var id, name string
	var data []byte
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			name = string(value)
		case "data":
			data = append(data, value...)
		}
		if len(lines.Bytes()) > 0 || data == nil {
			continue
		}
		event, err := decodeEvent(id, name, data)
		if err != nil {
			return nil, err
		}
		id, name, data = "", "", nil
		if event.End != nil && event.End.Code == "unavailable" {
			return nil, nil
		}
		if event.ID != "" {
			*after = event.ID
		}
		if event != (Event{ID: event.ID}) && !yield(event, nil) || event.End != nil {
			return nil, errEnough
		}
	}
	return nil, nil
}

// decodeEvent reads an event; one of a name that it does not know has nothing but its ID.
func decodeEvent(id, name string, data []byte) (Event, error) {
	e := Event{ID: id}
	var to any
	switch name {
	case "state":
		to = &e.State
	case "closed":
		to = &e.Closed
	case "end":
		to = &e.End
	default:
		return e, nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return e, fmt.Errorf("redrive: a %s event: %w", name, err)
	}
	return e, nil
}

// AwaitClosed waits until a run is closed, and gives the state that it closed in.
func AwaitClosed(ctx context.Context, c ClientInterface, run string) (RunState, error) {
	for event, err := range Watch(ctx, c, run, "") {
		switch {
		case err != nil:
			return RunState{}, err
		case event.End != nil:
			return RunState{}, fmt.Errorf("redrive: the stream ended: %s: %s", event.End.Code, event.End.Reason)
		case event.State != nil && event.State.Status != RunStatusRUNNING:
			return *event.State, nil
		}
	}
	return RunState{}, errors.New("redrive: the stream ended") // not reached: Watch ends with one of them
}
