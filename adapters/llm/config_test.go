package llm_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/core"
)

func TestConfigValidation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*llm.Config)
		want   string // empty: valid
	}{
		"Valid":             {func(*llm.Config) {}, ""},
		"NoKey":             {func(c *llm.Config) { c.APIKey = "" }, ""},
		"NoBaseURL":         {func(c *llm.Config) { c.BaseURL = "" }, "BaseURL is required"},
		"RelativeBaseURL":   {func(c *llm.Config) { c.BaseURL = "api.example.com/v1" }, "absolute http or https"},
		"OtherScheme":       {func(c *llm.Config) { c.BaseURL = "ftp://api.example.com" }, "absolute http or https"},
		"NoHost":            {func(c *llm.Config) { c.BaseURL = "https:///v1" }, "absolute http or https"},
		"UnparsableURL":     {func(c *llm.Config) { c.BaseURL = "http://a b" }, "absolute http or https"},
		"PasswordInURL":     {func(c *llm.Config) { c.BaseURL = "https://me:hunter2@example.com/v1" }, "must not have a user or password"},
		"QueryInURL":        {func(c *llm.Config) { c.BaseURL = "https://example.com/v1?key=hunter2" }, "must not have a query"},
		"NoModel":           {func(c *llm.Config) { c.Model = " " }, "Model is required"},
		"LineBreakInKey":    {func(c *llm.Config) { c.APIKey = "hunter2\n" }, "line break"},
		"NegativeTimeout":   {func(c *llm.Config) { c.Timeout = -1 }, "Timeout must not be negative"},
		"NegativeNumber":    {func(c *llm.Config) { c.Concurrency = -1 }, "Concurrency must not be negative"},
		"NegativeFileLimit": {func(c *llm.Config) { c.MaxFileBytes = -1 }, "MaxFileBytes must not be negative"},
		"NegativeResponse":  {func(c *llm.Config) { c.MaxResponseBytes = -1 }, "MaxResponseBytes must not be negative"},
		"NegativeWait":      {func(c *llm.Config) { c.MaxRetryAfter = -1 }, "MaxRetryAfter must not be negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := llm.Config{BaseURL: "https://api.example.com/v1", APIKey: "key", Model: "m"}
			tc.change(&cfg)
			exec, err := llm.New(cfg)
			if tc.want == "" {
				require.NoError(t, err)
				exec.Close()
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	t.Run("NamesEverythingAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := llm.New(llm.Config{Timeout: -1})
		require.ErrorContains(t, err, "BaseURL")
		require.ErrorContains(t, err, "Model")
		require.ErrorContains(t, err, "Timeout")
	})
}

func TestConfigDoesNotShowItsKey(t *testing.T) {
	t.Parallel()
	cfg := llm.Config{BaseURL: "https://api.example.com/v1", APIKey: apiKey, Model: "m"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("starting", "llm", cfg)
	for _, shown := range []string{
		fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%v", &cfg), log.String(),
	} {
		require.Contains(t, shown, "api.example.com")
		require.NotContains(t, shown, apiKey)
	}
}

// TestTheEnvironmentIsNotRead: the client library would take its address, key
// and headers from the environment. It sets variables, so it cannot be parallel.
func TestTheEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
	t.Setenv("OPENAI_API_KEY", "from-the-environment")
	t.Setenv("OPENAI_ORG_ID", "from-the-environment")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Sneaky: from-the-environment")
	r := newRig(t, nil, func(c *llm.Config) { c.APIKey = "" })
	require.Equal(t, core.OutcomeCompleted, r.one(t, textFile(0, "a.txt", "x")).Outcome)
	for name, values := range r.fake.Requests()[0].Header {
		require.NotContains(t, values, "from-the-environment", name)
		require.NotContains(t, values, "Bearer from-the-environment", name)
	}
}
