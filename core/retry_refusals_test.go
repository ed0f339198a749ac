package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// retryScenario is the input of a Continue.
type retryScenario struct {
	run      core.Run
	files    []core.File
	balance  core.Balance
	template core.Template
	shown    core.AttemptNumber // to the caller; the newest unless violated
}

func (s retryScenario) plan(t *testing.T) (p core.RetryPlan, err error) {
	t.Helper()
	unchanged(t, func() {
		p, err = core.PlanRetry(s.run, s.files, s.balance, s.template, core.RetryTerms{By: admin, Attempt: &s.shown}, t1)
	},
		s.run, s.files, s.balance, s.template)
	return p, err
}

// The violations of the rules 2 to 7 of spec 3. They can be combined.
func violateRunning(s *retryScenario)   { s.run.Status = core.RunRunning }
func violateShown(s *retryScenario)     { s.shown = s.run.Attempt + 1 }
func violateCompleted(s *retryScenario) { s.run.Status = core.RunCompleted }
func violateNothing(s *retryScenario) {
	for i := range s.files {
		if s.files[i].Status.Retriable() {
			s.files[i].Status = core.FileError
		}
	}
	s.run.Tally = core.TallyOf(s.files)
}

// violateMaxed: a pending file never blocks, even if it was continued more often than the
// highest limit.
func violateMaxed(s *retryScenario) {
	s.files[3].RetryAttempt, s.files[2].RetryAttempt, s.files[2].FreeRetries = 3, 5, 2
	s.files[1].RetryAttempt, s.files[1].FreeRetries = 9, 5
}

func violatePrice(s *retryScenario)        { s.template.CreditsPerRun = maxC/2 + 1 }
func violateInsufficient(s *retryScenario) { s.balance = balanceOf(4, 5) }

func retryable() retryScenario {
	files := filesIn(core.FileCompleted, core.FilePending, core.FileFailed, core.FileFailed)
	run := closedOver(files, core.ModePerFile)
	return retryScenario{run, files, balanceOf(4, 6), published(5), run.Attempt}
}

func TestPlanRetryRefusals(t *testing.T) {
	t.Parallel()
	p, err := retryable().plan(t)
	require.NoError(t, err, "nothing is violated")
	require.Equal(t, core.Credits(10), p.Price())

	none := func(*retryScenario) {}
	for _, tc := range []struct {
		name          string
		first, second func(*retryScenario)
		code          core.Code
	}{
		{"2", violateRunning, none, core.CodeRunAlreadyRunning},
		{"2 before 4", violateRunning, violateNothing, core.CodeRunAlreadyRunning},
		{"2 before 5", violateRunning, violateMaxed, core.CodeRunAlreadyRunning},
		{"2 before 6", violateRunning, violatePrice, core.CodeRunAlreadyRunning},
		{"2 before 7", violateRunning, violateInsufficient, core.CodeRunAlreadyRunning},
		{"2 as shown", violateShown, none, core.CodeRunAlreadyRunning},
		{"2 as shown, and running", violateShown, violateRunning, core.CodeRunAlreadyRunning},
		{"2 as shown before 3", violateShown, violateCompleted, core.CodeRunAlreadyRunning},
		{"2 as shown before 4", violateShown, violateNothing, core.CodeRunAlreadyRunning},
		{"2 as shown before 5", violateShown, violateMaxed, core.CodeRunAlreadyRunning},
		{"2 as shown before 6", violateShown, violatePrice, core.CodeRunAlreadyRunning},
		{"2 as shown before 7", violateShown, violateInsufficient, core.CodeRunAlreadyRunning},
		{"3", violateCompleted, none, core.CodeNoErrorsToRetry},
		{"3 before 4", violateCompleted, violateNothing, core.CodeNoErrorsToRetry},
		{"3 before 5", violateCompleted, violateMaxed, core.CodeNoErrorsToRetry},
		{"3 before 6", violateCompleted, violatePrice, core.CodeNoErrorsToRetry},
		{"3 before 7", violateCompleted, violateInsufficient, core.CodeNoErrorsToRetry},
		{"4", violateNothing, none, core.CodeNothingToRetry},
		{"4 before 5", violateNothing, violateMaxed, core.CodeNothingToRetry},
		{"4 before 6", violateNothing, violatePrice, core.CodeNothingToRetry},
		{"4 before 7", violateNothing, violateInsufficient, core.CodeNothingToRetry},
		{"5", violateMaxed, none, core.CodeMaxRetryCountExceeded},
		{"5 before 6", violateMaxed, violatePrice, core.CodeMaxRetryCountExceeded},
		{"5 before 7", violateMaxed, violateInsufficient, core.CodeMaxRetryCountExceeded},
		{"6", violatePrice, none, core.CodeCreditsOutOfRange},
		{"6 before 7", violatePrice, violateInsufficient, core.CodeCreditsOutOfRange},
		{"7", violateInsufficient, none, core.CodeInsufficientCredits},
	} {
		t.Run("Rule"+tc.name, func(t *testing.T) {
			t.Parallel()
			s := retryable()
			tc.first(&s)
			tc.second(&s)
			p, err := s.plan(t)
			r := refused(t, err, tc.code)
			require.Zero(t, p, "a refusal has nothing to write")

			if tc.code == core.CodeCreditsOutOfRange {
				return // says the numbers in its message
			}
			want := core.Error{Code: tc.code, Message: r.Message, Run: run1}
			if tc.code == core.CodeMaxRetryCountExceeded {
				want.Files = []int{2, 3} // those that block, ascending
			}
			if tc.code == core.CodeInsufficientCredits {
				want.Run, want.Needed, want.Available = "", 10, 9
			}
			require.Equal(t, want, r, "these facts and no others")
		})
	}
}

func TestPlanRetryRefusesFacts(t *testing.T) {
	t.Parallel()
	t.Run("BlockingFilesAscending", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		violateMaxed(&s)
		s.files[2], s.files[3] = s.files[3], s.files[2] // rows come in any order
		_, err := s.plan(t)
		require.Equal(t, []int{2, 3}, refused(t, err, core.CodeMaxRetryCountExceeded).Files)
	})
	t.Run("FreeRetriesUseUpNone", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		s.files[2].RetryAttempt, s.files[2].FreeRetries = 9, 7 // failed, two Continues charged of three
		p, err := s.plan(t)
		require.NoError(t, err)
		require.Equal(t, 10, p.Files[1].RetryAttempt)
		require.Equal(t, 7, p.Files[1].FreeRetries)
	})
	t.Run("PendingFilesNeverBlock", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		s.files[1].RetryAttempt = 10 // of an earlier version, which had no FreeRetries
		_, err := s.plan(t)
		require.NoError(t, err)
	})
	t.Run("MaxedFilesThatAreDoneDoNotBlock", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		s.files[0].RetryAttempt = 3 // completed
		_, err := s.plan(t)
		require.NoError(t, err)
	})
	t.Run("RunWithoutFiles", func(t *testing.T) {
		t.Parallel()
		for _, status := range []core.RunStatus{core.RunFailed, core.RunInterrupted, core.RunCompletedWithErrors} {
			s := retryable()
			s.run.Status, s.run.Tally, s.files = status, core.Tally{}, nil
			_, err := s.plan(t)
			refused(t, err, core.CodeNothingToRetry)
		}
	})
	t.Run("ProcessingFilesAreNotRetried", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		s.files = filesIn(core.FileProcessing, core.FileCompleted, core.FileError)
		_, err := s.plan(t)
		refused(t, err, core.CodeNothingToRetry)
	})
	t.Run("NegativePrice", func(t *testing.T) {
		t.Parallel()
		s := retryable()
		s.template.CreditsPerRun = -1
		_, err := s.plan(t)
		refused(t, err, core.CodeCreditsOutOfRange)
	})
}
