package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	file := func(o core.Outcome, code string) core.FileResult {
		return core.FileResult{Outcome: o, Failure: core.Failure{Code: code}, RetryAfter: 3}
	}
	done, refused := file(core.OutcomeCompleted, ""), file(core.OutcomePermanent, "content_refused")
	down, broken := file(core.OutcomeTransient, core.FailureUnavailable), file(core.OutcomeTransient, "output_truncated")
	key, panicked := file(core.OutcomeInterrupted, core.FailureUnauthorized), file(core.OutcomeInterrupted, core.FailurePanic)
	for name, c := range map[string]struct {
		results []core.FileResult
		partly  bool
		want    verdictKind
	}{
		"Nothing":                {nil, false, saysNothing},
		"Completed":              {[]core.FileResult{done}, false, saysAnswered},
		"Refused":                {[]core.FileResult{refused}, false, saysAnswered},
		"TooLong":                {[]core.FileResult{file(core.OutcomeTransient, core.FailureOutputTooLarge)}, false, saysAnswered},
		"Down":                   {[]core.FileResult{down, down}, false, saysDown},
		"DownButOne":             {[]core.FileResult{down, broken}, false, saysNothing},
		"DownAndCompleted":       {[]core.FileResult{down, done}, false, saysAnswered},
		"Blocked":                {[]core.FileResult{key}, false, saysBlocked},
		"BlockedAndDown":         {[]core.FileResult{down, key}, false, saysBlocked},
		"BlockedAndPanicked":     {[]core.FileResult{panicked, key}, false, saysBlocked},
		"BlockedAndCompleted":    {[]core.FileResult{key, done}, false, saysAnswered},
		"BlockedAfterEarly":      {[]core.FileResult{key}, true, saysAnswered},
		"Panicked":               {[]core.FileResult{panicked}, false, saysNothing},
		"PanickedAndDown":        {[]core.FileResult{panicked, down}, false, saysNothing},
		"AnOutcomeOfItsOwnWords": {[]core.FileResult{file("odd", core.FailureTimeout)}, false, saysDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judge(c.results, c.partly)
			require.Equal(t, c.want, v.kind)
			require.Equal(t, c.want.failed(), v.failure.Code != "")
			if c.want == saysDown {
				require.EqualValues(t, 3, v.retryAfter)
			}
		})
	}
}
