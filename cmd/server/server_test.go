package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// asServer is the variable that makes the test binary behave as the server, so that tests
// have a real process to start, signal and wait for.
const asServer = "REDRIVE_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	for _, variable := range os.Environ() {
		// Variables that are set outside must not configure the tests or their child processes.
		if configures(variable) {
			name, _, _ := strings.Cut(variable, "=")
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	if err := os.Setenv(asServer, "1"); err != nil { // for the children
		panic(err)
	}
	code := m.Run()
	if _, err := os.Stat("data"); err == nil {
		fmt.Fprintln(os.Stderr, "a test kept its data in the folder of the sources, cmd/server/data: remove it, and give the test --database-url")
		code = 1
	}
	os.Exit(code)
}

const secret = "a secret of the tests that is long enough"

// process is a server that was started by a test.
type process struct {
	cmd *exec.Cmd
	url string
	log *logs
}

// logs is the output of a process; it signals when it contains the address.
type logs struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string
}

var address = regexp.MustCompile(`msg=listening url=(\S+)\n`)

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if l.found != nil {
		if m := address.FindStringSubmatch(l.text.String()); m != nil {
			l.found <- m[1]
			l.found = nil
		}
	}
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startBy(t, nil, args...)
}

// startBy is start by way of another program.
func startBy(t *testing.T, by []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--database-url=") }) {
		args = append(args, "--database-url=memory:")
	}
	line := append(append(by, self, "serve", "--listen=127.0.0.1:0"), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "REDRIVE_JWT_SECRET="+secret)
	return launch(t, cmd)
}

// launch starts a server and waits until it says where it listens.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	found := make(chan string, 1)
	p := &process{cmd: cmd, log: &logs{found: found}}
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // has no effect once it ended
	select {
	case p.url = <-found:
	case <-time.After(30 * time.Second):
	}
	require.NotEmpty(t, p.url, "the server did not say where it listens: %s", p.log)
	return p
}

// stop sends SIGTERM and gives the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	_ = p.cmd.Wait() // what counts is the exit code
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) token(t *testing.T, actor core.Actor) string {
	t.Helper()
	auth, err := httpapi.NewAuth([]byte(secret))
	require.NoError(t, err)
	token, err := auth.Token(actor, time.Minute)
	require.NoError(t, err)
	return token
}

func (p *process) call(t *testing.T, actor core.Actor, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	return p.callWith(t, p.token(t, actor), method, path, body)
}

func (p *process) callWith(t *testing.T, token, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	return res.StatusCode, answer
}

// The journey of the README, against a real process.
func TestDemo(t *testing.T) {
	t.Parallel()
	var out, logs bytes.Buffer
	code := run(context.Background(), []string{"demo"}, &out, &logs)
	require.Zero(t, code, "%s%s", out.String(), logs.String())
	for _, line := range []string{
		"invoice-rate-limit.txt   failed (rate_limited)",
		"memo-refuse.txt          error (content_refused)",
		"Paid 60 credits for 6 files.",
		"Paid 30 credits, for the 3 failed files alone",
		"Refused with 400 nothing_to_retry",
		"2 files are done, the model works on the others: killed the server",
		"Paid 50 credits for 5 files, each once.",
		"exited with 0",
	} {
		require.Contains(t, out.String(), line)
	}
}

// On SIGTERM no more jobs are claimed, running jobs finish and are settled, and the exit
// code is 0.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	provider := fakellm.New(fakellm.Always(fakellm.Hold(release, fakellm.OK())))
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	p := start(t, "--demo", "--workers=1", "--llm-base-url="+base, "--llm-model=m")

	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs",
		`{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"b","text":"B"},{"name":"c","text":"C"}]}`)
	require.Equal(t, http.StatusCreated, status, "%v", run)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, provider.AwaitInFlight(ctx, 1))

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	require.Eventually(t, func() bool {
		res, err := http.Get(p.url + "/healthz")
		if err == nil {
			err = res.Body.Close()
		}
		return err != nil
	}, 20*time.Second, 5*time.Millisecond, "the server still accepts connections")
	require.Empty(t, ended, "the server did not wait for the running job")
	close(release)
	require.NoError(t, <-ended, "exit code must be 0")
	require.Len(t, provider.Requests(), 1, "a stopping server claimed another job")
	require.Contains(t, p.log.String(), "msg=stopped")
}

// Event streams do not delay a stop, and end with an event that says why.
func TestStopEndsEventStreams(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, status)
	auth, err := httpapi.NewAuth([]byte(secret))
	require.NoError(t, err)
	token, err := auth.Token(demoAdmin, time.Minute)
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodGet, p.url+"/workflow-runs/"+run["id"].(string)+"/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	lines := bufio.NewScanner(res.Body)
	var events []string
	for lines.Scan() {
		name, found := strings.CutPrefix(lines.Text(), "event: ")
		if !found {
			continue
		}
		if events = append(events, name); name == "closed" {
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		}
	}
	require.NoError(t, lines.Err())
	require.Equal(t, "state", events[0])
	require.Equal(t, []string{"closed", "end"}, events[len(events)-2:])
	require.NoError(t, p.cmd.Wait(), "exit code must be 0")
	require.NotContains(t, p.log.String(), "deadline exceeded")
}

// A browser watches its tenant with a ticket, and a stop ends that stream as well.
func TestTicketsOfAServer(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--database-url=sqlite:"+filepath.Join(t.TempDir(), "redrive.db"))
	status, made := p.call(t, demoAdmin, http.MethodPost, "/event-tickets", "")
	require.Equal(t, http.StatusCreated, status, "%v", made)
	ticket := made["ticket"].(string)
	res, err := http.Get(p.url + "/events?ticket=" + ticket)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	require.Equal(t, http.StatusOK, res.StatusCode)
	lines := bufio.NewScanner(res.Body)
	var events []string
	for lines.Scan() {
		name, found := strings.CutPrefix(lines.Text(), "event: ")
		if !found {
			continue
		}
		if events = append(events, name); name == "snapshot" {
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		}
	}
	require.NoError(t, lines.Err())
	require.Equal(t, []string{"snapshot", "end"}, events)
	require.NoError(t, p.cmd.Wait(), "exit code must be 0")
	require.NotContains(t, p.log.String(), ticket)
}

// A job that takes longer than the drain timeout is released; that is no failure.
func TestStopWithAHangingProvider(t *testing.T) {
	t.Parallel()
	provider := fakellm.New(fakellm.Always(fakellm.Hang()))
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	p := start(t, "--demo", "--workers=2", "--drain-timeout=10ms", "--llm-base-url="+base, "--llm-model=m")
	status, _ := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, status)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, provider.AwaitInFlight(ctx, 1))
	require.Zero(t, p.stop(t))
	require.Contains(t, p.log.String(), "handing back")
}

// Secrets of the configuration do not appear in the output.
func TestLogsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--llm-base-url=http://127.0.0.1:9", "--llm-model=m", "--llm-api-key=sk-very-secret", "--log-level=debug")
	status, _ := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, status)
	require.Eventually(t, func() bool {
		_, list := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs", "")
		return !strings.Contains(fmt.Sprint(list), "RUNNING")
	}, 30*time.Second, 20*time.Millisecond)
	require.Zero(t, p.stop(t))
	require.NotEmpty(t, p.log.String())
	for _, leaked := range []string{secret, "sk-very-secret", "Bearer "} {
		require.NotContains(t, p.log.String(), leaked)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"UnknownFlag":     {[]string{"--nonsense"}, 2, "redrive --help"},
		"UnknownCommand":  {[]string{"fly"}, 2, "redrive --help"},
		"NoSecret":        {[]string{"serve"}, 1, "REDRIVE_JWT_SECRET"},
		"NoLLM":           {[]string{"serve"}, 1, "LLM_BASE_URL"},
		"NoModel":         {[]string{"serve", "--demo", "--llm-base-url=http://127.0.0.1:1"}, 1, "LLM_MODEL"},
		"ShortSecret":     {[]string{"serve", "--demo", "--jwt-secret=short"}, 1, "32"},
		"BadAddress":      {[]string{"serve", "--demo", "--listen=nowhere:x"}, 1, "--listen"},
		"FilesAlone":      {[]string{"serve", "--demo", "--database-url=memory:", "--files=/tmp"}, 1, "DATABASE_URL"},
		"NoDatabase":      {[]string{"serve", "--demo", "--database-url=data/redrive.db"}, 1, "sqlite:FILE"},
		"NoFile":          {[]string{"serve", "--demo", "--database-url=sqlite:"}, 1, "names no file"},
		"NothingInMemory": {[]string{"ledger", "check", "--database-url=memory:"}, 1, "nothing in memory"},
		"NoDeadLetters":   {[]string{"queue", "dead"}, 1, "in its server's memory"},
		"ShortLease":      {[]string{"serve", "--demo", "--lease=1ms"}, 1, "--lease"},
		"NoRecovery":      {[]string{"serve", "--demo", "--recover-every=0s"}, 1, "--recover-every"},
		"NoWorkers":       {[]string{"serve", "--demo", "--workers=0"}, 1, "--workers"},
		"NoFiles":         {[]string{"serve", "--demo", "--max-files=0"}, 1, "--max-files"},
		"Redeliveries":    {[]string{"serve", "--demo", "--max-redeliveries=-1"}, 1, "--max-redeliveries (REDRIVE_MAX_REDELIVERIES)"},
		"OldRedeliveries": {[]string{"serve", "--demo", "--redeliveries=-1"}, 1, "--max-redeliveries (REDRIVE_MAX_REDELIVERIES)"},
		"NoBodyTimeout":   {[]string{"serve", "--demo", "--body-timeout=0s"}, 1, "--body-timeout (REDRIVE_BODY_TIMEOUT)"},
		"NoConnections":   {[]string{"serve", "--demo", "--max-connections=-1"}, 1, "--max-connections (REDRIVE_MAX_CONNECTIONS)"},
		"BadRoles":        {[]string{"serve", "--demo", "--jwt-roles=admins=king"}, 1, "REDRIVE_JWT_ROLES"},
		"RolesTwice":      {[]string{"serve", "--demo", "--jwt-roles=a=bubble_admin,a=customer_user"}, 1, "--jwt-roles"},
		"NoRole":          {[]string{"serve", "--demo", "--jwt-roles=admins"}, 1, "VALUE=ROLE"},
		"BadClaim":        {[]string{"serve", "--demo", "--jwt-role-claim=/"}, 1, "no name of a claim"},
		"ShortSecrets":    {[]string{"serve", "--demo", "--jwt-secrets=9b2f6c0e1d7a48c3b5e0f1a29d8c7b64,short"}, 1, "32"},
		"NoAudience":      {[]string{"serve", "--demo", "--oidc-issuer=https://idp.example"}, 1, "--jwt-audience (REDRIVE_JWT_AUDIENCE)"},
		"PlainIssuer":     {[]string{"serve", "--demo", "--jwt-audience=x", "--oidc-issuer=http://idp.example"}, 1, "https://"},
		"PlainKeys":       {[]string{"serve", "--demo", "--jwt-audience=x", "--jwt-issuer=x", "--jwks-url=http://idp.example"}, 1, "--jwks-url (REDRIVE_JWKS_URL)"},
		"KeysOfNobody":    {[]string{"serve", "--demo", "--jwt-audience=x", "--jwks-url=https://idp.example"}, 1, "--jwt-issuer (REDRIVE_JWT_ISSUER)"},
		"TwoIssuers":      {[]string{"serve", "--demo", "--jwt-audience=x", "--jwks-url=https://a.example", "--oidc-issuer=https://b.example"}, 1, "leave out --jwks-url"},
		"ClientOfNobody":  {[]string{"serve", "--demo", "--oidc-client-id=x"}, 1, "--oidc-issuer (REDRIVE_OIDC_ISSUER)"},
		"ClientSecret":    {[]string{"serve", "--demo", "--oidc-client-secret=x"}, 1, "no effect"},
		"NoRedirect":      {[]string{"serve", "--demo", "--jwt-audience=x", "--oidc-issuer=https://b.example", "--oidc-client-id=x"}, 1, "/ui/sign-in/oidc/callback"},
		"PlainRedirect":   {[]string{"serve", "--demo", "--jwt-audience=x", "--oidc-issuer=https://b.example", "--oidc-client-id=x", "--oidc-redirect-url=http://r.example/ui/sign-in/oidc/callback"}, 1, "https://"},
		"BadNetwork":      {[]string{"serve", "--demo", "--webhook-allow=10.0.0.1"}, 1, "--webhook-allow (REDRIVE_WEBHOOK_ALLOW)"},
		"SlowWebhooks":    {[]string{"serve", "--demo", "--webhook-timeout=1m"}, 1, "--webhook-timeout (REDRIVE_WEBHOOK_TIMEOUT)"},
		"NoEvents":        {[]string{"serve", "--demo", "--webhook-retention=1s"}, 1, "--webhook-retention"},
		"BadEnum":         {[]string{"serve", "--log-format=xml"}, 2, "REDRIVE_LOG_FORMAT"},
		"DemoForAll":      {[]string{"serve", "--demo", "--listen=0.0.0.0:0"}, 1, "--listen (REDRIVE_LISTEN)"},
		"DemoForAll6":     {[]string{"serve", "--demo", "--listen=[::]:0"}, 1, "prints its credentials"},
		"DemoEverywhere":  {[]string{"serve", "--demo", "--listen=:0"}, 1, "prints its credentials"},
		"EqualSecret":     {[]string{"serve", "--demo", "--jwt-secret=" + strings.Repeat("x", 32)}, 1, "REDRIVE_JWT_SECRET"},
		"BlankSecret":     {[]string{"serve", "--demo", "--jwt-secret=" + strings.Repeat(" ", 32)}, 1, "openssl rand"},
		"BlankForToken":   {[]string{"token", "--jwt-secret=" + strings.Repeat(" ", 32), "--subject=x", "--role=bubble_admin"}, 1, "openssl rand"},
		"FilesNotAllowed": {[]string{"serve", "--demo", "--database-url=postgres://127.0.0.1:1/x", "--files=/proc/nowhere"}, 1, "--files"},
		"TokenBadRole":    {[]string{"token", "--jwt-secret=" + secret, "--subject=x", "--role=king"}, 2, "bubble_admin"},
		"TokenWithoutKey": {[]string{"token", "--subject=x", "--role=bubble_admin"}, 1, "REDRIVE_JWT_SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chosen := func(arg string) bool { return strings.HasPrefix(arg, "--database-url") }
			if slices.Contains(c.args, "--demo") && !slices.ContainsFunc(c.args, chosen) {
				c.args = append(c.args, "--database-url=memory:") // and not in this folder
			}
			var out, logs bytes.Buffer
			require.Equal(t, c.code, run(context.Background(), c.args, &out, &logs))
			require.Contains(t, logs.String(), c.says)
		})
	}

	t.Run("Help", func(t *testing.T) {
		t.Parallel()
		var out, logs bytes.Buffer
		require.Zero(t, run(context.Background(), []string{"--help"}, &out, &logs))
		require.Contains(t, out.String(), "serve")
	})

	t.Run("TokenIsPrintedAlone", func(t *testing.T) {
		t.Parallel()
		var out, logs bytes.Buffer
		require.Zero(t, run(context.Background(), []string{"token", "--jwt-secret=" + secret, "--subject=x", "--role=customer_user", "--tenant=acme"}, &out, &logs))
		require.Regexp(t, `^[\w-]+\.[\w-]+\.[\w-]+\n$`, out.String())
	})
}
