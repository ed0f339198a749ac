package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
)

// 500 streams of ten tenants, half of which read nothing: the server answers others as
// before, tells those who read what happens, and has nothing left of any of them.
//
//nolint:paralleltest // it counts the goroutines and descriptors of the process
func TestFiveHundredStreams(t *testing.T) {
	const tenants, each = 10, 50
	svc := install.Service(t, app.Deps{Store: memory.NewStore(), Queue: memory.NewQueue()}, app.Options{})
	auth, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	streams := httpapi.NewStreams(svc, httpapi.StreamConfig{TenantEvery: 50 * time.Millisecond, WriteTimeout: time.Second, Heartbeat: time.Second})
	server := httptest.NewServer(httpapi.New(svc, httpapi.Config{Auth: auth, Log: slog.New(slog.DiscardHandler), Streams: streams}))
	defer server.Close()
	defer streams.Stop()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	var ids []core.TenantID
	var tokens []string
	for n := range tenants {
		id := core.TenantID(string(rune('a'+n)) + "-tenant")
		install.Make(t, svc, install.Tenant{ID: id, Purchased: 100})
		token, err := auth.Token(ann(id), time.Hour)
		require.NoError(t, err)
		ids, tokens = append(ids, id), append(tokens, token)
	}
	look := func() (median, worst time.Duration) {
		var took []time.Duration
		for n := range 200 {
			began := time.Now()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/balance", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+tokens[n%tenants])
			res, err := client.Do(req)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2], took[len(took)-1]
	}
	look()
	goroutines, descriptors := runtime.NumGoroutine(), descriptorsOf(t)
	median, worst := look()

	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	defer leave()
	var begun, told, left sync.WaitGroup
	for n := range tenants * each {
		begun.Add(1)
		reads := n%2 == 0
		if reads {
			told.Add(1)
		}
		left.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+tokens[n%tenants])
			began, heard := sync.OnceFunc(begun.Done), sync.OnceFunc(told.Done)
			if !reads {
				heard = func() {}
			}
			defer began()
			defer heard()
			res, err := client.Do(req)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", res, err)
				return
			}
			defer func() { _ = res.Body.Close() }()
			if !reads {
				began()
				<-ctx.Done()
				return
			}
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() {
				if lines.Text() == "event: snapshot" {
					began()
				}
				if lines.Text() == "event: balance" {
					heard()
					<-ctx.Done()
					return
				}
			}
			t.Errorf("the stream ended before it told of the purchase: %v", lines.Err())
		})
	}
	begun.Wait()
	require.Equal(t, tenants*each, streams.Open())
	withMedian, withWorst := look()
	for _, id := range ids {
		_, err := svc.PurchaseCredits(t.Context(), core.System, id, "p", 1)
		require.NoError(t, err)
	}
	told.Wait()
	t.Logf("a read takes %s, %s at worst; beside 500 streams %s, %s at worst", median, worst, withMedian, withWorst)
	require.Less(t, withMedian, time.Second)

	leave()
	left.Wait()
	transport.CloseIdleConnections()
	require.Eventually(t, func() bool {
		return streams.Open() == 0 && runtime.NumGoroutine() <= goroutines+5 && descriptorsOf(t) <= descriptors+5
	}, 30*time.Second, 50*time.Millisecond, "goroutines %d, then %d", goroutines, runtime.NumGoroutine())
}

// descriptorsOf counts the open files of the process, where that can be told.
func descriptorsOf(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
