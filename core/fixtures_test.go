package core_test

import (
	"errors"
	"reflect"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

const (
	acme   core.TenantID = "acme"
	globex core.TenantID = "globex"
	run1   core.RunID    = "run-1"
	lease                = time.Minute
)

var (
	t0       = time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)
	t1       = t0.Add(10 * time.Second)
	horizon  = policy.Horizon()
	november = core.Period{Year: 2026, Month: time.November}
	december = core.Period{Year: 2026, Month: time.December}
	admin    = core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}
	operator = core.Actor{Subject: "olga", Tenant: "platform", Role: core.RolePlatformAdmin}

	runStatuses  = []core.RunStatus{core.RunRunning, core.RunCompleted, core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted}
	fileStatuses = []core.FileStatus{core.FilePending, core.FileProcessing, core.FileCompleted, core.FileFailed, core.FileError}
)

// tb is what testing.T and rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
}

func published(price core.Credits) core.Template {
	return core.Template{
		ID: "invoices", Tenant: acme, Name: "Invoices", Instructions: "Summarise.", Version: 4,
		CreditsPerRun: price, Mode: core.ModePerFile, Status: core.TemplatePublished,
		CreatedAt: t0.Add(-time.Hour), UpdatedAt: t0.Add(-time.Hour),
	}
}

func inMode(t core.Template, mode core.Mode) core.Template {
	t.Mode = mode
	return t
}

func balanceOf(monthly, purchased core.Credits) core.Balance {
	return core.Balance{Period: november, Split: core.Split{Monthly: monthly, Purchased: purchased}}
}

func newRun(files int) core.NewRun {
	req := core.NewRun{ID: run1, By: admin, Files: make([]core.NewFile, files)}
	for i := range req.Files {
		req.Files[i] = core.NewFile{Name: "a.txt", Ref: core.FileRef("ref"), Size: int64(i)}
	}
	return req
}

// file makes one row as an operation of this package would have left it.
func file(index int, status core.FileStatus) core.File {
	f := core.File{Index: index, Name: "a.txt", Ref: "ref", Status: status, Epoch: 1}
	switch status {
	case core.FileProcessing:
		f.LeaseUntil = t0.Add(lease)
	case core.FileCompleted:
		f.Output = "done"
	case core.FileFailed:
		f.Failure = core.Failure{Code: "rate_limited", Message: "429"}
	case core.FileError:
		f.Failure = core.Failure{Code: "refused", Message: "content refused"}
	case core.FilePending:
	}
	return f
}

func filesIn(statuses ...core.FileStatus) []core.File {
	files := make([]core.File, len(statuses))
	for i, s := range statuses {
		files[i] = file(i, s)
	}
	return files
}

// runningOver is a running, confirmed run over these files in its attempt 0.
func runningOver(files []core.File, mode core.Mode) core.Run {
	tally := core.TallyOf(files)
	r := core.Run{
		ID: run1, Tenant: acme, Template: "invoices", Mode: mode,
		Status: core.RunRunning, CreatedBy: admin, CreatedAt: t0.Add(-time.Minute),
		MaxRetryCount: 3, Epoch: 1, Dispatch: core.DispatchConfirmed,
		TotalJobs: len(files), AttemptJobs: len(files), Tally: tally,
		CompletedJobs: tally.Completed, FailedJobs: tally.Failed + tally.Error,
		RecoverAt: t0, DispatchedAt: t0,
	}
	if mode == core.ModeBatch {
		r.TotalJobs, r.AttemptJobs, r.CompletedJobs, r.FailedJobs = 1, 1, 0, 0
	}
	return r
}

// closedOver is a run that closed over these files as its tally says.
func closedOver(files []core.File, mode core.Mode) core.Run {
	r := runningOver(files, mode)
	r.Status, r.ClosedAt, r.RecoverAt = statusFor(r.Tally), t0.Add(-time.Second), time.Time{}
	if r.Status == core.RunInterrupted {
		r.Reason = core.ReasonCancelled
	}
	return r
}

// statusFor is spec 1 written independently of the code under test.
func statusFor(t core.Tally) core.RunStatus {
	all := t.Unfinished + t.Completed + t.Failed + t.Error
	switch {
	case t.Unfinished > 0:
		return core.RunInterrupted
	case t.Completed == all:
		return core.RunCompleted
	case t.Completed > 0:
		return core.RunCompletedWithErrors
	default:
		return core.RunFailed
	}
}

// jobFor is the per-file job of one file under its present epoch.
func jobFor(r core.Run, f core.File) core.Job {
	return core.Job{Tenant: r.Tenant, Run: r.ID, Epoch: f.Epoch, ID: core.FileJobID(r.ID, f.Index), Template: r.Template, Files: []int{f.Index}}
}

// overlay replaces rows by a plan's files, as a store would.
func overlay(rows, written []core.File) []core.File {
	next := append([]core.File(nil), rows...)
	for _, f := range written {
		next[f.Index] = f
	}
	return next
}

// refused requires a refusal with this code, and gives its facts.
func refused(t tb, err error, code core.Code) core.Error {
	t.Helper()
	var refusal *core.Error
	require.Truef(t, errors.As(err, &refusal), "want refusal %s, got %v", code, err)
	require.Equal(t, code, refusal.Code)
	require.NotEmpty(t, refusal.Message, "a refusal tells the caller what to do")
	return *refusal
}

// fault requires an error that is not a refusal: a bug of the caller, which
// must not reach a client as if it were a decision.
func fault(t tb, err error, says string) {
	t.Helper()
	require.ErrorContains(t, err, says)
	var refusal *core.Error
	require.False(t, errors.As(err, &refusal), "a fault is no refusal: %v", err)
}

// unchanged calls fn and requires that its inputs did not change, including the spare
// capacity of their slices, where a careless append would write.
func unchanged(t tb, fn func(), inputs ...any) {
	t.Helper()
	before := make([]any, len(inputs))
	for i, in := range inputs {
		before[i] = deepCopy(reflect.ValueOf(in)).Interface()
	}
	fn()
	for i, in := range inputs {
		after := deepCopy(reflect.ValueOf(in)).Interface()
		require.Truef(t, reflect.DeepEqual(before[i], after), "input %d (%T) was changed:\nbefore %+v\nafter  %+v", i, in, before[i], after)
	}
}

// deepCopy copies everything that is reachable through exported fields.
func deepCopy(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		full := v.Slice(0, v.Cap())
		c := reflect.MakeSlice(v.Type(), full.Len(), full.Len())
		for i := range full.Len() {
			c.Index(i).Set(deepCopy(full.Index(i)))
		}
		return c
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(deepCopy(v.Elem()))
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
		return c
	default:
		return v
	}
}
