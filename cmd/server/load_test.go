package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

var fullLoad = flag.Bool("load.full", false, "put the load of `make load` on the server of TestLoad, which takes minutes")

// load is how much of what a server has to bear.
type load struct {
	tenants   int
	idle      int   // connections without a request
	streams   int   // of events, of each tenant
	notRead   int   // answers of notReadBytes whose clients do not read
	leave     int   // clients that disconnect in the middle of an upload
	bigBody   int64 // bytes of a body that nobody said the length of
	bigBodies int
	reads     int // at least, one after the other, while all this lasts
}

const (
	notReadBytes = 12 << 20 // more than the buffers of a connection hold
	maxUpload    = 64 << 20
)

// A server bears clients that are slow, that go away, that send without end, that keep
// connections and event streams open: others are answered meanwhile, and afterwards it
// holds nothing of them: goroutines, descriptors, memory, files.
func TestLoad(t *testing.T) { //nolint:paralleltest // it takes what the machine has
	amount := load{tenants: 2, idle: 200, streams: 25, notRead: 5, leave: 20, bigBody: 2 * maxUpload, bigBodies: 1, reads: 100}
	if *fullLoad {
		amount = load{tenants: 10, idle: 2000, streams: 50, notRead: 20, leave: 200, bigBody: 10 << 30, bigBodies: 2, reads: 2000}
	}
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	self, err := os.Executable()
	require.NoError(t, err)
	// The provider is not there: what is measured is the server.
	cmd := exec.Command(self, "serve", "--listen=127.0.0.1:0", "--database-url=sqlite:"+filepath.Join(dir, "redrive.db"), "--files="+files,
		"--llm-base-url=http://127.0.0.1:9/v1", "--llm-model=none", "--max-file-bytes=16777216", fmt.Sprintf("--max-upload-bytes=%d", maxUpload),
		"--write-timeout=1s", "--upload-rate=1048576", "--max-credential-requests=0", "--max-tenant-requests=0")
	cmd.Env = append(os.Environ(), "REDRIVE_JWT_SECRET="+secret, withCounts+"=1")
	l := &loaded{t: t, p: launch(t, cmd), files: files, amount: amount}
	l.prepare()

	l.some(load{idle: 2, streams: 1, leave: 1, bigBody: 1 << 20, bigBodies: 1, reads: 10}) // pools and caches are filled
	l.p.settledOnce(t, files)
	before := l.p.counts(t, files, "/")
	during := l.some(amount)
	after := l.p.settled(t, files, before)
	t.Logf("held before: %s", before)
	t.Logf("held during: %s", during.held)
	t.Logf("held after:  %s", after)
	t.Logf("%d reads beside it: median %s, worst %s", len(during.reads), during.reads[len(during.reads)/2], during.reads[len(during.reads)-1])
	if before.Descriptors > 0 { // else this system does not tell
		require.GreaterOrEqual(t, during.held.Descriptors, before.Descriptors+amount.idle+amount.streams*amount.tenants, "the load was there")
	}
	require.Zero(t, l.p.stop(t))
}

// String implements fmt.Stringer.
func (c counts) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB of heap, %d files", c.Goroutines, c.Descriptors, c.Heap>>10, c.Files)
}

// settledOnce waits until the number of goroutines is the same for a while.
func (p *process) settledOnce(t *testing.T, files string) {
	t.Helper()
	last, same := counts{}, 0
	for deadline := time.Now().Add(time.Minute); same < 5; time.Sleep(50 * time.Millisecond) {
		now := p.counts(t, files, "/")
		if same++; now.Goroutines != last.Goroutines || now.Descriptors != last.Descriptors {
			same = 0
		}
		last = now
		require.True(t, time.Now().Before(deadline), "the server does not come to rest")
	}
}

// loaded is a server under load.
type loaded struct {
	t      *testing.T
	p      *process
	files  string
	amount load
	tokens []string // of each tenant
	runs   []string // of each tenant, with one file of notReadBytes
}

// during is what was seen of a load.
type during struct {
	held  counts
	reads []time.Duration // ascending
}

func tenantOf(i int) core.TenantID { return core.TenantID(fmt.Sprintf("tenant-%d", i)) }

// token is one that lasts as long as the test.
func (l *loaded) token(actor core.Actor) string {
	l.t.Helper()
	auth, err := httpapi.NewAuth([]byte(secret))
	require.NoError(l.t, err)
	token, err := auth.Token(actor, time.Hour)
	require.NoError(l.t, err)
	return token
}

// prepare makes the tenants with their templates, credits and runs.
func (l *loaded) prepare() {
	l.t.Helper()
	platform := l.token(core.Actor{Subject: "pat", Role: core.RolePlatformAdmin})
	for i := range l.amount.tenants {
		tenant := tenantOf(i)
		l.post(platform, "/tenants", map[string]any{"id": tenant, "name": "T"})
		l.post(platform, "/templates?tenant="+string(tenant), map[string]any{"id": "t", "name": "T", "instructions": "Do.", "creditsPerRun": 1, "mode": "per_file"})
		l.post(platform, "/templates/t/publish?tenant="+string(tenant), nil)
		l.post(platform, "/tenants/"+string(tenant)+"/purchases", map[string]any{"amount": 1_000_000})
		token := l.token(core.Actor{Subject: "ann", Tenant: tenant, Role: core.RoleCustomerAdmin})
		l.tokens = append(l.tokens, token)
		body, contentType := form(l.t, "t", strings.Repeat("text ", notReadBytes/5))
		answer := l.send(token, "/workflow-runs", contentType, bytes.NewReader(body))
		id, _ := answer["id"].(string)
		require.NotEmpty(l.t, id, answer)
		l.runs = append(l.runs, id)
		l.post(token, "/workflow-runs/"+id+"/cancel", nil)
	}
}

func form(t *testing.T, template string, content string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	require.NoError(t, w.WriteField("template", template))
	part, err := w.CreateFormFile("files", "a.txt")
	require.NoError(t, err)
	_, err = io.WriteString(part, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

func (l *loaded) post(token, path string, body any) {
	l.t.Helper()
	var in io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(l.t, err)
		in = bytes.NewReader(encoded)
	}
	l.send(token, path, "application/json", in)
}

// send sends a request that has to succeed.
func (l *loaded) send(token, path, contentType string, body io.Reader) (answer map[string]any) {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.p.url+path, body)
	require.NoError(l.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if body != http.NoBody {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Idempotency-Key", path)
	res, err := http.DefaultClient.Do(req)
	require.NoError(l.t, err)
	defer func() { require.NoError(l.t, res.Body.Close()) }()
	require.NoError(l.t, json.NewDecoder(res.Body).Decode(&answer))
	require.Less(l.t, res.StatusCode, 300, answer)
	return answer
}

// some puts a load on the server, all of it at once, and takes it away again.
func (l *loaded) some(amount load) during {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	reads := make(chan []time.Duration, 1)
	go func() { reads <- l.read(ctx, amount.reads) }()
	var group sync.WaitGroup

	var open []net.Conn
	for range amount.idle {
		c := l.dial(fmt.Sprintf("GET /balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", l.tokens[0]))
		l.answered(c)
		open = append(open, c)
	}
	for i := range l.amount.tenants {
		for range amount.streams {
			// As many as a caller may have: the server may not have seen yet that one of
			// before is gone.
			require.Eventually(l.t, func() bool {
				c := l.dial(fmt.Sprintf("GET /workflow-runs/%s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", l.runs[i], l.tokens[i]))
				open = append(open, c)
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				return err == nil && res.StatusCode == http.StatusOK
			}, time.Minute, 10*time.Millisecond)
		}
	}
	for range amount.notRead {
		c := l.dial(fmt.Sprintf("GET /workflow-runs/%s/files/0/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", l.runs[0], l.tokens[0]))
		group.Go(func() { l.cutOff(c) })
	}
	body, contentType := form(l.t, "t", strings.Repeat("text ", 1<<20/5))
	for i := range amount.leave {
		c := l.dial(fmt.Sprintf("POST /workflow-runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
			l.tokens[i%len(l.tokens)], contentType, len(body)))
		_, err := c.Write(body[:len(body)/2])
		require.NoError(l.t, err)
		require.NoError(l.t, c.Close())
	}
	for range amount.bigBodies {
		group.Go(func() { l.bigBody(amount.bigBody, true) })
		group.Go(func() { l.bigBody(amount.bigBody, false) })
	}
	held := l.p.counts(l.t, l.files, "/")
	group.Wait()
	stop()
	times := <-reads
	for _, c := range open {
		require.NoError(l.t, c.Close())
	}
	return during{held, times}
}

func (l *loaded) dial(head string) net.Conn {
	l.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(l.p.url, "http://"))
	require.NoError(l.t, err)
	require.NoError(l.t, c.SetDeadline(time.Now().Add(10*time.Minute)))
	_, err = io.WriteString(c, head)
	require.NoError(l.t, err)
	return c
}

func (l *loaded) answered(c net.Conn) {
	l.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(l.t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(l.t, err)
	require.Equal(l.t, http.StatusOK, res.StatusCode)
}

// cutOff waits until the server has cut off a client that does not read. What is in the
// buffers comes first.
func (l *loaded) cutOff(c net.Conn) {
	time.Sleep(3 * time.Second) // more than --write-timeout: this is what such a client does
	got, err := io.Copy(io.Discard, c)
	_ = c.Close()
	if got >= notReadBytes {
		l.t.Errorf("a client that did not read for long got everything, %d bytes (%v)", got, err)
	}
}

// endless is a body of n bytes.
type endless struct{ left int64 }

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	e.left -= n
	return int(n), nil
}

// bigBody sends a body that is too large, with its length or without it, and requires a
// refusal or a closed connection, and that the server did not read all of it.
func (l *loaded) bigBody(size int64, announced bool) {
	in := &endless{left: size}
	head := "--x\r\nContent-Disposition: form-data; name=\"template\"\r\n\r\nt\r\n--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n\r\n"
	req, err := http.NewRequest(http.MethodPost, l.p.url+"/workflow-runs", io.MultiReader(strings.NewReader(head), in))
	if err != nil {
		l.t.Error(err)
		return
	}
	if announced {
		req.ContentLength = int64(len(head)) + size
	}
	req.Header.Set("Authorization", "Bearer "+l.tokens[0])
	req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err == nil {
		_ = res.Body.Close()
		if res.StatusCode < 400 || res.StatusCode >= 500 {
			l.t.Errorf("a body of %d bytes was answered with %s", size, res.Status)
		}
	}
	if size > 2*maxUpload && in.left == 0 {
		l.t.Errorf("all of a body of %d bytes was read", size)
	}
}

// read reads the list of runs again and again: at least n times, and until the load is over.
func (l *loaded) read(over context.Context, n int) []time.Duration {
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var times []time.Duration
	for i := 0; i < n || over.Err() == nil; i++ {
		began := time.Now()
		req, err := http.NewRequest(http.MethodGet, l.p.url+"/workflow-runs", nil)
		if err != nil {
			l.t.Error(err)
			break
		}
		req.Header.Set("Authorization", "Bearer "+l.tokens[0])
		res, err := client.Do(req)
		if err != nil {
			l.t.Errorf("a read beside the load: %v", err)
			break
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			l.t.Errorf("a read beside the load: %s", res.Status)
		}
		times = append(times, time.Since(began))
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(times)
	return times
}
