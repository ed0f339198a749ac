package fakellm_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// client sends requests to one server, over its own connections.
type client struct {
	t    *testing.T
	fake *fakellm.Server
	url  string
	http *http.Client
}

func start(t *testing.T, script fakellm.Script) client {
	t.Helper()
	fake := fakellm.New(script)
	url, err := fake.Listen("127.0.0.1:0")
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, fake.Close())
	})
	return client{t, fake, url, &http.Client{Transport: transport}}
}

// answer is a response with its body; bodyErr is the error of reading it.
type answer struct {
	status  int
	header  http.Header
	body    string
	bodyErr error
}

func (c client) do(ctx context.Context, method, path, body string) (answer, error) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { require.NoError(c.t, resp.Body.Close()) }()
	b, bodyErr := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), bodyErr}, nil
}

func chatBody(t *testing.T, file, text string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"model": "m", "messages": []map[string]string{
		{"role": "system", "content": "Summarise."}, {"role": "user", "content": "File: " + file + "\n\n" + text},
	}})
	require.NoError(t, err)
	return string(b)
}

func (c client) chat(file, text string) (answer, error) {
	c.t.Helper()
	return c.do(c.t.Context(), http.MethodPost, "/chat/completions", chatBody(c.t, file, text))
}

// output gives the text of a completion.
func output(t *testing.T, a answer) string {
	t.Helper()
	var wire struct {
		Object  string
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct{ Role, Content string }
		}
	}
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.NoError(t, a.bodyErr)
	require.NoError(t, json.Unmarshal([]byte(a.body), &wire))
	require.Equal(t, "chat.completion", wire.Object)
	require.Len(t, wire.Choices, 1)
	require.Equal(t, "stop", wire.Choices[0].FinishReason)
	require.Equal(t, "assistant", wire.Choices[0].Message.Role)
	return wire.Choices[0].Message.Content
}

func TestServer(t *testing.T) {
	t.Parallel()
	t.Run("SummarisesByDefault", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		a, err := c.chat("a.txt", "\n  Hello big world \nsecond line\n")
		require.NoError(t, err)
		require.Equal(t, "a.txt: “Hello big world” (3 lines, 5 words, 32 characters)", output(t, a))
	})
	t.Run("ListsItsModel", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		a, err := c.do(t.Context(), http.MethodGet, "/models", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.body, `"fake-model"`)
	})
	t.Run("AcceptsTextParts", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		a, err := c.do(t.Context(), http.MethodPost, "/chat/completions",
			`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"File: p.txt\n\n"},{"type":"text","text":"one"}]}]}`)
		require.NoError(t, err)
		require.Equal(t, "p.txt: “one” (1 line, 1 word, 3 characters)", output(t, a))
	})
	t.Run("TakesAMessageWithoutAFileNameAsText", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		a, err := c.do(t.Context(), http.MethodPost, "/chat/completions", `{"model":"m","messages":[{"role":"user","content":"just this"}]}`)
		require.NoError(t, err)
		require.Equal(t, "text: “just this” (1 line, 2 words, 9 characters)", output(t, a))
	})
}

func TestServerRefusesWhatTheProtocolDoesNotHave(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	user := `[{"role":"user","content":"x"}]`
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"NotJSON":      {"POST", "/chat/completions", `{`, 400, "not a JSON object"},
		"NoModel":      {"POST", "/chat/completions", `{"messages":` + user + `}`, 400, "model"},
		"NoMessages":   {"POST", "/chat/completions", `{"model":"m"}`, 400, "at least one message"},
		"NoUser":       {"POST", "/chat/completions", `{"model":"m","messages":[{"role":"system","content":"x"}]}`, 400, "user message"},
		"UnknownRole":  {"POST", "/chat/completions", `{"model":"m","messages":[{"role":"king","content":"x"}]}`, 400, "roles"},
		"WrongContent": {"POST", "/chat/completions", `{"model":"m","messages":[{"role":"user","content":7}]}`, 400, "string or a list"},
		"Image":        {"POST", "/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "type text"},
		"Streaming":    {"POST", "/chat/completions", `{"model":"m","stream":true,"messages":` + user + `}`, 400, "streaming"},
		"WrongMethod":  {"GET", "/chat/completions", ``, 405, "use POST"},
		"UnknownPath":  {"POST", "/embeddings", `{}`, 404, "nothing at /v1/embeddings"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := c.do(t.Context(), tc.method, tc.path, tc.body)
			require.NoError(t, err)
			require.Equal(t, tc.status, a.status)
			var wire struct {
				Error struct{ Message, Type, Code string }
			}
			require.NoError(t, json.Unmarshal([]byte(a.body), &wire))
			require.Contains(t, wire.Error.Message, tc.says)
			require.NotEmpty(t, wire.Error.Code)
			if tc.status == http.StatusMethodNotAllowed {
				require.Equal(t, "POST", a.header.Get("Allow"))
			}
		})
	}
	require.Empty(t, c.fake.Requests(), "only what could be understood is recorded")
}

func TestServerRecords(t *testing.T) {
	t.Parallel()
	t.Run("RequestsAndCounts", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		for _, f := range []struct{ name, text string }{{"a", "x"}, {"b", "x"}, {"a", "x"}, {"a", "other"}, {"a", strings.Repeat("y", 5000)}} {
			_, err := c.chat(f.name, f.text)
			require.NoError(t, err)
		}
		require.Equal(t, 4, c.fake.Count("a"))
		require.Equal(t, 1, c.fake.Count("b"))
		require.Zero(t, c.fake.Count("c"))
		got := c.fake.Requests()
		require.Len(t, got, 5)
		var seen []int
		for _, r := range got {
			seen = append(seen, r.Seen)
		}
		require.Equal(t, []int{1, 1, 2, 1, 1}, seen, "a file is seen by name and text")
		require.Equal(t, "a", got[0].File)
		require.Equal(t, "x", got[0].Text)
		require.Equal(t, "Summarise.", got[0].Instructions)
		require.Equal(t, "m", got[0].Model)
		require.NotEmpty(t, got[0].Header.Get("User-Agent"))
		require.Len(t, got[4].Text, 4096, "records are bounded")
	})
	t.Run("OnlyTheLatest", func(t *testing.T) {
		t.Parallel()
		fake := fakellm.New(nil)
		t.Cleanup(func() { require.NoError(t, fake.Close()) })
		body := chatBody(t, "a", "x")
		for range 1005 {
			fake.ServeHTTP(discard{}, mustRequest(t, body))
		}
		got := fake.Requests()
		require.Len(t, got, 1000)
		require.Equal(t, 6, got[0].Seen)
		require.Equal(t, 1005, got[999].Seen)
	})
	t.Run("ConcurrencyHighWaterMark", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		c := start(t, fakellm.Always(fakellm.Hold(release, fakellm.OK())))
		var wg sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			wg.Go(func() { _, errs[i] = c.chat("a", "x") })
		}
		require.NoError(t, c.fake.AwaitInFlight(t.Context(), 5))
		close(release)
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		require.NoError(t, c.fake.AwaitIdle(t.Context()))
		require.Equal(t, 5, c.fake.HighWater())
		_, err := c.chat("a", "x")
		require.NoError(t, err)
		require.Equal(t, 5, c.fake.HighWater(), "the mark stays")
	})
}

func TestServerClose(t *testing.T) {
	t.Parallel()
	t.Run("EndsWhatWaits", func(t *testing.T) {
		t.Parallel()
		for name, action := range map[string]fakellm.Action{
			"Hang": fakellm.Hang(), "Slow": fakellm.Slow(time.Hour, fakellm.OK()), "Hold": fakellm.Hold(nil, fakellm.OK()),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := start(t, fakellm.Always(action))
				failed := make(chan error, 1)
				go func() {
					_, err := c.chat("a", "x")
					failed <- err
				}()
				require.NoError(t, c.fake.AwaitInFlight(t.Context(), 1))
				require.NoError(t, c.fake.Close())
				require.Error(t, <-failed)
			})
		}
	})
	t.Run("RepeatedHasNoEffect", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		require.NoError(t, c.fake.Close())
		require.NoError(t, c.fake.Close())
	})
	t.Run("StopsListening", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		require.NoError(t, c.fake.Close())
		_, err := c.chat("a", "x")
		require.Error(t, err)
		_, err = c.fake.Listen("127.0.0.1:0")
		require.ErrorContains(t, err, "closed")
	})
	t.Run("AddressInUseIsAnError", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		other := fakellm.New(nil)
		_, err := other.Listen(strings.TrimSuffix(strings.TrimPrefix(c.url, "http://"), "/v1"))
		require.Error(t, err)
		require.NoError(t, other.Close())
	})
	t.Run("AwaitEndsWithItsContext", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.fake.AwaitInFlight(ctx, 1), context.Canceled)
	})
}

// discard is a ResponseWriter that drops everything.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func mustRequest(t *testing.T, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
	require.NoError(t, err)
	return r
}
