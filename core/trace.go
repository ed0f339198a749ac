package core

import (
	"encoding/hex"
	"strings"
)

// Trace is a place in a trace, by which the logs of several systems are joined: a
// traceparent of W3C Trace Context, version 00, such as
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01. Empty: none. Nothing is decided
// by it.
type Trace string

const traceLength = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

// ParseTrace reads a traceparent header. One of a later version is read as far as version 00
// goes, as the standard says.
func ParseTrace(header string) (Trace, bool) {
	if len(header) < traceLength || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return "", false
	}
	version, id, span, flags := header[:2], header[3:35], header[36:52], header[53:55]
	switch rest := header[traceLength:]; {
	case !lowerHex(version) || !lowerHex(id) || !lowerHex(span) || !lowerHex(flags), version == "ff":
		return "", false
	case version == "00" && rest != "", rest != "" && rest[0] != '-':
		return "", false
	case strings.Trim(id, "0") == "", strings.Trim(span, "0") == "":
		return "", false
	}
	sampled := "00"
	if strings.ContainsRune("13579bdf", rune(flags[1])) {
		sampled = "01" // what other flags mean is not known
	}
	return Trace("00-" + id + "-" + span + "-" + sampled), true
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// NewTrace begins a trace. Its bytes must be random.
func NewTrace(id [16]byte, span [8]byte) Trace {
	return Trace("00-" + hex.EncodeToString(id[:]) + "-" + hex.EncodeToString(span[:]) + "-00")
}

// Span is another place in the same trace, the span's bytes being random; empty for an empty
// trace.
func (t Trace) Span(span [8]byte) Trace {
	if len(t) != traceLength {
		return ""
	}
	return t[:36] + Trace(hex.EncodeToString(span[:])) + t[52:]
}

// ID is what all places of a trace share, for logs; empty for an empty trace.
func (t Trace) ID() string {
	if len(t) != traceLength {
		return ""
	}
	return string(t[3:35])
}
