package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/world"
	"github.com/redrive/redrive/ports"
)

// ran is what a command did.
type ran struct {
	code     int
	out, err string
}

// try runs a command over the code as it is.
func try(t *testing.T, args ...string) ran { return tryWith(t, world.Wrap{}, args...) }

func tryWith(t *testing.T, wrap world.Wrap, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, streams{out: &out, err: &errs, wrap: wrap})
	return ran{code, out.String(), errs.String()}
}

// eager is a store with a mistake: it begins again when a commit got no answer.
type eager struct{ ports.Store }

func (s eager) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	err := s.Store.InTx(ctx, tenant, fn)
	if errors.Is(err, ports.ErrCommitUnknown) {
		return s.Store.InTx(ctx, tenant, fn)
	}
	return err
}

func mistaken() world.Wrap {
	return world.Wrap{Store: func(s ports.Store) ports.Store { return eager{s} }}
}

// moody is a store whose behaviour depends on how often it was called in the
// whole program, so that worlds are not the same when they are played again.
func moody() world.Wrap {
	calls := &atomic.Int64{}
	return world.Wrap{Store: func(s ports.Store) ports.Store { return moodyStore{s, calls} }}
}

type moodyStore struct {
	ports.Store
	calls *atomic.Int64
}

func (s moodyStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if s.calls.Add(1)%7 == 0 {
		return ports.ErrUnavailable
	}
	return s.Store.InTx(ctx, tenant, fn)
}

// What a command says on standard output follows from its arguments alone.
func TestRunIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"text": {"run", "--seeds", "60"},
		"json": {"run", "--seeds", "60", "--json"},
		"none": {"--seeds", "60", "--faults", "none", "--strategy", "pct3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := try(t, append(args, "--workers", "1")...)
			two := try(t, append(args, "--workers", "3")...)
			require.Equal(t, exitClean, one.code, one.err)
			require.Equal(t, one.out, two.out)
			require.NotContains(t, one.out, "/s", "rates are told on standard error")
			require.Contains(t, one.err, "seeds (")
		})
	}
}

func TestFaultsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	worlds := func(args ...string) map[string]int64 {
		got := try(t, append([]string{"run", "--seeds", "150", "--json"}, args...)...)
		require.Equal(t, exitClean, got.code, got.err)
		met := map[string]int64{}
		for line := range strings.Lines(got.out) {
			var read struct {
				Type, Name string
				Worlds     int64
			}
			require.NoError(t, json.Unmarshal([]byte(line), &read))
			if read.Type == "situation" {
				met[read.Name] = read.Worlds
			}
		}
		require.Len(t, met, oracle.SituationCount)
		return met
	}
	all, none, crash := worlds(), worlds("--faults", "none"), worlds("--faults", "none,crash=0.05")
	inTx, lost := oracle.CrashInTransaction.String(), oracle.CommitLost.String()
	require.Positive(t, all[lost])
	require.Zero(t, none[lost]+none[inTx]+crash[lost])
	require.Positive(t, crash[inTx])
}

// tokenOf finds the token that a failure prints.
func tokenOf(t *testing.T, text string) string {
	t.Helper()
	token := tokenIn.FindString(text)
	require.NotEmpty(t, token, text)
	return token
}

func TestViolation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page, junit := filepath.Join(dir, "page.html"), filepath.Join(dir, "junit.xml")
	found := tryWith(t, mistaken(), "run", "--seeds", "2000", "--html", page, "--junit", junit)
	require.Equal(t, exitViolation, found.code, found.err)
	again := tryWith(t, mistaken(), "run", "--seeds", "2000", "--workers", "1")
	require.Equal(t, found.out, again.out)
	require.Regexp(t, `(?s)^VIOLATION of .+: .+\.\nFound at step \d+: .+ step  .*user-\d.*By default an actor goes on.*deviates from that in.*Replay it:  `, found.out)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "<!doctype html>")
	text, err := os.ReadFile(junit)
	require.NoError(t, err)
	var suites struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Failures int    `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(text, &suites))
	require.Equal(t, "rules", suites.Suites[0].Name)
	require.Equal(t, 1, suites.Suites[0].Failures)

	// The output that was kept is as good as the token in it.
	kept := filepath.Join(dir, "output.txt")
	require.NoError(t, os.WriteFile(kept, []byte(found.out), 0o600))
	token := tokenOf(t, found.out)
	verdict := regexp.MustCompile(`(?m)^VIOLATION.*\nFound.*$`)
	for _, args := range [][]string{{"replay", token}, {"replay", kept}, {"shrink", token}} {
		got := tryWith(t, mistaken(), args...)
		require.Equal(t, exitViolation, got.code, got.err)
		require.Equal(t, verdict.FindString(found.out), verdict.FindString(got.out))
		require.Contains(t, got.out, token)
	}

	step := tryWith(t, mistaken(), "replay", token, "--step", "5")
	require.Contains(t, step.out, "After step 5:")
	require.Contains(t, step.out, "COMMITTED")
	lines := tryWith(t, mistaken(), "replay", token, "--json")
	require.Equal(t, exitViolation, lines.code)
	require.True(t, strings.HasPrefix(lines.out, `{"type":"violation","rule":`), lines.out)
	explained := tryWith(t, mistaken(), "explain", token, "--html", page)
	require.Equal(t, exitClean, explained.code, explained.err)

	right := try(t, "replay", token)
	require.Equal(t, exitClean, right.code, "without the mistake every rule holds: %s", right.out)
	require.Equal(t, exitUsage, try(t, "shrink", token).code, "there is nothing to shrink")
}

func TestViolationUnshrunkAndAsLines(t *testing.T) {
	t.Parallel()
	small := tryWith(t, mistaken(), "run", "--seeds", "2000", "--json")
	whole := tryWith(t, mistaken(), "run", "--seeds", "2000", "--json", "--whole")
	require.Equal(t, exitViolation, small.code, small.err)
	require.Equal(t, exitViolation, whole.code, whole.err)
	// What is made smaller is what deviates from the plain order; the steps may be more.
	deviations := func(out string) int { return strings.Count(strings.SplitN(out, "\n", 3)[1], `{"step":`) }
	require.Less(t, deviations(small.out), deviations(whole.out))
	require.True(t, strings.HasPrefix(small.out, `{"type":"campaign","first":1,"strategy":"portfolio","held":false,`), small.out)
}

func TestTokensThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for token, says := range map[string]string{
		"nonsense": "copy all of it", "sim0.abc.AAAA": "its format is", sim.TokenVersion + ".abc.AA": "damaged",
		empty: "has no token in it",
	} {
		for _, args := range [][]string{{"replay", token}, {"shrink", token}, {"explain", token, "--html", os.DevNull}} {
			got := try(t, args...)
			require.Equal(t, exitUsage, got.code, got.err)
			require.Contains(t, got.err, says)
			require.Empty(t, got.out)
		}
	}
}

func TestTokenOfOtherCodeSaysSo(t *testing.T) {
	t.Parallel()
	_, token, err := sim.Play(sim.DefaultConfig(), 1)
	require.NoError(t, err)
	require.NotContains(t, try(t, "replay", token.String()).err, "changed")
	token.Build = "0123456789ab"
	got := try(t, "replay", token.String())
	require.Contains(t, got.err, "made by build 0123456789ab")
	require.Contains(t, got.err, "the code has changed")
	require.Contains(t, got.out, "made by other code than this")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"run", "--strategy", "luck"},
		{"run", "--faults", "none,earthquake=1"},
		{"run", "--faults", "crash=2"},
		{"run", "--faults", "crash=x"},
		{"run", "--for", "-1s"},
		{"run", "--workers", "-1"},
		{"run", "--nonsense"},
		{"fly"},
		{"explain", "sim3.a.AA"},
		{"exhaust", "no-such-scenario"},
		{"exhaust", "--preempt", "-1"},
		{"exhaust", "--kinds", "earthquake"},
		{"doctor", "--seeds", "0"},
		{"doctor", "--faults", "x"},
		{"linearize", "--limit", "0s"},
		{"linearize", "--faults", "x"},
		{"mutants", "--campaigns", "0"},
	} {
		got := try(t, args...)
		require.Equal(t, exitUsage, got.code, "%v: %s", args, got.err)
		require.NotEmpty(t, got.err)
	}
	require.Equal(t, exitClean, try(t, "--help").code)
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	missed := try(t, "run", "--seeds", "1", "--coverage", "require")
	require.Equal(t, exitGate, missed.code)
	require.Contains(t, missed.out, "Never met: ")
	require.Equal(t, exitClean, try(t, "run", "--seeds", "1").code, "a campaign of one seed says nothing about coverage")
	c := runCmd{Coverage: "auto", Strategy: "portfolio"}
	require.True(t, c.covers(oracle.CoveredAfter))
	require.False(t, c.covers(oracle.CoveredAfter-1))
	c.Faults = []string{"none"}
	require.False(t, c.covers(oracle.CoveredAfter))
}

func TestWhatIsNotDeterministicIsNoticed(t *testing.T) {
	t.Parallel()
	sick := tryWith(t, moody(), "doctor", "--seeds", "30")
	require.Equal(t, exitNotDeterministic, sick.code, sick.err)
	require.Contains(t, sick.err, "not a choice of the scheduler")

	healthy := try(t, "doctor", "--seeds", "30")
	require.Equal(t, exitClean, healthy.code, healthy.err)
	require.Equal(t, healthy.out, try(t, "doctor", "--seeds", "30").out)
	require.Equal(t, 5, strings.Count(healthy.out, "\n"))
}

func TestLinearize(t *testing.T) {
	t.Parallel()
	ok := try(t, "linearize", "--seeds", "30")
	require.Equal(t, exitClean, ok.code, ok.err)
	require.Equal(t, ok.out, try(t, "linearize", "--seeds", "30", "--workers", "1").out)
	unknown := try(t, "linearize", "--seeds", "30", "--limit", "1ns", "--json")
	require.Equal(t, exitUnknown, unknown.code, unknown.out)
}

func TestExhaust(t *testing.T) {
	t.Parallel()
	junit := filepath.Join(t.TempDir(), "junit.xml")
	one := try(t, "exhaust", "two-continues", "--preempt", "1", "--faults", "0", "--junit", junit)
	require.Equal(t, exitClean, one.code, one.err)
	require.Equal(t, one.out, try(t, "exhaust", "two-continues", "--preempt", "1", "--faults", "0", "--workers", "1").out)
	require.Regexp(t, `two-continues +≤ 1 +≤ 0 +\d+ +\d+ +\d+ +every rule held`, one.out)
	require.FileExists(t, junit)

	found := tryWith(t, mistaken(), "exhaust", "two-continues", "--preempt", "0", "--faults", "1")
	require.Equal(t, exitViolation, found.code, found.err)
	require.Contains(t, found.out, "no schedule with fewer deviations does it")
	token := tokenOf(t, found.out)
	require.Equal(t, exitViolation, tryWith(t, mistaken(), "replay", token).code)
}

// An ordinary build makes one with bugs in it when it is asked to.
func TestPlantedBug(t *testing.T) {
	t.Parallel()
	found := try(t, "--planted", "refund-one-part", "run", "--seeds", "2000")
	require.Equal(t, exitViolation, found.code, found.err)
	require.Contains(t, found.out, "VIOLATION of I4")
	require.Contains(t, found.out, "go run ./cmd/sim --planted refund-one-part replay "+tokenOf(t, found.out))
	require.Equal(t, exitUsage, try(t, "--planted", "no-such-bug", "run").code)

	measured := try(t, "mutants", "--only", "refund-one-part", "--campaigns", "2")
	require.Equal(t, exitClean, measured.code, measured.err)
	require.Regexp(t, `refund-one-part +2/2 +\d+ +\d+ +\d+ +I4 2`, measured.out)
}
