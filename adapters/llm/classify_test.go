package llm_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// TestClassification sends every answer of a provider over real HTTP.
func TestClassification(t *testing.T) {
	t.Parallel()
	body := func(status int, body string) fakellm.Action { return fakellm.Respond(status, nil, body) }
	html := func(status int) fakellm.Action {
		return fakellm.Respond(status, http.Header{"Content-Type": {"text/html"}}, "<h1>a proxy speaks</h1>")
	}
	choice := func(message, finish string) fakellm.Action {
		return body(200, fmt.Sprintf(`{"choices":[{"index":0,"message":%s,"finish_reason":%q}]}`, message, finish))
	}
	type want struct {
		outcome core.Outcome
		code    string
		wait    time.Duration
	}
	transient := func(code string) want { return want{core.OutcomeTransient, code, 0} }
	permanent := func(code string) want { return want{core.OutcomePermanent, code, 0} }
	ours := func(code string) want { return want{core.OutcomeInterrupted, code, 0} }

	for name, tc := range map[string]struct {
		action fakellm.Action
		want   want
	}{
		"408":                     {fakellm.Status(408, ""), transient(llm.FailureTimeout)},
		"409":                     {fakellm.Status(409, ""), transient(llm.FailureUnavailable)},
		"429":                     {fakellm.RateLimit(0), transient(llm.FailureRateLimited)},
		"429RetryAfter":           {fakellm.RateLimit(7 * time.Second), want{core.OutcomeTransient, llm.FailureRateLimited, 7 * time.Second}},
		"429RetryAfterMs":         {fakellm.RateLimit(1500 * time.Millisecond), want{core.OutcomeTransient, llm.FailureRateLimited, 1500 * time.Millisecond}},
		"429RetryAfterDate":       {fakellm.Respond(429, http.Header{"Date": {"Mon, 02 Jan 2034 15:04:05 GMT"}, "Retry-After": {"Mon, 02 Jan 2034 15:04:35 GMT"}}, `{}`), want{core.OutcomeTransient, llm.FailureRateLimited, 30 * time.Second}},
		"429WithoutABody":         {body(429, ``), transient(llm.FailureRateLimited)},
		"429Quota":                {fakellm.Status(429, "insufficient_quota"), ours(llm.FailureQuota)},
		"500":                     {fakellm.Status(500, "server_error"), transient(llm.FailureUnavailable)},
		"501":                     {fakellm.Status(501, ""), transient(llm.FailureUnavailable)},
		"502FromAProxy":           {html(502), transient(llm.FailureUnavailable)},
		"503RetryAfter":           {fakellm.Respond(503, http.Header{"Retry-After": {"3"}}, `{"error":{"message":"x"}}`), want{core.OutcomeTransient, llm.FailureUnavailable, 3 * time.Second}},
		"503ThatNamesContent":     {fakellm.Status(503, "content_filter"), permanent(llm.FailureRefused)},
		"504":                     {fakellm.Status(504, ""), transient(llm.FailureTimeout)},
		"529":                     {fakellm.Status(529, "overloaded_error"), transient(llm.FailureUnavailable)},
		"401":                     {fakellm.Unauthorized(), ours(llm.FailureUnauthorized)},
		"403":                     {fakellm.Status(403, "unsupported_country"), ours(llm.FailureUnauthorized)},
		"400InvalidKey":           {fakellm.Status(400, "invalid_api_key"), ours(llm.FailureUnauthorized)},
		"404ModelNotFound":        {fakellm.Status(404, "model_not_found"), ours(llm.FailureMisconfigured)},
		"Redirect":                {fakellm.Respond(307, http.Header{"Location": {"http://127.0.0.1:1/v1/chat/completions"}}, ``), ours(llm.FailureMisconfigured)},
		"400":                     {fakellm.BadRequest(), transient(llm.FailureRejected)},
		"400ErrorIsAString":       {body(400, `{"error":"no such thing"}`), transient(llm.FailureRejected)},
		"402":                     {fakellm.Status(402, ""), ours(llm.FailureQuota)},
		"404":                     {html(404), ours(llm.FailureMisconfigured)},
		"422":                     {fakellm.Status(422, ""), transient(llm.FailureRejected)},
		"413":                     {fakellm.Status(413, ""), permanent(llm.FailureTooLarge)},
		"400ContextLength":        {fakellm.Status(400, "context_length_exceeded"), permanent(llm.FailureTooLarge)},
		"400ContentPolicy":        {fakellm.ContentPolicy(), permanent(llm.FailureRefused)},
		"400ContentFilter":        {fakellm.Status(400, "content_filter"), permanent(llm.FailureRefused)},
		"403ContentPolicyAsAType": {body(403, `{"error":{"type":"content_policy_violation","message":"x"}}`), permanent(llm.FailureRefused)},
		"Refusal":                 {fakellm.Refuse("I will not."), permanent(llm.FailureRefused)},
		"FinishContentFilter":     {fakellm.ContentFilter(), permanent(llm.FailureRefused)},
		"FinishLength":            {fakellm.Length(), transient(llm.FailureCutOff)},
		"Malformed":               {fakellm.Malformed(), transient(llm.FailureMalformed)},
		"Truncated":               {fakellm.Truncated(), transient(llm.FailureMalformed)},
		"NotJSON":                 {html(200), ours(llm.FailureMisconfigured)},
		"EmptyBody":               {body(200, ``), transient(llm.FailureMalformed)},
		"NoContent":               {fakellm.Respond(202, nil, ``), transient(llm.FailureMalformed)},
		"Null":                    {body(200, `null`), transient(llm.FailureMalformed)},
		"AList":                   {body(200, `[]`), transient(llm.FailureMalformed)},
		"AnErrorWithStatus200":    {body(200, `{"error":{"message":"x","code":"content_filter"}}`), permanent(llm.FailureRefused)},
		"NoChoices":               {fakellm.NoChoices(), transient(llm.FailureMalformed)},
		"ChoicesOfAnotherType":    {body(200, `{"choices":"x"}`), transient(llm.FailureMalformed)},
		"NoText":                  {choice(`{"content":null}`, "stop"), transient(llm.FailureMalformed)},
		"BlankText":               {choice(`{"content":" \n"}`, "stop"), transient(llm.FailureMalformed)},
		"TextOfAnotherType":       {choice(`{"content":[1]}`, "stop"), transient(llm.FailureMalformed)},
		"TextWithNUL":             {choice(`{"content":"a\u0000b"}`, "stop"), transient(llm.FailureMalformed)},
		"TextNotUTF8":             {choice("{\"content\":\"a\xffb\"}", "stop"), transient(llm.FailureMalformed)},
		"ToolCall":                {choice(`{"content":null,"tool_calls":[]}`, "tool_calls"), transient(llm.FailureMalformed)},
		"AnswerTooLarge":          {fakellm.Answer(strings.Repeat("x", 1<<20)), transient(core.FailureOutputTooLarge)},
		"ErrorBodyTooLarge":       {body(503, strings.Repeat("x", 1<<20)), transient(llm.FailureUnavailable)},
		"ConnectionDropped":       {fakellm.Drop(), transient(llm.FailureUnreachable)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakellm.Always(tc.action), func(c *llm.Config) { c.MaxResponseBytes = 1 << 20 })
			got := r.one(t, textFile(3, "a.txt", "hello"))
			require.Equal(t, tc.want, want{got.Outcome, got.Failure.Code, got.RetryAfter})
			require.NotEmpty(t, got.Failure.Message)
			require.Empty(t, got.Output)
			require.Equal(t, 1, r.fake.Count("a.txt"), "the executor itself does not retry")
			require.Contains(t, r.log.String(), "code="+tc.want.code, "logged for the operator")
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	short := func(c *llm.Config) { c.Timeout = 50 * time.Millisecond }
	t.Run("NoAnswer", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Hang()), short)
		got := r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, core.OutcomeTransient, got.Outcome)
		require.Equal(t, llm.FailureTimeout, got.Failure.Code)
		require.NoError(t, r.fake.AwaitIdle(t.Context()), "the request was given up")
	})
	t.Run("BodyStopsHalfway", func(t *testing.T) {
		t.Parallel()
		server := stallingServer(t)
		r := newRig(t, nil, short, func(c *llm.Config) { c.BaseURL = server })
		got := r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, core.OutcomeTransient, got.Outcome)
		require.Equal(t, llm.FailureTimeout, got.Failure.Code)
	})
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	require.NoError(t, r.fake.Close())
	got := r.one(t, textFile(0, "a.txt", "hello"))
	require.Equal(t, core.OutcomeTransient, got.Outcome)
	require.Equal(t, llm.FailureUnreachable, got.Failure.Code)
}

func TestFailureMessages(t *testing.T) {
	t.Parallel()
	t.Run("NeverHaveTheKey", func(t *testing.T) {
		t.Parallel()
		for name, action := range map[string]fakellm.Action{
			"EchoedInAnError":  fakellm.Unauthorized(),
			"EchoedInARefusal": fakellm.Refuse("I saw " + apiKey + " go by"),
			"EchoedInACode":    fakellm.Status(400, apiKey),
			"EchoedInAType":    fakellm.Respond(400, nil, `{"error":{"type":"`+apiKey+`"}}`),
			"EchoedAsJunk":     fakellm.Respond(200, nil, apiKey),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fakellm.Always(action))
				got := r.one(t, textFile(0, "a.txt", "hello"))
				require.NotContains(t, got.Failure.Message, apiKey)
				require.NotEmpty(t, r.log.String())
				require.NotContains(t, r.log.String(), apiKey)
			})
		}
	})
	t.Run("NeverHaveAKeyThatLooksLikeACode", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Status(400, "key_0123456789")), func(c *llm.Config) { c.APIKey = "key_0123456789" })
		got := r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, "the provider rejected the request for this file (HTTP 400, [redacted], scripted_error)", got.Failure.Message)
		require.NotContains(t, r.log.String(), "key_0123456789")
	})
	t.Run("NameTheCodeOfARejectionAndNotItsText", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Respond(400, nil, `{"error":{"message":"internal host db7","type":"invalid_request_error","code":"invalid_value"}}`)))
		got := r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, "the provider rejected the request for this file (HTTP 400, invalid_value, invalid_request_error)", got.Failure.Message)
	})
	t.Run("QuoteARefusalOnOneShortLine", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Refuse("No,\r\n\x1b[31mnever. "+strings.Repeat("é", 300))))
		got := r.one(t, textFile(0, "a.txt", "hello"))
		want := []rune("No, [31mnever. " + strings.Repeat("é", 300))[:200]
		require.Equal(t, "the model declined to work on this file: "+string(want)+"…", got.Failure.Message)
	})
}
