package llm

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
)

// wire has the parts of a completion that are needed. Each is decoded separately,
// because one part with an unexpected type must not hide an error in another.
type wire struct {
	Error   json.RawMessage `json:"error"`
	Object  json.RawMessage `json:"object"`
	Type    json.RawMessage `json:"type"`
	Choices json.RawMessage `json:"choices"`
}

type wireChoice struct {
	Message json.RawMessage `json:"message"`
	Error   json.RawMessage `json:"error"`
	Finish  json.RawMessage `json:"finish_reason"`
	Native  json.RawMessage `json:"native_finish_reason"` // of the provider behind a router
}

type wireMessage struct {
	Content json.RawMessage `json:"content"`
	Refusal json.RawMessage `json:"refusal"`
}

// classifySuccess classifies an answer with a success status. A file is completed only
// if the answer is known to be complete: valid JSON to its last byte, no error in it, a
// finish reason that means a normal end, and text.
func classifySuccess(a answer, now time.Time, limit time.Duration) verdict {
	wait := func(f fault) time.Duration { return waitOf(f, a.header, now, limit) }
	malformed := func(message string) verdict {
		return verdict{FileResult: transient(FailureMalformed, message, wait(fault{}))}
	}
	switch {
	case a.tooLong:
		return verdict{FileResult: transient(core.FailureOutputTooLarge, "the provider's answer was longer than the service takes; ask for less in the template", 0)}
	case a.timedOut:
		return verdict{FileResult: transient(FailureTimeout, messages[FailureTimeout], 0)}
	case a.err != nil, a.status == http.StatusPartialContent:
		return malformed(messages[FailureMalformed])
	}
	body := trimBody(a.body)
	var w wire
	if !json.Valid(body) {
		if f := readFault(body, a.header.Get("Content-Type")); f.markup {
			return verdict{FileResult: ours(FailureMisconfigured), fault: f}
		}
		return malformed("the provider's answer was not JSON")
	}
	if json.Unmarshal(body, &w) == nil {
		if stated(w.Error) || text(w.Object) == "error" || text(w.Type) == "error" {
			f := readFault(body, "")
			return judge(f, 0, wait(f))
		}
		var choices []wireChoice
		if json.Unmarshal(w.Choices, &choices) == nil && len(choices) > 0 {
			return classifyChoice(choices[0], wait)
		}
	}
	// Not a completion: an error in an unusual shape, if its message or code is known.
	if len(body) > maxErrorBody {
		return malformed("the provider's answer was not a completion")
	}
	if f := readFault(body, ""); f.cause(f.status) != causeUnknown {
		return judge(f, 0, wait(f))
	}
	return malformed("the provider's answer had nothing in it")
}

// classifyChoice decides about the first choice, the only one that was requested.
func classifyChoice(c wireChoice, wait func(fault) time.Duration) verdict {
	if stated(c.Error) {
		f := readFault(c.Error, "")
		return judge(f, 0, wait(f))
	}
	malformed := func(message string) verdict {
		return verdict{FileResult: transient(FailureMalformed, message, wait(fault{}))}
	}
	var m wireMessage
	if !isObject(c.Message) || json.Unmarshal(c.Message, &m) != nil {
		return malformed("the provider's answer had no message")
	}
	output, refusal, ok := content(m.Content)
	if r := text(m.Refusal); r != "" {
		refusal = r
	}
	if strings.TrimSpace(refusal) != "" {
		return verdict{FileResult: permanent(FailureRefused, "the model declined to work on this file: "+sanitize(refusal))}
	}
	switch end := endOf(c); {
	case end == endRefused:
		return verdict{FileResult: permanent(FailureRefused, "the provider's content filter stopped the work on this file")}
	case end == endTruncated:
		return verdict{FileResult: transient(FailureCutOff, messages[FailureCutOff], wait(fault{}))}
	case end == endFailed:
		return verdict{FileResult: transient(FailureUnavailable, "the provider broke off the work on this file", wait(fault{}))}
	case end == endUnknown:
		return malformed("the provider's answer ended in a way that is not known to be whole")
	case !ok:
		return malformed("the provider's answer was not text")
	case strings.TrimSpace(output) == "":
		return malformed("the provider's answer had no text")
	case strings.TrimSpace(visible(output)) == "":
		return malformed("the provider's answer had only the model's reasoning in it")
	// No store can keep NUL.
	case !core.ValidText(output):
		return malformed("the provider's answer was not text")
	}
	return verdict{FileResult: core.FileResult{Outcome: core.OutcomeCompleted, Output: output}}
}

// end is how a completion ended.
type end int

const (
	endUnknown end = iota
	endGood
	endTruncated
	endRefused
	endFailed
)

// ends are the known finish reasons, as normal spells them. With any other one the
// answer is not known to be complete.
var ends = map[string]end{
	"": endGood, "none": endGood, "null": endGood, "stop": endGood, "eos": endGood, "eostoken": endGood, "endturn": endGood, "stopsequence": endGood,

	"length": endTruncated, "maxtokens": endTruncated, "maxoutputtokens": endTruncated, "maxlength": endTruncated, "modellength": endTruncated,
	"tokenlimit": endTruncated, "contextlength": endTruncated, "modelcontextwindowexceeded": endTruncated, "incomplete": endTruncated, "truncated": endTruncated,

	"contentfilter": endRefused, "contentfiltered": endRefused, "safety": endRefused, "recitation": endRefused, "sensitive": endRefused, "refusal": endRefused,
	"prohibitedcontent": endRefused, "blocklist": endRefused, "spii": endRefused, "guardrailintervened": endRefused, "moderation": endRefused, "imagesafety": endRefused,

	"error": endFailed, "networkerror": endFailed, "insufficientsystemresource": endFailed, "abort": endFailed, "aborted": endFailed, "cancelled": endFailed,
	"canceled": endFailed, "timeout": endFailed, "other": endFailed, "unexpectederror": endFailed, "failed": endFailed,
}

func endOf(c wireChoice) end {
	finish, ok := reason(c.Finish)
	if !ok {
		return endUnknown
	}
	// If a router says "stop" and gives the provider's own reason, that one counts, unless
	// it is unknown.
	if native, ok := reason(c.Native); ok && ends[finish] == endGood {
		if e := ends[native]; e != endUnknown {
			return e
		}
	}
	return ends[finish]
}

// reason reads a finish reason in any spelling: stop, STOP, FinishReason.STOP,
// FINISH_REASON_STOP. Null and none at all are "".
func reason(raw json.RawMessage) (string, bool) {
	if isNull(raw) {
		return "", true
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return strings.TrimPrefix(normal(s), "finishreason"), true
}

// content gives the text of a message: a string, or a list of parts that are joined.
// Parts that are the model's reasoning or references are left out. ok is false if there
// is a part that is not text, since then the text is not complete.
func content(raw json.RawMessage) (output, refusal string, ok bool) {
	if isNull(raw) {
		return "", "", true
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, "", utf8.Valid(raw)
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return "", "", false
	}
	var joined strings.Builder
	for _, raw := range parts {
		var p struct {
			Type    string  `json:"type"`
			Text    *string `json:"text"`
			Refusal string  `json:"refusal"`
		}
		switch {
		case json.Unmarshal(raw, &s) == nil && !isNull(raw):
			joined.WriteString(s)
			continue
		case !isObject(raw) || json.Unmarshal(raw, &p) != nil:
			return "", "", false
		}
		switch normal(p.Type) {
		case "thinking", "reasoning", "redactedthinking", "reference":
		case "refusal":
			refusal += p.Refusal
		case "", "text", "outputtext":
			if p.Text == nil {
				return "", "", false
			}
			joined.WriteString(*p.Text)
		default:
			return "", "", false
		}
	}
	return joined.String(), refusal, utf8.Valid(raw)
}

// thought is the reasoning that a model without a separate field for it writes before
// its answer. The chat templates of some models leave out the opening tag; a model that
// ran out of tokens leaves out the closing one.
var (
	thought       = regexp.MustCompile(`(?is)<(think|thinking|thought)>.*?</(think|thinking|thought)>`)
	thoughtOpened = regexp.MustCompile(`(?is)^\s*<(think|thinking|thought)>`)
	thoughtClosed = regexp.MustCompile(`(?i)</(think|thinking|thought)>`)
)

// visible is a text without the model's reasoning. It serves only to find out whether
// there is any other text: the output itself is stored unchanged.
func visible(s string) string {
	// The cheap check first: outputs can be long.
	if !strings.Contains(s, "<") {
		return s
	}
	s = thought.ReplaceAllString(s, "")
	if thoughtOpened.MatchString(s) {
		return ""
	}
	if at := thoughtClosed.FindAllStringIndex(s, -1); at != nil {
		return s[at[len(at)-1][1]:]
	}
	return s
}

// stated reports whether the error field holds an error: some gateways write null,
// false, 0, "" or an empty object if there is none.
func stated(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "false", "0", `""`, "{}", "[]":
		return false
	}
	return true
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// text gives a JSON string, or nothing for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
