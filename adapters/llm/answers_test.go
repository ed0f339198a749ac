package llm_test

import (
	"embed"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

//go:embed testdata/answers
var answerFiles embed.FS

// answers are the shapes of one provider or kind of gateway.
type answers struct {
	Provider string
	Answers  []shape
}

// shape is one answer that was documented or reported, and its expected result.
type shape struct {
	Name    string
	Where   string // a page of documentation, or project#issue
	Status  int
	Headers map[string]*string // null: not sent at all
	Body    json.RawMessage    // JSON as it is
	Text    string             // or any text

	Outcome core.Outcome
	Code    string
	Output  string
	Wait    string
}

func (s shape) action() fakellm.Action {
	header := http.Header{}
	for name, value := range s.Headers {
		header[name] = nil
		if value != nil {
			header[name] = []string{*value}
		}
	}
	body := s.Text
	if s.Body != nil {
		body = string(s.Body)
	}
	return fakellm.Respond(s.Status, header, body)
}

// knownAnswers reads the table, by the name of its file.
func knownAnswers(t testing.TB) map[string]answers {
	t.Helper()
	entries, err := answerFiles.ReadDir("testdata/answers")
	require.NoError(t, err)
	table := map[string]answers{}
	for _, e := range entries {
		raw, err := answerFiles.ReadFile("testdata/answers/" + e.Name())
		require.NoError(t, err)
		var a answers
		require.NoError(t, json.Unmarshal(raw, &a), e.Name())
		table[e.Name()] = a
	}
	return table
}

// TestAnswersOfProviders sends every shape of the table over real HTTP.
func TestAnswersOfProviders(t *testing.T) {
	t.Parallel()
	table := knownAnswers(t)
	shapes := 0
	for _, a := range table {
		shapes += len(a.Answers)
	}
	require.GreaterOrEqual(t, len(table), 12)
	require.GreaterOrEqual(t, shapes, 80)
	for file, a := range table {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			byName := map[string]shape{}
			for _, s := range a.Answers {
				require.NotContains(t, byName, s.Name, "a name twice")
				byName[s.Name] = s
			}
			r := newRig(t, func(in fakellm.Request) fakellm.Action { return byName[in.File].action() })
			for _, s := range a.Answers {
				t.Run(s.Name, func(t *testing.T) {
					require.NotEmpty(t, s.Where)
					got := r.one(t, textFile(3, s.Name, "hello"))
					require.Equal(t, s.Outcome, got.Outcome, got.Failure)
					require.Equal(t, s.Code, got.Failure.Code)
					require.Equal(t, s.Output, got.Output)
					require.Equal(t, s.Outcome == core.OutcomeCompleted, got.Failure.Message == "")
					if s.Wait != "" {
						wait, err := time.ParseDuration(s.Wait)
						require.NoError(t, err)
						require.Equal(t, wait, got.RetryAfter)
					}
					require.Equal(t, 1, r.fake.Count(s.Name), "the executor itself does not retry")
				})
			}
		})
	}
}
