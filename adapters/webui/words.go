package webui

import (
	"github.com/redrive/redrive/core"
)

// The names of the domain's values on the page. A failure code without a text of its own
// shows the executor's message.

func (l language) runBadge(s core.RunStatus) Badge {
	b := Badge{Text: l.T("run.status." + string(s)), Tone: ToneNeutral}
	switch s {
	case core.RunRunning:
		b.Tone = ToneBusy
	case core.RunCompleted:
		b.Tone = ToneGood
	case core.RunCompletedWithErrors, core.RunInterrupted:
		b.Tone = ToneWarn
	case core.RunFailed:
		b.Tone = ToneBad
	}
	return b
}

// fileBadge names a file's status. A pending file waits while its run is running;
// once the run is closed, it was interrupted.
func (l language) fileBadge(f core.File, run core.RunStatus) Badge {
	b := Badge{Text: l.T("file.status." + string(f.Status)), Tone: ToneNeutral}
	switch f.Status {
	case core.FilePending:
		if run.Closed() {
			b.Text, b.Tone = l.T("file.status.interrupted"), ToneWarn
		}
	case core.FileProcessing:
		b.Tone = ToneBusy
	case core.FileCompleted:
		b.Tone = ToneGood
	case core.FileFailed:
		b.Tone = ToneWarn
	case core.FileError:
		b.Tone = ToneBad
	}
	return b
}

// failure says what went wrong with a file, and whose fault it was.
type failure struct{ Text, Whose, Short, Said, Code string }

// A file that waited while its run was interrupted has the run's reason.
func (l language) failure(run core.Run, f core.File) *failure {
	if f.Status == core.FilePending && f.Failure.Code == "" && run.Status.Closed() {
		if run.Reason == core.ReasonCancelled || run.Failure.Code == "" {
			return &failure{Code: string(run.Reason), Text: l.T("file.interrupted"), Whose: l.T("fault.waiting"), Short: l.T("fault.waiting.short")}
		}
		f.Failure = run.Failure
	}
	if f.Failure.Code == "" {
		return nil
	}
	w := &failure{Code: f.Failure.Code, Text: f.Failure.Message}
	if key := "failure." + f.Failure.Code; l.Has(key) {
		w.Text, w.Said = l.T(key), f.Failure.Message
	}
	switch f.Status {
	case core.FilePending, core.FileProcessing:
		w.Whose, w.Short = l.T("fault.ours"), l.T("fault.ours.short")
	case core.FileFailed:
		w.Whose, w.Short = l.T("fault.provider"), l.T("fault.provider.short")
		if f.Failure.Code == core.FailureDispatchFailed {
			w.Whose, w.Short = l.T("fault.refunded"), l.T("fault.refunded.short")
		}
	case core.FileError:
		w.Whose, w.Short = l.T("fault.content"), l.T("fault.content.short")
	case core.FileCompleted:
		return nil
	}
	return w
}

// reason says why a run closed otherwise than by its files being settled.
func (l language) reason(r core.Run) string {
	if r.Reason == core.ReasonNone {
		return ""
	}
	if r.Failure.Code != "" {
		if key := "failure." + r.Failure.Code; l.Has(key) {
			return l.T(key) + " " + l.T("reason.paid")
		}
		return r.Failure.Message + " " + l.T("reason.paid")
	}
	return l.T("reason." + string(r.Reason))
}

// tallyBar shows a run's files by their status.
func (l language) tallyBar(t core.Tally, running bool) Bar {
	return newBar(l.tallyWords(t, running), t.Total(),
		barPart{t.Completed, ToneGood}, barPart{t.Failed, ToneWarn}, barPart{t.Error, ToneBad})
}

// tallyWords is tallyBar in words: "5 of 10 files done: 4 completed, 1 failed".
func (l language) tallyWords(t core.Tally, running bool) string {
	var parts []string
	add := func(n int, key string) {
		if n > 0 {
			parts = append(parts, l.T(key, n))
		}
	}
	add(t.Completed, "tally.completed")
	add(t.Failed, "tally.failed")
	add(t.Error, "tally.error")
	if running {
		add(t.Unfinished, "tally.unfinished")
	} else {
		add(t.Unfinished, "tally.interrupted")
	}
	return l.list(parts)
}

// modeWords names the mode of a template or run.
func (l language) modeWords(m core.Mode) string { return l.T("mode." + string(m)) }
