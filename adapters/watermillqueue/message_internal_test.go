package watermillqueue

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func fileJobs(files ...int) []core.Job {
	list := make([]core.Job, len(files))
	for i, f := range files {
		list[i] = core.Job{Tenant: "acme", Run: "r", Epoch: 3, ID: core.FileJobID("r", f), Template: "t", Files: []int{f}}
	}
	return list
}

func sealed(t require.TestingT, jobs []core.Job) []byte {
	msg, err := seal(context.Background(), jobs, "cor")
	require.NoError(t, err)
	return msg.Payload
}

func TestMessage(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)

	t.Run("IsCompact", func(t *testing.T) {
		t.Parallel()
		msg, err := seal(t.Context(), fileJobs(0, 1, 2, 3, 7, 9, 10), "cor")
		require.NoError(t, err)
		require.Regexp(t, `^{"v":2,"at":\d+,"tenant":"acme","run":"r","epoch":3,"template":"t","files":"0-3,7,9-10"}$`, string(msg.Payload))
		require.Equal(t, "cor", msg.Metadata.Get(middleware.CorrelationIDMetadataKey))
		require.Equal(t, "acme", msg.Metadata.Get(tenantKey))
		id, err := uuid.Parse(msg.UUID)
		require.NoError(t, err)
		require.Equal(t, messageID(fileJobs(0, 1, 2, 3, 7, 9, 10)), id)
		require.EqualValues(t, 8, id.Version())
	})
	t.Run("RoundTrip", func(t *testing.T) {
		t.Parallel()
		batch := core.Job{Tenant: "acme", Run: "r", Epoch: 3, ID: core.BatchJobID("r"), Template: "t", Files: []int{0, 1, 2, 9}}
		for _, jobs := range [][]core.Job{fileJobs(7), fileJobs(1, 2, 3, 900, math.MaxInt32), {batch}, append(fileJobs(5), batch)} {
			got, sent, err := open(sealed(t, jobs))
			require.NoError(t, err)
			require.Equal(t, jobs, got)
			require.WithinDuration(t, time.Now(), sent, time.Minute)
		}
	})
	// The trace of a request travels with its jobs, and names no message: what recovery sends
	// again, without it, is the same. One that cannot be read costs nothing but itself.
	t.Run("Trace", func(t *testing.T) {
		t.Parallel()
		jobs := fileJobs(1, 2)
		plain := messageID(jobs)
		for i := range jobs {
			jobs[i].Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		}
		require.Equal(t, plain, messageID(jobs))
		payload := sealed(t, jobs)
		got, _, err := open(payload)
		require.NoError(t, err)
		require.Equal(t, jobs, got)
		got, _, err = open(bytes.Replace(payload, []byte("00-4bf9"), []byte("00-4BF9"), 1))
		require.NoError(t, err)
		require.Equal(t, fileJobs(1, 2), got)
	})
	t.Run("OfVersion1", func(t *testing.T) {
		t.Parallel()
		got, sent, err := open([]byte(`{"v":1,"at":1800000000,"tenant":"acme","run":"r","epoch":3,"job":"r:file:7","template":"t","files":[7],"priority":{"new":true}}`))
		require.NoError(t, err)
		require.Equal(t, fileJobs(7), got)
		require.True(t, now.Equal(sent))
		got, _, err = open([]byte(`{"v":1,"at":1,"tenant":"acme","run":"r","epoch":3,"job":"r","files":[1,2]}`)) // an older server did not send the template
		require.NoError(t, err)
		require.Equal(t, []core.Job{{Tenant: "acme", Run: "r", Epoch: 3, ID: "r", Files: []int{1, 2}}}, got)
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
			`{"v":2,"run":"r","files":"1"}`:                                   ReasonUndecodable,
			`{"v":2,"tenant":"a","files":"1"}`:                                ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r"}`:                                  ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":""}`:                       ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"3-1"}`:                    ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"0-999999999"}`:            ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"-1"}`:                     ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"1-x"}`:                    ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"99999999999"}`:            ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":[1]}`:                      ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","files":"1","epoch":-1}`:           ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","jobs":[{"id":"","files":"1"}]}`:   ReasonUndecodable,
			`{"v":2,"tenant":"a","run":"r","jobs":[{"id":"x"}]}`:              ReasonUndecodable,
			`{"v":3,"tenant":"a","run":"r","job":"r","files":[1]}`:            ReasonVersion,
			`{"v":3,"at":1800000000,"files":{"all":true}}`:                    ReasonVersion,
		} {
			_, _, err := open([]byte(payload))
			var cause *unreadable
			require.ErrorAs(t, err, &cause, payload)
			require.Equal(t, reason, cause.reason, payload)
		}
	})
	t.Run("ANewerVersionWaitsForItsServer", func(t *testing.T) {
		t.Parallel()
		_, _, err := open([]byte(`{"v":3,"at":1800000000,"anything":[]}`))
		var cause *unreadable
		require.True(t, errors.As(err, &cause))
		require.True(t, cause.waits(now.Add(versionTimeout-time.Second)))
		require.False(t, cause.waits(now.Add(versionTimeout)))
		_, _, err = open([]byte(`nonsense`))
		require.True(t, errors.As(err, &cause))
		require.False(t, cause.waits(now), "no server will ever read it")
	})
}

// Messages have the same ID if they have the same jobs, and only then.
func TestMessageID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) []core.Job {
			run := core.RunID(rapid.SampledFrom([]string{"r", "r1", "r:file", "1", "rr"}).Draw(t, "run"))
			base := core.Job{
				Tenant: core.TenantID(rapid.SampledFrom([]string{"a", "ar", "r"}).Draw(t, "tenant")), Run: run,
				Template: core.TemplateID(rapid.SampledFrom([]string{"", "t", "r"}).Draw(t, "template")),
				Epoch:    core.Epoch(rapid.SampledFrom([]int64{0, 1, 11, 256, math.MaxInt64}).Draw(t, "epoch")),
			}
			if rapid.Bool().Draw(t, "batch") {
				base.ID, base.Files = core.BatchJobID(run), []int{0, 1}
				return []core.Job{base}
			}
			var jobs []core.Job
			for _, i := range rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 2, 11, 12, 255, math.MaxInt32}), 1, 4, rapid.ID).Draw(t, "files") {
				j := base
				j.ID, j.Files = core.FileJobID(run, i), []int{i}
				jobs = append(jobs, j)
			}
			return ports.Messages(jobs)[0]
		})
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		same := slices.EqualFunc(a, b, func(a, b core.Job) bool {
			return a.Tenant == b.Tenant && a.Template == b.Template && a.ID == b.ID && a.Epoch == b.Epoch
		})
		if same != (messageID(a) == messageID(b)) {
			t.Fatalf("%v and %v: %s, %s", a, b, messageID(a), messageID(b))
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"v":1,"at":1,"tenant":"a","run":"r","epoch":1,"job":"r:file:1","files":[1]}`))
	f.Add([]byte(`{"v":2,"at":1,"tenant":"a","run":"r","epoch":1,"files":"0-3,7"}`))
	f.Add([]byte(`{"v":2,"tenant":"a","run":"r","jobs":[{"id":"r","files":"1,0"}]}`))
	f.Add([]byte(`{"v":3,"at":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		jobs, _, err := open(payload)
		if err != nil {
			var cause *unreadable
			require.ErrorAs(t, err, &cause)
			return
		}
		for i := range jobs {
			for _, f := range jobs[i].Files {
				if f < 0 { // of version 1; no server sends it
					return
				}
			}
		}
		back, _, err := open(sealed(t, jobs))
		require.NoError(t, err)
		require.ElementsMatch(t, jobs, back)
	})
}
