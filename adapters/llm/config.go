package llm

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultTimeout          = time.Minute
	DefaultConcurrency      = 4
	DefaultMaxFileBytes     = 1 << 20
	DefaultMaxResponseBytes = 4 << 20
	DefaultMaxRetryAfter    = time.Hour
)

// Config says which provider does the work. BaseURL and Model are required; a
// zero value elsewhere means the default. Nothing is read from the environment.
type Config struct {
	BaseURL string // up to and with the version: https://api.openai.com/v1
	APIKey  string // sent as a bearer token; empty for endpoints that need none
	Model   string

	// Timeout bounds one request from dialling to the last byte of the answer.
	// Default 1 min.
	Timeout time.Duration
	// Concurrency is the most requests of one job at a time. Jobs run concurrently, so a
	// process makes at most this many times its number of workers. Default 4.
	Concurrency int
	// MaxFileBytes is the most bytes of a file, and of its text in UTF-8, which can be
	// longer than the file. Default 1 MiB.
	MaxFileBytes int64
	// MaxResponseBytes bounds what is read of an answer, decompressed. Default 4 MiB.
	MaxResponseBytes int64
	// MaxRetryAfter bounds the wait that a provider may ask for; a longer one counts as
	// this much. It should be above core.RetryPolicy.Budget, so that a provider that asks
	// for longer than the budget does not get another request too soon. Default 1 h.
	MaxRetryAfter time.Duration

	// Transport sends the requests; nil: the executor makes one. The executor does not
	// close a Transport that it was given.
	Transport http.RoundTripper
	Log       *slog.Logger // nil: slog.Default()
	// Now is the clock for a Retry-After with a date, in an answer without a Date header;
	// nil: time.Now.
	Now func() time.Time
}

// String shows the configuration without the key, so that %v cannot leak it.
func (c Config) String() string {
	key := "none"
	if c.APIKey != "" {
		key = "[redacted]"
	}
	return fmt.Sprintf("llm.Config{BaseURL: %q, APIKey: %s, Model: %q, Timeout: %s}", c.BaseURL, key, c.Model, c.Timeout)
}

// GoString is String, so that %#v cannot leak the key either.
func (c Config) GoString() string { return c.String() }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.MaxFileBytes == 0 {
		c.MaxFileBytes = DefaultMaxFileBytes
	}
	if c.MaxResponseBytes == 0 {
		c.MaxResponseBytes = DefaultMaxResponseBytes
	}
	if c.MaxRetryAfter == 0 {
		c.MaxRetryAfter = DefaultMaxRetryAfter
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate names everything that is wrong, a line each. It never quotes the key
// or the URL, which may hold a password.
func (c Config) Validate() error {
	var wrong []error
	bad := func(field, must string) { wrong = append(wrong, fmt.Errorf("llm: %s %s", field, must)) }
	switch u, err := url.Parse(c.BaseURL); {
	case c.BaseURL == "":
		bad("BaseURL", "is required, such as https://api.openai.com/v1")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad("BaseURL", "must be an absolute http or https URL")
	case u.User != nil:
		bad("BaseURL", "must not have a user or password; use APIKey")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		bad("BaseURL", "must not have a query or fragment")
	}
	if strings.TrimSpace(c.Model) == "" {
		bad("Model", "is required")
	}
	// The usual mistake is a line break at the end of a key that was read from a file.
	if strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("APIKey", "must be printable ASCII without white space; does it end in a line break?")
	}
	for field, negative := range map[string]bool{
		"Timeout": c.Timeout < 0, "Concurrency": c.Concurrency < 0, "MaxFileBytes": c.MaxFileBytes < 0,
		"MaxResponseBytes": c.MaxResponseBytes < 0, "MaxRetryAfter": c.MaxRetryAfter < 0,
	} {
		if negative {
			bad(field, "must not be negative")
		}
	}
	return errors.Join(wrong...)
}
