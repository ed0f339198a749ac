package llm

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault has the codes and messages of an error answer. Providers differ in its shape:
// an error object, a string, a list of objects (Gemini), fields at the top (vLLM,
// proxies), an error as JSON inside a message (gateways). So codes and messages are
// collected at every depth of the answer.
type fault struct {
	status  int      // an HTTP status among the codes, 0 if there is none
	codes   []string // codes, types and reasons, in lower case without punctuation
	params  []string // what the provider names as the wrong part of the request
	words   string   // messages in lower case, bounded
	flagged bool     // it names the input as flagged by moderation
	markup  bool     // HTML or XML: the answer of a proxy or a web site
	wait    time.Duration

	code, kind string // the first code and type, unchanged, for the log
	message    string // the first message, unchanged, for the log
}

// Bounds of what is collected: an error is a sentence, not a file.
const (
	maxFaultDepth = 8
	maxFaultNodes = 400
	maxFaultWords = 1500 // bytes; matching more takes tens of milliseconds
)

// readFault reads the body of an error answer. JSON is recognized under any content
// type.
func readFault(body []byte, contentType string) fault {
	var f fault
	body = trimBody(body)
	var v any
	if len(body) > 0 && json.Unmarshal(body, &v) == nil {
		f.gather(v)
		return f
	}
	if strings.Contains(strings.ToLower(contentType), "html") || bytes.HasPrefix(body, []byte("<")) {
		f.markup = true
	}
	f.say(string(body[:min(len(body), maxFaultWords)]))
	return f
}

// trimBody removes white space and a byte order mark at the ends.
func trimBody(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\uFEFF")))
}

func (f *fault) gather(v any) {
	nodes := maxFaultNodes
	f.walk(v, true, maxFaultDepth, &nodes)
}

// walk goes through a value; sentence says that a string here is a message.
func (f *fault) walk(v any, sentence bool, depth int, nodes *int) {
	if *nodes--; *nodes < 0 || depth < 0 {
		return
	}
	switch v := v.(type) {
	case string:
		if !sentence {
			return
		}
		var inner any
		if s := strings.TrimSpace(v); len(s) > 1 && (s[0] == '{' || s[0] == '[') && json.Unmarshal([]byte(s), &inner) == nil {
			f.walk(inner, false, depth-1, nodes)
			return
		}
		f.say(v)
	case []any:
		for _, e := range v {
			f.walk(e, sentence, depth-1, nodes)
		}
	case map[string]any:
		// Sorted, so that the same answer always gives the same result.
		for _, key := range slices.Sorted(maps.Keys(v)) {
			f.field(strings.ToLower(key), v[key], depth, nodes)
		}
	}
}

func (f *fault) field(key string, v any, depth int, nodes *int) {
	switch key {
	case "code", "type", "status", "statuscode", "status_code", "http_code", "error_code", "errorcode", "error_type", "errortype", "reason", "quotaid":
		f.addCode(key, v)
	case "param":
		if s, ok := v.(string); ok && s != "" {
			f.params = append(f.params, strings.ToLower(s))
		}
	case "retrydelay":
		if s, ok := v.(string); ok {
			f.wait = max(f.wait, parseDelay(s))
		}
	case "flagged_input":
		f.flagged = f.flagged || v != nil && v != ""
	case "message", "msg", "error", "errors", "detail", "raw", "description", "error_description", "error_message", "errormessage", "status_msg", "title":
		f.walk(v, true, depth-1, nodes)
	case "input", "ctx", "content_filter_result", "content_filter_results", "prompt_filter_results", "request", "messages", "choices", "previous_errors":
		// These repeat the request, list what was not found, or are about other
		// requests.
	default:
		f.walk(v, false, depth-1, nodes)
	}
}

func (f *fault) addCode(key string, v any) {
	switch v := v.(type) {
	case float64:
		f.addStatus(int(v))
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			f.addStatus(n)
			return
		}
		switch {
		case f.code == "" && (key == "code" || key == "error_code"):
			f.code = v
		case f.kind == "" && (key == "type" || key == "error_type"):
			f.kind = v
		}
		if len(f.codes) < 32 {
			f.codes = append(f.codes, normal(v))
		}
	}
}

// addStatus keeps the most specific HTTP status: gateways put their own around that of
// the provider.
func (f *fault) addStatus(n int) {
	if n >= 400 && n < 600 && specificity(n) >= specificity(f.status) {
		f.status = n
	}
}

// specificity ranks statuses by how exactly they name the fault.
func specificity(status int) int {
	switch {
	case status < 400:
		return 0
	case vague(status):
		return 1
	case status >= 500:
		return 2
	default:
		return 3
	}
}

func (f *fault) say(s string) {
	s = strings.TrimSpace(s)
	if left := maxFaultWords - len(f.words); len(s) > left {
		s = strings.ToValidUTF8(s[:max(left, 0)], "")
	}
	if s == "" {
		return
	}
	if f.message == "" {
		f.message = s
	}
	f.words += strings.ToLower(s) + "\n"
	f.wait = max(f.wait, statedWait(f.words))
}

// normal gives one spelling for all of a code: ModelNotFound, model_not_found and
// MODEL-NOT-FOUND become the same.
func normal(code string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.', '/', ':':
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(code[:min(len(code), 100)])))
}

// vague statuses say that a request was refused and not why.
func vague(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity
}

// delay is how providers write waits: 58.8s, 9m38.016s, 1h2m3s, 20ms.
const delay = `((?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?(?:ms|s)))`

var retryIn = regexp.MustCompile(`(?:try again|retry) in ` + delay)

// statedWait is the wait that a sentence asks for, 0 if none.
func statedWait(words string) time.Duration {
	m := retryIn.FindStringSubmatch(words)
	if m == nil {
		return 0
	}
	return parseDelay(m[1])
}

// parseDelay gives 0 if s is not a duration.
func parseDelay(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return max(d, 0)
}
