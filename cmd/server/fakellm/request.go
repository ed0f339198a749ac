package fakellm

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// Request is one chat-completions request as the server understood it.
type Request struct {
	File         string      // name of the file; empty if the message does not name one
	Text         string      // the file's text
	Instructions string      // the system message; empty if there is none
	Model        string      // the requested model
	Header       http.Header // as received; not to be changed
	Seen         int         // number of requests for this file (name and text), including this one
}

// chatRequest is the part of the wire format that matters here.
type chatRequest struct {
	Model    string        `json:"model"`
	Messages []chatMessage `json:"messages"`
	Stream   bool          `json:"stream"`
}

type chatMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// parseRequest checks a body as a provider would and gives the parts that scripts need.
// Its errors are for the client.
func parseRequest(body []byte, header http.Header) (Request, error) {
	var wire chatRequest
	if err := json.Unmarshal(body, &wire); err != nil {
		return Request{}, errors.New("the body is not a JSON object of the expected form")
	}
	switch {
	case wire.Model == "":
		return Request{}, errors.New("you must provide a model parameter")
	case len(wire.Messages) == 0:
		return Request{}, errors.New("messages must have at least one message")
	case wire.Stream:
		return Request{}, errors.New("streaming is not supported")
	}
	in := Request{Model: wire.Model, Header: header.Clone()}
	asked := false
	for _, m := range wire.Messages {
		text, err := m.text()
		if err != nil {
			return Request{}, err
		}
		switch m.Role {
		case "system", "developer":
			in.Instructions = text
		case "user":
			asked = true
			in.File, in.Text = splitFile(text)
		default:
			return Request{}, errors.New("messages may have the roles system, developer and user")
		}
	}
	if !asked {
		return Request{}, errors.New("messages must have a user message")
	}
	return in, nil
}

// text gives a content that is a string or a list of text parts.
func (m chatMessage) text() (string, error) {
	var plain string
	if json.Unmarshal(m.Content, &plain) == nil {
		return plain, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", errors.New("content must be a string or a list of parts")
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return "", errors.New("content may have parts of the type text only")
		}
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

// splitFile splits a user message by the convention of the package comment.
func splitFile(message string) (name, text string) {
	rest, ok := strings.CutPrefix(message, "File: ")
	if !ok {
		return "", message
	}
	name, text, ok = strings.Cut(rest, "\n\n")
	if !ok || strings.Contains(name, "\n") {
		return "", message
	}
	return name, text
}

// Summary is the answer for a file that does not fail: its first line with words and the
// numbers of its lines, words and characters.
func Summary(file, text string) string {
	if file == "" {
		file = "text"
	}
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	first := ""
	for _, line := range lines {
		if first = strings.TrimSpace(line); first != "" {
			break
		}
	}
	if cut := []rune(first); len(cut) > maxSummaryLine {
		first = string(cut[:maxSummaryLine]) + "…"
	}
	return file + ": “" + first + "” (" + count(len(lines), "line") + ", " +
		count(len(strings.Fields(text)), "word") + ", " + count(len([]rune(text)), "character") + ")"
}

// maxSummaryLine is in characters.
const maxSummaryLine = 80
