package watermillqueue

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

func aJob() core.Job {
	return core.Job{Tenant: "acme", Run: "r", Epoch: 3, ID: core.FileJobID("r", 7), Template: "t", Files: []int{7}}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)

	t.Run("RoundTrip", func(t *testing.T) {
		t.Parallel()
		payload, err := encodeJob(aJob(), now)
		require.NoError(t, err)
		require.JSONEq(t, `{"v":1,"at":1800000000,"tenant":"acme","run":"r","epoch":3,"job":"r:file:7","template":"t","files":[7]}`, string(payload))
		got, err := decodeJob(payload)
		require.NoError(t, err)
		require.Equal(t, aJob(), got)
	})
	t.Run("FieldsOfNewerAndOlderServers", func(t *testing.T) {
		t.Parallel()
		got, err := decodeJob([]byte(`{"v":1,"at":1,"tenant":"acme","run":"r","epoch":3,"job":"r:file:7","files":[7],"priority":{"new":true}}`))
		require.NoError(t, err)
		want := aJob()
		want.Template = "" // an older server did not send it
		require.Equal(t, want, got)
	})
	t.Run("Unreadable", func(t *testing.T) {
		t.Parallel()
		for payload, reason := range map[string]string{
			``:         ReasonUndecodable,
			`nonsense`: ReasonUndecodable,
			`[]`:       ReasonUndecodable,
			`{}`:       ReasonUndecodable,
			`{"v":0,"tenant":"a","run":"r","job":"r","files":[1]}`:            ReasonUndecodable,
			`{"v":1,"run":"r","job":"r","files":[1]}`:                         ReasonUndecodable,
			`{"v":1,"tenant":"a","job":"r","files":[1]}`:                      ReasonUndecodable,
			`{"v":1,"tenant":"a","run":"r","files":[1]}`:                      ReasonUndecodable,
			`{"v":1,"tenant":"a","run":"r","job":"r","files":[]}`:             ReasonUndecodable,
			`{"v":1,"tenant":"a","run":"r","job":"r","files":[1],"epoch":-1}`: ReasonUndecodable,
			`{"v":1,"tenant":"a","run":"r","job":"r","files":"all"}`:          ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","job":"r","files":[1]}`:            ReasonVersion,
			`{"v":2,"at":1800000000,"files":"all"}`:                           ReasonVersion,
		} {
			_, err := decodeJob([]byte(payload))
			var cause *unreadable
			require.ErrorAs(t, err, &cause, payload)
			require.Equal(t, reason, cause.reason, payload)
		}
	})
	t.Run("ANewerVersionWaitsForItsServer", func(t *testing.T) {
		t.Parallel()
		_, err := decodeJob([]byte(`{"v":2,"at":1800000000,"anything":[]}`))
		var cause *unreadable
		require.True(t, errors.As(err, &cause))
		require.True(t, cause.waits(now.Add(versionPatience-time.Second)))
		require.False(t, cause.waits(now.Add(versionPatience)))
		_, err = decodeJob([]byte(`nonsense`))
		require.True(t, errors.As(err, &cause))
		require.False(t, cause.waits(now), "nobody will ever read it")
	})
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	t.Run("OfTenantJobAndEpochAlone", func(t *testing.T) {
		t.Parallel()
		other := aJob()
		other.Template = ""
		require.Equal(t, messageID(aJob()), messageID(other))
		require.Len(t, messageID(aJob()).String(), 36)
		require.EqualValues(t, 8, messageID(aJob()).Version())
	})
	t.Run("DifferentForDifferentJobs", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			draw := rapid.Custom(func(t *rapid.T) core.Job {
				run := core.RunID(rapid.SampledFrom([]string{"r", "r1", "r:file", "1", "rr"}).Draw(t, "run"))
				j := core.Job{
					Tenant: core.TenantID(rapid.SampledFrom([]string{"a", "ar", "r"}).Draw(t, "tenant")),
					Run:    run, Epoch: core.Epoch(rapid.SampledFrom([]int64{0, 1, 11, 256, math.MaxInt64}).Draw(t, "epoch")),
				}
				if rapid.Bool().Draw(t, "batch") {
					j.ID, j.Files = core.BatchJobID(run), []int{0, 1}
					return j
				}
				i := rapid.SampledFrom([]int{0, 1, 11, 255, 256, math.MaxInt32, math.MaxInt}).Draw(t, "file")
				j.ID, j.Files = core.FileJobID(run, i), []int{i}
				return j
			})
			a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
			same := a.Tenant == b.Tenant && a.ID == b.ID && a.Epoch == b.Epoch
			if same != (messageID(a) == messageID(b)) {
				t.Fatalf("%v and %v: %s, %s", a, b, messageID(a), messageID(b))
			}
		})
	})
	t.Run("OfOneRunLieTogether", func(t *testing.T) {
		t.Parallel()
		before := ""
		for i := range 1000 {
			id := messageID(core.Job{Tenant: "acme", Run: "r", Epoch: 1, ID: core.FileJobID("r", i), Files: []int{i}}).String()
			require.Less(t, before, id)
			before = id
		}
	})
}

func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(`{"v":1,"at":1,"tenant":"a","run":"r","epoch":1,"job":"r:file:1","files":[1]}`))
	f.Add([]byte(`{"v":2,"at":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		job, err := decodeJob(payload)
		if err != nil {
			var cause *unreadable
			require.ErrorAs(t, err, &cause)
			return
		}
		again, err := encodeJob(job, time.Unix(1, 0))
		require.NoError(t, err)
		back, err := decodeJob(again)
		require.NoError(t, err, fmt.Sprintf("%q", again))
		require.Equal(t, job, back)
	})
}
