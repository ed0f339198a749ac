package llm

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// classifyAt gives what an answer without headers means.
func classifyAt(status int, body string) verdict {
	return classify(answer{status: status, header: http.Header{"Retry-After": {"1"}}, body: []byte(body)}, time.Time{}, time.Hour)
}

// TestClassifyEveryStatus: 413 is the only status that by itself concerns the file, and
// no status, however odd, completes a file without a completion.
func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()
	want := func(status int) (core.Outcome, bool) {
		switch status {
		case 413:
			return core.OutcomePermanent, false
		case 401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 421, 426, 428, 431, 451:
			return core.OutcomeInterrupted, false
		case 408, 409, 423, 424, 425, 429, 498, 499:
			return core.OutcomeTransient, false
		}
		if status >= 300 && status < 400 {
			return core.OutcomeInterrupted, false
		}
		return core.OutcomeTransient, status >= 400 && status < 500
	}
	for status := 200; status < 600; status++ {
		for _, body := range []string{"", "null", "{}", "[]", `""`, "no", `{"error":{}}`, `{"error":null}`, `{"error":{"message":"x"}}`} {
			got := classifyAt(status, body)
			outcome, unexplained := want(status)
			require.Equal(t, outcome, got.Outcome, "%d %s", status, body)
			require.Equal(t, unexplained, got.unexplained, "%d %s", status, body)
			require.NotEmpty(t, got.Failure.Code, status)
			require.NotEmpty(t, got.Failure.Message, status)
			if outcome != core.OutcomeTransient {
				require.Zero(t, got.RetryAfter, status)
			} else {
				require.Equal(t, time.Second, got.RetryAfter, status)
			}
		}
	}
}

// TestClassifyWordsGoBeforeTheStatus: gateways put a status of their own around the
// provider's error.
func TestClassifyWordsGoBeforeTheStatus(t *testing.T) {
	t.Parallel()
	for body, code := range map[string]string{
		`{"error":{"code":"invalid_api_key"}}`:            FailureUnauthorized,
		`{"error":{"code":"insufficient_quota"}}`:         FailureQuota,
		`{"error":{"code":"model_not_found"}}`:            FailureMisconfigured,
		`{"error":{"code":"unsupported_parameter"}}`:      FailureShape,
		`{"error":{"code":"context_length_exceeded"}}`:    FailureTooLarge,
		`{"error":{"code":"content_policy_violation"}}`:   FailureRefused,
		`{"error":{"type":"ContextWindowExceededError"}}`: FailureTooLarge,
		`{"error":"Your credit balance is too low"}`:      FailureQuota,
		`{"message":"Incorrect API key provided"}`:        FailureUnauthorized,
	} {
		for _, status := range []int{200, 400, 401, 403, 404, 408, 413, 418, 422, 429, 500, 502, 503, 504, 529} {
			require.Equal(t, code, classifyAt(status, body).Failure.Code, "%d %s", status, body)
		}
	}
	// A message about a temporary fault does not overrule a certain status.
	for _, status := range []int{401, 402, 403, 404, 405, 407, 421} {
		require.Equal(t, core.OutcomeInterrupted, classifyAt(status, `{"error":{"message":"rate limit, overloaded, timed out: try again later"}}`).Outcome, status)
	}
	require.Equal(t, FailureUnauthorized, classifyAt(502, `{"error":{"code":401}}`).Failure.Code, "a status inside that says more")
	require.Equal(t, FailureUnavailable, classifyAt(502, `{"error":{"code":400}}`).Failure.Code, "and one that says less")
}

// TestClassifyStatusGoesBeforeTimeout: an error status counts even if the body of the
// answer then times out.
func TestClassifyStatusGoesBeforeTimeout(t *testing.T) {
	t.Parallel()
	a := answer{status: http.StatusUnauthorized, err: context.DeadlineExceeded, timedOut: true}
	require.Equal(t, FailureUnauthorized, classify(a, time.Time{}, time.Hour).Failure.Code)
	a.status = http.StatusUnprocessableEntity
	got := classify(a, time.Time{}, time.Hour)
	require.Equal(t, FailureRejected, got.Failure.Code)
	require.False(t, got.unexplained, "what was not read may have had a reason in it")
}

// TestClassifyFinishReasons: an answer that is not known to be complete completes no file.
func TestClassifyFinishReasons(t *testing.T) {
	t.Parallel()
	at := func(finish string) core.FileResult {
		return classifyAt(200, `{"choices":[{"finish_reason":`+finish+`,"message":{"content":"All of it."}}]}`).FileResult
	}
	for _, good := range []string{`null`, `""`, `"stop"`, `"STOP"`, `"Stop"`, `" stop "`, `"eos"`, `"EOS"`, `"eos_token"`, `"end_turn"`, `"endTurn"`, `"END_TURN"`, `"stop_sequence"`, `"stop-sequence"`, `"FinishReason.STOP"`, `"FINISH_REASON_STOP"`, `"none"`} {
		require.Equal(t, core.FileResult{Outcome: core.OutcomeCompleted, Output: "All of it."}, at(good), good)
	}
	for finish, code := range map[string]string{
		`"length"`: FailureCutOff, `"LENGTH"`: FailureCutOff, `"max_tokens"`: FailureCutOff, `"MAX_TOKENS"`: FailureCutOff, `"model_length"`: FailureCutOff,
		`"content_filter"`: FailureRefused, `"SAFETY"`: FailureRefused, `"sensitive"`: FailureRefused, `"refusal"`: FailureRefused,
		`"error"`: FailureUnavailable, `"network_error"`: FailureUnavailable, `"insufficient_system_resource"`: FailureUnavailable, `"abort"`: FailureUnavailable,
		`"tool_calls"`: FailureMalformed, `"function_call"`: FailureMalformed, `"pause_turn"`: FailureMalformed, `"stopped"`: FailureMalformed, `"stop!"`: FailureMalformed,
		`"unheard_of"`: FailureMalformed, `1`: FailureMalformed, `true`: FailureMalformed, `{}`: FailureMalformed, `["stop"]`: FailureMalformed,
	} {
		require.Equal(t, code, at(finish).Failure.Code, finish)
	}
	absent := classifyAt(200, `{"choices":[{"message":{"content":"All of it."}}]}`)
	require.Equal(t, core.OutcomeCompleted, absent.Outcome)
}

// TestClassifyTruncatedAnswers cuts a completion at every byte.
func TestClassifyTruncatedAnswers(t *testing.T) {
	t.Parallel()
	whole := `{"id":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"All of it."}}],"usage":{"total_tokens":7}}`
	require.Equal(t, core.OutcomeCompleted, classifyAt(200, whole).Outcome)
	require.Equal(t, core.OutcomeCompleted, classifyAt(200, "\uFEFF"+whole+"\r\n").Outcome)
	for i := range len(whole) {
		require.Equal(t, core.OutcomeTransient, classifyAt(200, whole[:i]).Outcome, whole[:i])
	}
	require.NotEqual(t, core.OutcomeCompleted, classifyAt(200, whole+whole).Outcome)
	require.NotEqual(t, core.OutcomeCompleted, classifyAt(206, whole).Outcome)
}

func TestClassifyContent(t *testing.T) {
	t.Parallel()
	at := func(message string) core.FileResult {
		return classifyAt(200, `{"choices":[{"finish_reason":"stop","message":`+message+`}]}`).FileResult
	}
	for message, output := range map[string]string{
		`{"content":"a"}`:                          "a",
		`{"content":["a","b"]}`:                    "ab",
		`{"content":[{"text":"a"},{"text":"b"}]}`:  "ab",
		`{"content":[{"type":"text","text":"a"}]}`: "a",
		`{"content":"a","error":null}`:             "a",
		`{"content":"a","refusal":null}`:           "a",
		`{"content":"a","refusal":""}`:             "a",
		`{"content":"if a < b then"}`:              "if a < b then",
		`{"content":"<think>b</think>a"}`:          "<think>b</think>a",
		`{"content":"b</think>a"}`:                 "b</think>a",
		`{"content":"a","reasoning_content":"b"}`:  "a",
		`{"content":"a","tool_calls":[]}`:          "a",
		`{"content":[{"type":"output_text","text":"a"},{"type":"reference","reference_ids":[1]}]}`: "a",
	} {
		got := at(message)
		require.Equal(t, core.OutcomeCompleted, got.Outcome, "%s %v", message, got.Failure)
		require.Equal(t, output, got.Output)
	}
	for _, message := range []string{
		`null`, `"a"`, `[]`, `{}`, `{"content":null}`, `{"content":7}`, `{"content":{}}`, `{"content":[]}`, `{"content":[1]}`, `{"content":[null]}`,
		`{"content":[{"type":"text"}]}`, `{"content":[{"type":"text","text":"a"},{"type":"image_url"}]}`, `{"content":"a\u0000b"}`,
		`{"content":"<think>b</think>"}`, `{"content":"<THINK>b</THINK> \n"}`, `{"content":"<think>b"}`, `{"content":"b</think>\n"}`, `{"content":"","reasoning":"b"}`,
		`{"content":[{"type":"thinking","thinking":[]}]}`,
	} {
		require.Equal(t, FailureMalformed, at(message).Failure.Code, message)
	}
	require.Equal(t, FailureRefused, at(`{"content":[{"type":"refusal","refusal":"no"}]}`).Failure.Code)
	require.Equal(t, FailureRefused, at(`{"content":"a","refusal":"no"}`).Failure.Code)
}

// TestClassifyIgnoresWhatRepeatsTheRequest: a validation error that quotes the file
// must not be read as the provider's own words.
func TestClassifyIgnoresWhatRepeatsTheRequest(t *testing.T) {
	t.Parallel()
	got := classifyAt(400, `{"error":{"message":"bad","input":{"message":"invalid api key"},"messages":[{"message":"prompt is too long"}]}}`)
	require.Equal(t, FailureRejected, got.Failure.Code)
	require.True(t, got.unexplained)
}

// TestClassifyAccountsAndContents: a warning about the account is not its deactivation,
// and the deactivation of an account is no fault of the content.
func TestClassifyAccountsAndContents(t *testing.T) {
	t.Parallel()
	for said, code := range map[string]string{
		"Your prompt was flagged as violating our usage policy. Repeated violations may lead to your account being suspended.": FailureRefused,
		"This prompt violates your organization's content policy and was blocked.":                                             FailureRefused,
		"Your account has been flagged for violating our usage policies.":                                                      FailureUnauthorized,
		"Your access was terminated due to violation of our policies, please check your email.":                                FailureUnauthorized,
		"The project has been disabled.": FailureUnauthorized,
	} {
		require.Equal(t, code, classifyAt(403, `{"error":{"message":"`+said+`"}}`).Failure.Code, said)
	}
}

// TestClassifyAloneOverTheLimit: a limit for which waiting helps is transient.
func TestClassifyAloneOverTheLimit(t *testing.T) {
	t.Parallel()
	for said, code := range map[string]string{
		"Rate limit reached: Limit 30000, Used 29000, Requested 2000.": FailureRateLimited,
		"Rate limit reached: Limit 30000, Used 0, Requested 30000.":    FailureRateLimited,
		"Rate limit reached: Limit 30000, Used 0, Requested 30001.":    FailureTooLarge,
		"Rate limit reached: Limit 9000, Used 0, Requested 10000.":     FailureTooLarge,
		"Request too large for gpt-4o.":                                FailureTooLarge,
		"Too many requests":                                            FailureRateLimited,
	} {
		require.Equal(t, code, classifyAt(429, `{"error":{"message":"`+said+`","code":"rate_limit_exceeded"}}`).Failure.Code, said)
	}
}

// TestProxyRefuses: if the proxy refuses the connection to the provider, it is our fault.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for status, outcome := range map[int]core.Outcome{
		http.StatusProxyAuthRequired: core.OutcomeInterrupted, http.StatusForbidden: core.OutcomeInterrupted, http.StatusBadGateway: core.OutcomeTransient,
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(proxy.Close)
		at, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		transport := newTransport()
		transport.Proxy = http.ProxyURL(at)
		c := newClient(Config{BaseURL: "https://api.example.com/v1", Model: "m", Transport: transport}.withDefaults())
		a := c.ask(t.Context(), ports.Task{}, ports.TaskFile{Name: "a"}, "x")
		require.Equal(t, outcome, classify(a, time.Time{}, time.Hour).Outcome, status)
	}
}

func TestStatedWait(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]time.Duration{
		"please try again in 20s.":        20 * time.Second,
		"please retry in 58.821668433s.":  58821668433 * time.Nanosecond,
		"try again in 9m38.016s":          9*time.Minute + 38016*time.Millisecond,
		"try again in 6ms":                6 * time.Millisecond,
		"try again in 1h2m3s":             time.Hour + 2*time.Minute + 3*time.Second,
		"try again in a moment":           0,
		"try again in 99999999999999999s": 0,
		"in 20s":                          0,
	} {
		require.Equal(t, want, statedWait(words), words)
	}
	v := classify(answer{status: 429, header: http.Header{}, body: []byte(`{"error":{"message":"Please try again in 3h0m0s."}}`)}, time.Time{}, time.Hour)
	require.Equal(t, time.Hour, v.RetryAfter, "no longer than is believed")
}

// tableBodies are the bodies of testdata/answers with their statuses.
func tableBodies(tb testing.TB) (statuses []int, bodies [][]byte) {
	tb.Helper()
	files, err := filepath.Glob("testdata/answers/*.json")
	require.NoError(tb, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(tb, err)
		var table struct {
			Answers []struct {
				Status int
				Body   json.RawMessage
				Text   string
			}
		}
		require.NoError(tb, json.Unmarshal(raw, &table))
		for _, a := range table.Answers {
			statuses = append(statuses, a.Status)
			bodies = append(bodies, append([]byte(a.Body), a.Text...))
		}
	}
	return statuses, bodies
}

// soundVerdict checks that an answer completes a file only if it is one complete
// completion, which it checks in another way than classify.
func soundVerdict(t *testing.T, status int, contentType string, body []byte) {
	t.Helper()
	v := classify(answer{status: status, header: http.Header{"Content-Type": {contentType}}, body: body}, time.Time{}, time.Hour)
	if v.Outcome != core.OutcomeCompleted {
		require.NotEmpty(t, v.Failure.Code)
		require.NotEmpty(t, v.Failure.Message)
		require.Empty(t, v.Output)
		return
	}
	require.True(t, succeeded(status))
	require.NotEmpty(t, strings.TrimSpace(v.Output))
	var whole struct {
		Choices []struct {
			Finish  *string `json:"finish_reason"`
			Message struct{ Content any }
		}
	}
	require.NoError(t, json.Unmarshal(trimBody(body), &whole), "%s", body)
	if finish := whole.Choices[0].Finish; finish != nil {
		require.Regexp(t, `(?i)^\W*(finish_?reason\W*)?(stop|eos|eos_?token|end\W?_?turn|stop\W?_?sequence|none|null)?\W*$`, *finish)
	}
}

// TestClassifyDamagedAnswers damages every answer of the table in many ways, the same
// ones every time.
func TestClassifyDamagedAnswers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	statuses, bodies := tableBodies(t)
	for i, body := range bodies {
		for range 6 {
			b := slices.Clone(body)
			for range 1 + random.IntN(3) {
				if len(b) == 0 {
					break
				}
				at := random.IntN(len(b))
				switch random.IntN(5) {
				case 0:
					b[at] = byte(random.IntN(256))
				case 1:
					b = b[:at]
				case 2:
					b = slices.Delete(b, at, at+1+random.IntN(len(b)-at))
				case 3:
					b = append(b[:at:at], bodies[random.IntN(len(bodies))]...)
				case 4:
					b = slices.Insert(b, at, []byte(`"{}[]:,<\`)[random.IntN(9)])
				}
			}
			soundVerdict(t, statuses[i], "application/json", b)
			soundVerdict(t, 200, "text/html", b)
		}
	}
}

func FuzzClassify(f *testing.F) {
	statuses, bodies := tableBodies(f)
	for i := range bodies {
		f.Add(statuses[i], "application/json", bodies[i])
	}
	f.Fuzz(soundVerdict)
}
