package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// withCounts is the variable that makes a server of the tests tell what it holds.
const withCounts = "REDRIVE_TEST_COUNTS"

// counts are what a process holds.
type counts struct {
	Goroutines  int
	Descriptors int
	Heap        uint64 // bytes that are live
	Stacks      string `json:",omitempty"`
	Files       int    `json:"-"` // uploaded ones, on the disk
}

// serveCounts tells what this process holds, at an address of its own.
func serveCounts() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "counts=http://%s\n", l.Addr())
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		open, _ := os.ReadDir("/proc/self/fd") // none where there is no such folder
		c := counts{Goroutines: runtime.NumGoroutine(), Descriptors: len(open), Heap: m.HeapAlloc}
		if req.URL.Path == "/stacks" {
			stacks := make([]byte, 1<<20)
			c.Stacks = string(stacks[:runtime.Stack(stacks, true)])
		}
		_ = json.NewEncoder(w).Encode(c)
	})}
	go func() { panic(server.Serve(l)) }()
}

var countsAt = regexp.MustCompile(`counts=(\S+)\n`)

// counts asks the server what it holds. Each question has a connection of its own, so that
// the questions count the same every time.
func (p *process) counts(t *testing.T, files, path string) counts {
	t.Helper()
	at := countsAt.FindStringSubmatch(p.log.String())
	require.NotNil(t, at)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Get(at[1] + path)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	var c counts
	require.NoError(t, json.NewDecoder(res.Body).Decode(&c))
	require.NoError(t, filepath.WalkDir(files, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			c.Files++
		}
		return nil // what is removed meanwhile is not there
	}))
	return c
}

// settled waits until the server holds no more than before, but for what it keeps for later.
func (p *process) settled(t *testing.T, files string, before counts) counts {
	t.Helper()
	const heapSlack = 16 << 20 // caches and pools
	// The store opens its 16 reading connections as they are needed first, and keeps them:
	// each has the database and its log.
	const readers = 2 * 16
	var now counts
	deadline := time.Now().Add(time.Minute)
	for {
		now = p.counts(t, files, "/")
		if now.Goroutines <= before.Goroutines && now.Descriptors <= before.Descriptors+readers && now.Files == before.Files && now.Heap <= before.Heap+heapSlack {
			return now
		}
		if time.Now().After(deadline) {
			require.Fail(t, "the server holds more than before", "before: %+v\nnow: %+v\n%s", before, now, p.counts(t, files, "/stacks").Stacks)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
