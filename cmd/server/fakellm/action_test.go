package fakellm_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

func TestActions(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, action fakellm.Action) (answer, error) {
		t.Helper()
		return start(t, fakellm.Always(action)).chat("a.txt", "hello")
	}
	for name, tc := range map[string]struct {
		action fakellm.Action
		status int
		says   string
	}{
		"Status":        {fakellm.Status(503, "overloaded"), 503, `"code":"overloaded"`},
		"StatusNoCode":  {fakellm.Status(500, ""), 500, `"code":null`},
		"BadRequest":    {fakellm.BadRequest(), 400, `"type":"invalid_request_error"`},
		"Unauthorized":  {fakellm.Unauthorized(), 401, `"code":"invalid_api_key"`},
		"ContentPolicy": {fakellm.ContentPolicy(), 400, `"code":"content_policy_violation"`},
		"Refuse":        {fakellm.Refuse("no"), 200, `"content":null,"refusal":"no"`},
		"ContentFilter": {fakellm.ContentFilter(), 200, `"finish_reason":"content_filter"`},
		"Length":        {fakellm.Length(), 200, `"finish_reason":"length"`},
		"NoChoices":     {fakellm.NoChoices(), 200, `"choices":[]`},
		"Answer":        {fakellm.Answer("mine"), 200, `"content":"mine"`},
		"Respond":       {fakellm.Respond(418, http.Header{"X-A": {"b"}}, `{"tea":1}`), 418, `{"tea":1}`},
		"SlowThen":      {fakellm.Slow(time.Nanosecond, fakellm.Status(504, "")), 504, `"error"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := ask(t, tc.action)
			require.NoError(t, err)
			require.NoError(t, a.bodyErr)
			require.Equal(t, tc.status, a.status)
			require.Contains(t, a.body, tc.says)
			require.Equal(t, "application/json", a.header.Get("Content-Type"))
			require.True(t, json.Valid([]byte(a.body)))
		})
	}
	t.Run("RespondWithoutAContentType", func(t *testing.T) {
		t.Parallel()
		a, err := ask(t, fakellm.Respond(200, http.Header{"Content-Type": nil}, `{}`))
		require.NoError(t, err)
		require.NotContains(t, a.header, "Content-Type")
	})
	t.Run("RateLimitAsksForAWait", func(t *testing.T) {
		t.Parallel()
		a, err := ask(t, fakellm.RateLimit(1500*time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, 429, a.status)
		require.Equal(t, "2", a.header.Get("Retry-After"))
		require.Equal(t, "1500", a.header.Get("Retry-After-Ms"))
	})
	t.Run("RateLimitWithoutAWait", func(t *testing.T) {
		t.Parallel()
		a, err := ask(t, fakellm.RateLimit(0))
		require.NoError(t, err)
		require.Equal(t, 429, a.status)
		require.Empty(t, a.header.Values("Retry-After"))
	})
	t.Run("Malformed", func(t *testing.T) {
		t.Parallel()
		a, err := ask(t, fakellm.Malformed())
		require.NoError(t, err)
		require.NoError(t, a.bodyErr)
		require.Equal(t, 200, a.status)
		require.False(t, json.Valid([]byte(a.body)))
	})
	t.Run("Truncated", func(t *testing.T) {
		t.Parallel()
		a, err := ask(t, fakellm.Truncated())
		require.NoError(t, err)
		require.Equal(t, 200, a.status)
		require.NotEmpty(t, a.body)
		require.ErrorIs(t, a.bodyErr, io.ErrUnexpectedEOF)
	})
	t.Run("Drop", func(t *testing.T) {
		t.Parallel()
		_, err := ask(t, fakellm.Drop())
		require.ErrorIs(t, err, io.EOF)
	})
	t.Run("HangEndsWhenTheClientGivesUp", func(t *testing.T) {
		t.Parallel()
		c := start(t, fakellm.Always(fakellm.Hang()))
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := c.do(ctx, http.MethodPost, "/chat/completions", chatBody(t, "a", "x"))
			failed <- err
		}()
		require.NoError(t, c.fake.AwaitInFlight(t.Context(), 1))
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.NoError(t, c.fake.AwaitIdle(t.Context()))
	})
	t.Run("HaveNames", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "OK", fakellm.OK().String())
		require.Equal(t, "Status 503", fakellm.Status(503, "").String())
	})
}

func TestRules(t *testing.T) {
	t.Parallel()
	script := fakellm.Rules(
		fakellm.Rule{File: "a", From: 2, To: 3, Do: fakellm.Drop()},
		fakellm.Rule{Contains: "poison", Do: fakellm.Refuse("no")},
		fakellm.Rule{File: "b", To: 1, Do: fakellm.Malformed()},
		fakellm.Rule{File: "b", From: 3, Do: fakellm.Hang()},
	)
	for name, tc := range map[string]struct {
		in   fakellm.Request
		want string
	}{
		"BeforeTheRange":   {fakellm.Request{File: "a", Seen: 1}, "OK"},
		"InTheRange":       {fakellm.Request{File: "a", Seen: 2}, "Drop"},
		"EndOfTheRange":    {fakellm.Request{File: "a", Seen: 3}, "Drop"},
		"AfterTheRange":    {fakellm.Request{File: "a", Seen: 4}, "OK"},
		"ByContent":        {fakellm.Request{File: "z", Text: "some poison here", Seen: 9}, "Refuse"},
		"FirstRuleWins":    {fakellm.Request{File: "a", Text: "poison", Seen: 2}, "Drop"},
		"UpTo":             {fakellm.Request{File: "b", Seen: 1}, "Malformed"},
		"Between":          {fakellm.Request{File: "b", Seen: 2}, "OK"},
		"ForEver":          {fakellm.Request{File: "b", Seen: 99}, "Hang"},
		"NoRule":           {fakellm.Request{File: "c", Seen: 1}, "OK"},
		"NameIsTakenWhole": {fakellm.Request{File: "bb", Seen: 1}, "OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, script(tc.in).String())
		})
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	names := func(script fakellm.Script, file string, times int) []string {
		var got []string
		for seen := 1; seen <= times; seen++ {
			got = append(got, script(fakellm.Request{File: file, Seen: seen}).String())
		}
		return got
	}
	t.Run("FailsTheFirstDispatchSucceedsThenStartsOver", func(t *testing.T) {
		t.Parallel()
		script := fakellm.Demo(fakellm.DemoOptions{})
		for file, failure := range map[string]string{
			"03-rate-limit.txt": "RateLimit", "TIMEOUT.md": "Slow", "outage": "Status 503", "x-malformed-y": "Malformed",
		} {
			require.Equal(t, []string{failure, failure, failure, "OK", failure, failure, failure, "OK"}, names(script, file, 8), file)
		}
	})
	t.Run("NumberOfFailuresIsConfigurable", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{"RateLimit", "OK", "RateLimit"}, names(fakellm.Demo(fakellm.DemoOptions{Failures: 1}), "rate-limit", 3))
	})
	t.Run("RefusesForEver", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{"Refuse", "Refuse", "Refuse", "Refuse", "Refuse"}, names(fakellm.Demo(fakellm.DemoOptions{}), "refuse.txt", 5))
	})
	t.Run("OtherFilesSucceed", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{"OK", "OK"}, names(fakellm.Demo(fakellm.DemoOptions{}), "invoice.txt", 2))
	})
	t.Run("OverHTTP", func(t *testing.T) {
		t.Parallel()
		c := start(t, fakellm.Demo(fakellm.DemoOptions{Failures: 2, RetryAfter: 50 * time.Millisecond}))
		for _, file := range []string{"rate-limit.txt", "timeout.txt"} {
			var statuses []int
			for range 3 {
				a, err := c.chat(file, "some text")
				require.NoError(t, err)
				statuses = append(statuses, a.status)
			}
			require.Equal(t, map[string][]int{"rate-limit.txt": {429, 429, 200}, "timeout.txt": {504, 504, 200}}[file], statuses)
		}
		require.Equal(t, "50", func() string {
			a, err := c.chat("rate-limit.txt", "some text")
			require.NoError(t, err)
			return a.header.Get("Retry-After-Ms")
		}())
	})
}
