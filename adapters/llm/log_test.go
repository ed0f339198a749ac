package llm_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
)

func TestFailureLog(t *testing.T) {
	t.Parallel()
	t.Run("WhatToDo", func(t *testing.T) {
		t.Parallel()
		for name, tc := range map[string]struct {
			action fakellm.Action
			says   string
		}{
			"Credential": {fakellm.Unauthorized(), "LLM_API_KEY"},
			"Money":      {fakellm.Status(402, ""), "top it up"},
			"Address":    {fakellm.Status(404, ""), "LLM_BASE_URL"},
			"Model":      {fakellm.Status(400, "model_not_found"), "LLM_MODEL"},
			"Shape":      {fakellm.Status(400, "unsupported_parameter"), "LLM_MODEL"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fakellm.Always(tc.action))
				got := r.one(t, textFile(0, "a.txt", "hello"))
				require.Contains(t, r.log.String(), "level=WARN")
				require.Contains(t, r.log.String(), tc.says)
				require.Contains(t, got.Failure.Message, "its operator has to fix this, and to continue is free")
				require.NotContains(t, got.Failure.Message, "LLM_", "which is not the tenant's business")
			})
		}
	})
	t.Run("OnceAMinute", func(t *testing.T) {
		t.Parallel()
		var now atomic.Int64
		r := newRig(t, fakellm.Always(fakellm.Unauthorized()), func(c *llm.Config) {
			c.Now = func() time.Time { return time.Unix(now.Load(), 0) }
		})
		warnings := func() int { return strings.Count(r.log.String(), "level=WARN") }
		for range 5 {
			r.one(t, textFile(0, "a.txt", "hello"))
		}
		require.Equal(t, 1, warnings())
		require.Equal(t, 5, strings.Count(r.log.String(), "code=provider_unauthorized"), "the others are logged like other failures")
		now.Store(61)
		r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, 2, warnings())
		now.Store(-3600)
		r.one(t, textFile(0, "a.txt", "hello"))
		require.Equal(t, 3, warnings(), "a clock that was set back silences nothing")
	})
	t.Run("TheContentTypeOfWhatWasRefused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Respond(200, http.Header{"Content-Type": {"text/event-stream"}}, "data: {}\n\n")))
		require.Equal(t, llm.FailureMalformed, r.one(t, textFile(0, "a.txt", "hello")).Failure.Code)
		require.Contains(t, r.log.String(), "content_type=text/event-stream")
	})
	t.Run("TheProvidersSentenceWithoutSecretsAndNotTheFilesWords", func(t *testing.T) {
		t.Parallel()
		body := fmt.Sprintf(`{"error":{"message":"Unsupported parameter for key %s and sk-0123456789abcdefghijkl.\n%s","code":"unsupported_parameter"}}`, apiKey, strings.Repeat("long ", 1000))
		r := newRig(t, fakellm.Always(fakellm.Respond(400, http.Header{"X-Request-Id": {strings.Repeat("r", 5000)}}, body)))
		r.one(t, textFile(0, "a.txt", "hello"))
		require.Contains(t, r.log.String(), "Unsupported parameter for key")
		require.NotContains(t, r.log.String(), apiKey)
		require.NotContains(t, r.log.String(), "sk-0123456789")
		require.Less(t, len(r.log.String()), 2000, "lines are bounded")

		r = newRig(t, fakellm.Always(fakellm.Respond(400, nil, `{"error":{"message":"prompt is too long: the diary says"}}`)))
		r.one(t, textFile(0, "a.txt", "the diary says"))
		require.NotContains(t, r.log.String(), "diary")
	})
}
