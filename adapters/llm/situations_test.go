package llm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// byName is a provider that answers by the name of the file.
type byName map[string]fakellm.Action

func (m byName) script(in fakellm.Request) fakellm.Action { return m[in.File] }

// verdicts executes every file of a script, one job each, and gives their results as
// "outcome code".
func verdicts(t *testing.T, r rig, m byName) map[string]string {
	t.Helper()
	got := map[string]string{}
	for name := range m {
		result := r.one(t, textFile(0, name, "x"))
		got[name] = strings.TrimSpace(string(result.Outcome) + " " + result.Failure.Code)
	}
	return got
}

func all(m byName, verdict string) map[string]string {
	want := map[string]string{}
	for name := range m {
		want[name] = verdict
	}
	return want
}

func respond(status int, body string) fakellm.Action { return fakellm.Respond(status, nil, body) }

// ended is a 200 with this finish reason, as JSON.
func ended(finish string) fakellm.Action {
	return respond(200, fmt.Sprintf(`{"id":"x","choices":[{"index":0,"finish_reason":%s,"message":{"role":"assistant","content":"The first half of the"}}]}`, finish))
}

// TestSituations are incidents that were reported for similar programs.
func TestSituations(t *testing.T) {
	t.Parallel()
	t.Run("TheOperatorsAccountIsOutOfMoney", func(t *testing.T) {
		t.Parallel()
		m := byName{
			"deepseek-402":   respond(402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`),
			"openrouter-402": fakellm.Respond(402, http.Header{"Retry-After": {"1"}}, `{"error":{"message":"Insufficient credits.","code":402}}`),
			"anthropic-400":  respond(400, `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low."}}`),
			"deepseek-400":   respond(400, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`),
			"openai-429":     respond(429, `{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}`),
		}
		require.Equal(t, all(m, "interrupted provider_quota_exhausted"), verdicts(t, newRig(t, m.script), m))
	})
	t.Run("TheAddressOrTheModelIsWrong", func(t *testing.T) {
		t.Parallel()
		html := http.Header{"Content-Type": {"text/html"}}
		m := byName{
			"vllm-model": respond(404, `{"object":"error","message":"The model m does not exist.","type":"NotFoundError","param":null,"code":404}`),
			"vllm-new":   respond(404, `{"error":{"message":"The model m does not exist.","type":"NotFoundError","param":null,"code":404}}`),
			"ollama":     respond(404, `{"error":{"message":"model \"m\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`),
			"no-v1":      fakellm.Respond(404, http.Header{"Content-Type": {"text/plain"}}, "404 page not found\n"),
			"azure":      respond(404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}`),
			"nginx-405":  fakellm.Respond(405, html, "<html><h1>405 Not Allowed</h1></html>"),
			"https-port": fakellm.Respond(400, html, "<html><h1>400 The plain HTTP request was sent to HTTPS port</h1></html>"),
			"openai-404": respond(404, `{"error":{"message":"The model m does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}`),
		}
		require.Equal(t, all(m, "interrupted provider_misconfigured"), verdicts(t, newRig(t, m.script), m))
	})
	t.Run("TheModelTakesNoRequestOfThisShape", func(t *testing.T) {
		t.Parallel()
		m := byName{
			"gemma-system": respond(400, `{"object":"error","message":"System role not supported","type":"BadRequestError","param":null,"code":400}`),
			"stream-only":  respond(400, `{"error":{"code":"invalid_parameter_error","param":null,"message":"This model only support stream mode, please enable the stream parameter to access the model.","type":"invalid_request_error"}}`),
			"unsupported":  respond(400, `{"error":{"message":"Unsupported value: 'messages[0].role' does not support 'system' with this model.","type":"invalid_request_error","param":"messages[0].role","code":"unsupported_value"}}`),
		}
		require.Equal(t, all(m, "interrupted request_refused"), verdicts(t, newRig(t, m.script), m))
	})
	t.Run("HalfAnAnswer", func(t *testing.T) {
		t.Parallel()
		m := byName{
			"stop": ended(`"stop"`), "null": ended(`null`), "gemini-stop": ended(`"STOP"`), "together-eos": ended(`"eos"`), "anthropic-end": ended(`"end_turn"`),
			"length": ended(`"length"`), "gemini-max-tokens": ended(`"MAX_TOKENS"`), "proxy-max-tokens": ended(`"max_tokens"`), "mistral-model-length": ended(`"model_length"`),
			"gemini-safety": ended(`"SAFETY"`), "gemini-recitation": ended(`"RECITATION"`), "zhipu-sensitive": ended(`"sensitive"`), "anthropic-refusal": ended(`"refusal"`),
			"deepseek-resource": ended(`"insufficient_system_resource"`), "zhipu-network": ended(`"network_error"`), "vllm-abort": ended(`"abort"`), "openrouter-error": ended(`"error"`),
			"choice-error-stop":     respond(200, `{"choices":[{"finish_reason":"stop","message":{"content":"The first half of the"},"error":{"code":502,"message":"Provider disconnected"}}]}`),
			"top-error-with-choice": respond(200, `{"error":{"code":502,"message":"Provider disconnected"},"choices":[{"finish_reason":"stop","message":{"content":"The first half of the"}}]}`),
		}
		want := all(m, "transient provider_unavailable")
		for verdict, names := range map[string]string{
			"completed":                  "stop null gemini-stop together-eos anthropic-end",
			"transient output_truncated": "length gemini-max-tokens proxy-max-tokens mistral-model-length",
			"permanent content_refused":  "gemini-safety gemini-recitation zhipu-sensitive anthropic-refusal",
		} {
			for _, name := range strings.Fields(names) {
				want[name] = verdict
			}
		}
		require.Equal(t, want, verdicts(t, newRig(t, m.script), m))
	})
	t.Run("JSONUnderAnotherContentType", func(t *testing.T) {
		t.Parallel()
		const fine = `{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"fine"}}]}`
		under := func(contentType ...string) fakellm.Action {
			return fakellm.Respond(200, http.Header{"Content-Type": contentType}, fine)
		}
		m := byName{
			"text-plain": under("text/plain; charset=utf-8"), "none": under(), "text-json": under("text/json"),
			"octet": under("application/octet-stream"), "html": under("text/html"), "json": under("application/json"),
		}
		require.Equal(t, all(m, "completed"), verdicts(t, newRig(t, m.script), m))
		m = byName{"event-stream": fakellm.Respond(200, http.Header{"Content-Type": {"text/event-stream"}}, fine+"\n\ndata: [DONE]\n\n")}
		require.Equal(t, all(m, "transient malformed_response"), verdicts(t, newRig(t, m.script), m))
		m = byName{"bad-request-plain": fakellm.Respond(400, http.Header{"Content-Type": {"text/plain"}}, `{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}`)}
		require.Equal(t, all(m, "permanent file_too_large"), verdicts(t, newRig(t, m.script), m))
	})
	t.Run("AFlaggedFileIsNoOutage", func(t *testing.T) {
		t.Parallel()
		flagged := respond(403, `{"error":{"code":403,"message":"m requires moderation on P. Your input was flagged for \"violence\". No credits were charged.","metadata":{"reasons":["violence"],"flagged_input":"…","provider_name":"P"}}}`)
		s := newService(t, core.ModePerFile, fakellm.Rules(fakellm.Rule{Contains: "FLAGGED", Do: flagged}))
		run := s.initiate("a: FLAGGED 1", "b: FLAGGED 2", "c: fine")
		status, got := s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, []string{"a error content_refused", "b error content_refused", "c completed"}, got)
		require.Equal(t, []int{1, 1, 1}, s.counts("a", "b", "c"), "each was asked about once")
		require.False(t, core.Failure{Code: llm.FailureRefused}.ProviderDown())
	})
	t.Run("AStoredContentIsLost", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		lost := textFile(0, "a.txt", "one")
		lost.Open = func(context.Context) (io.ReadCloser, error) { return nil, ports.ErrNotFound }
		got := r.one(t, lost)
		require.Equal(t, core.OutcomeInterrupted, got.Outcome)
		require.Equal(t, core.FailureUnreadable, got.Failure.Code)
		require.Contains(t, r.log.String(), "level=WARN")
		require.Empty(t, r.fake.Requests())
	})
	t.Run("WhatSpreadsheetsWrite", func(t *testing.T) {
		t.Parallel()
		s := newService(t, core.ModePerFile, nil)
		run := s.initiate("bom.csv: \xef\xbb\xbfquestion;answer\r\n", "excel-1252.csv: name;town\r\nJos\xe9;K\xf6ln 10 \x96 20\r\n",
			"excel-unicode.csv: \xff\xfen\x00a\x00m\x00e\x00\r\x00\n\x00", "bom-only.txt: \xef\xbb\xbf", "zero-width.txt: \u200b\u200b")
		_, got := s.state(run)
		require.Equal(t, []string{
			"bom.csv completed", "excel-1252.csv completed", "excel-unicode.csv completed", "bom-only.txt error file_empty", "zero-width.txt error file_empty",
		}, got)
		sent := map[string]string{}
		for _, r := range s.fake.Requests() {
			sent[r.File] = r.Text
		}
		require.Equal(t, map[string]string{
			"bom.csv": "question;answer\r\n", "excel-1252.csv": "name;town\r\nJosé;Köln 10 – 20\r\n", "excel-unicode.csv": "name\r\n",
		}, sent)
	})
	// Files that no model could process are refused by name before they are charged.
	t.Run("RefusedBeforeTheCharge", func(t *testing.T) {
		t.Parallel()
		s := newServiceOf(t, core.ModePerFile, nil, func(e *llm.Executor) ports.Executor { return e }, func(c *llm.Config) { c.MaxFileBytes = 100 })
		upload, err := s.app.BeginUpload(t.Context(), admin, app.UploadRequest{Tenant: tenant, Template: "summary"})
		require.NoError(t, err)
		for i, f := range [][2]string{
			{"bom.csv", "\xef\xbb\xbfquestion;answer\r\n"},
			{"empty.txt", ""},
			{"bom-only.txt", "\xef\xbb\xbf"},
			{"zero-width.txt", "\u200b\u200b"},
			{"blank.txt", " \r\n\t"},
			{"picture.png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"},
			{"long.txt", strings.Repeat("a", 101)},
		} {
			_, err := upload.Add(t.Context(), f[0], strings.NewReader(f[1]))
			require.Equal(t, i > 0, err != nil, "%s: %v", f[0], err)
		}
		_, err = s.app.Initiate(t.Context(), admin, app.InitiateRequest{Tenant: tenant, Template: "summary", Upload: upload})
		var refusal *core.Error
		require.ErrorAs(t, err, &refusal)
		var fields []string
		for _, f := range refusal.Fields {
			fields = append(fields, f.Field)
		}
		require.Equal(t, []string{"files[1]", "files[2]", "files[3]", "files[4]", "files[5]", "files[6]"}, fields)
		require.Empty(t, s.fake.Requests())
		require.Equal(t, core.Credits(100), s.credits())
	})
}
