package scheduler

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
		want    verdictKind
	}{
		"Nothing":                {nil, saysNothing},
		"Completed":              {[]core.FileResult{done}, saysAnswered},
		"Refused":                {[]core.FileResult{refused}, saysAnswered},
		"TooLong":                {[]core.FileResult{file(core.OutcomeTransient, core.FailureOutputTooLarge)}, saysAnswered},
		"Down":                   {[]core.FileResult{down, down}, saysDown},
		"DownButOne":             {[]core.FileResult{down, broken}, saysNothing},
		"DownAndCompleted":       {[]core.FileResult{down, done}, saysAnswered},
		"Blocked":                {[]core.FileResult{key}, saysBlocked},
		"BlockedAndDown":         {[]core.FileResult{down, key}, saysBlocked},
		"BlockedAndPanicked":     {[]core.FileResult{panicked, key}, saysBlocked},
		"BlockedAndCompleted":    {[]core.FileResult{key, done}, saysAnswered},
		"Panicked":               {[]core.FileResult{panicked}, saysNothing},
		"PanickedAndDown":        {[]core.FileResult{panicked, down}, saysNothing},
		"AnOutcomeOfItsOwnWords": {[]core.FileResult{file("odd", core.FailureTimeout)}, saysDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := Judge(c.results)
			require.Equal(t, c.want, v.kind)
			require.Equal(t, c.want.failed(), v.failure.Code != "")
			if c.want == saysDown {
				require.EqualValues(t, 3, v.retryAfter)
			}
		})
	}
}
