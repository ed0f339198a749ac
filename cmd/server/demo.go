package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
)

// demoCmd plays the journey of the README against a server process that it starts.
type demoCmd struct{}

// journey is a client of the demo server.
type journey struct {
	ctx   context.Context
	out   io.Writer
	url   string
	token string
}

// Run starts a server, uploads, continues and stops the server. It fails if a result
// differs from the specification.
func (demoCmd) Run(ctx context.Context, to streams) error {
	secret := demoSecret()
	auth, err := httpapi.NewAuth([]byte(secret))
	if err != nil {
		return err
	}
	token, err := auth.Token(demoAdmin, demoTokenTTL)
	if err != nil {
		return err
	}
	server, url, err := startServer(ctx, secret)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.out, "Started a server at %s.\n", url)
	played := (&journey{ctx: ctx, out: to.out, url: url, token: token}).play()
	if err := errors.Join(server.Process.Signal(syscall.SIGTERM), server.Wait()); err != nil {
		return errors.Join(played, fmt.Errorf("the server did not stop cleanly: %w", err))
	}
	if played == nil {
		fmt.Fprintln(to.out, "Stopped the server; it exited with 0.")
	}
	return played
}

func (j *journey) play() error {
	names, err := demoFileNames()
	if err != nil {
		return err
	}
	before, err := j.balance()
	if err != nil {
		return err
	}
	fmt.Fprintf(j.out, "Balance: %d monthly + %d purchased credits.\n\nUploading %d files and starting a run …\n", before.Monthly, before.Purchased, len(names))
	id, err := j.initiate(names)
	if err != nil {
		return err
	}
	run, err := j.closed(id)
	if err != nil {
		return err
	}
	failed := j.show(run)
	middle, err := j.balance()
	if err != nil {
		return err
	}
	fmt.Fprintf(j.out, "Paid %d credits for %d files.\n\nContinue: %d files failed and run again …\n", before.total()-middle.total(), len(names), failed)

	var answer demoRun
	if err := j.call(http.MethodPost, "/workflow-runs/"+id+"/retry-failed", "", nil, http.StatusOK, &answer); err != nil {
		return err
	}
	if run, err = j.closed(id); err != nil {
		return err
	}
	j.show(run)
	after, err := j.balance()
	if err != nil {
		return err
	}
	paid := middle.total() - after.total()
	fmt.Fprintf(j.out, "Paid %d credits, for the %d failed files alone; balance %d monthly + %d purchased.\n\nContinue once more …\n", paid, failed, after.Monthly, after.Purchased)
	if want := int64(demoPrice) * int64(failed); paid != want {
		return fmt.Errorf("the Continue cost %d credits, not %d", paid, want)
	}
	if run.Status != "COMPLETED_WITH_ERRORS" {
		return fmt.Errorf("the run is %s, not COMPLETED_WITH_ERRORS", run.Status)
	}
	var refusal struct{ Code, Detail string }
	if err := j.call(http.MethodPost, "/workflow-runs/"+id+"/retry-failed", "", nil, http.StatusBadRequest, &refusal); err != nil {
		return err
	}
	fmt.Fprintf(j.out, "Refused with 400 %s: %s\n\n", refusal.Code, refusal.Detail)
	if refusal.Code != "nothing_to_retry" {
		return fmt.Errorf("the refusal's code is %q, not nothing_to_retry", refusal.Code)
	}
	return nil
}

// demoRun is what the journey reads of a run.
type demoRun struct {
	ID     string
	Status string
	Files  []struct {
		Name    string
		Status  string
		Failure *struct{ Code, Message string }
	}
}

type demoBalance struct{ Monthly, Purchased int64 }

func (b demoBalance) total() int64 { return b.Monthly + b.Purchased }

// show prints a run's files and counts the failed ones.
func (j *journey) show(run demoRun) (failed int) {
	fmt.Fprintf(j.out, "Run %s is %s:\n", run.ID, run.Status)
	for _, f := range run.Files {
		why := ""
		if f.Failure != nil {
			why = fmt.Sprintf(" (%s)", f.Failure.Code)
		}
		fmt.Fprintf(j.out, "  %-24s %s%s\n", f.Name, f.Status, why)
		if f.Status == "failed" {
			failed++
		}
	}
	return failed
}

func (j *journey) balance() (b demoBalance, err error) {
	return b, j.call(http.MethodGet, "/balance", "", nil, http.StatusOK, &b)
}

func (j *journey) initiate(names []string) (id string, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err = form.WriteField("template", string(demoTemplate))
	for _, name := range names {
		content, readErr := demoFiles.ReadFile("demofiles/" + name)
		part, partErr := form.CreateFormFile("files", name)
		if err = errors.Join(err, readErr, partErr); err != nil {
			return "", err
		}
		if _, err = part.Write(content); err != nil {
			return "", err
		}
	}
	if err = errors.Join(err, form.Close()); err != nil {
		return "", err
	}
	var run demoRun
	err = j.call(http.MethodPost, "/workflow-runs", form.FormDataContentType(), &body, http.StatusCreated, &run)
	return run.ID, err
}

// closed waits until the run has closed.
func (j *journey) closed(id string) (run demoRun, err error) {
	ctx, cancel := context.WithTimeout(j.ctx, time.Minute)
	defer cancel()
	for {
		run = demoRun{}
		if err := j.call(http.MethodGet, "/workflow-runs/"+id, "", nil, http.StatusOK, &run); err != nil {
			return demoRun{}, err
		}
		if run.Status != "RUNNING" {
			return run, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return demoRun{}, fmt.Errorf("run %s has not closed: %w", id, ctx.Err())
		}
	}
}

func (j *journey) call(method, path, contentType string, body io.Reader, want int, into any) (err error) {
	req, err := http.NewRequestWithContext(j.ctx, method, j.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+j.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != want {
		return fmt.Errorf("%s %s: status %d, not %d: %s", method, path, res.StatusCode, want, answer)
	}
	return json.Unmarshal(answer, into)
}

// configures reports whether an environment variable would configure the server: the demo
// starts its server without them.
func configures(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "DATABASE_URL" || name == "QUEUE_URL" || strings.HasPrefix(name, "LLM_") ||
		strings.HasPrefix(name, "REDRIVE_") && !strings.HasPrefix(name, "REDRIVE_TEST_")
}

var listening = regexp.MustCompile(`Redrive is running at (http://[0-9.:]+)\.`)

// startServer starts this program as a demo server on a free port, and waits until it
// prints its address.
func startServer(ctx context.Context, secret string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	server := exec.CommandContext(ctx, self, "serve", "--demo", "--listen=127.0.0.1:0", "--log-level=error") //nolint:gosec // it is this program
	server.Env = append(slices.DeleteFunc(os.Environ(), configures), "REDRIVE_JWT_SECRET="+secret)
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.WaitDelay = time.Minute // longer than the server takes to stop
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := server.Start(); err != nil {
		return nil, "", err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // or the server would block on a full pipe
			return server, found[1], nil
		}
	}
	return nil, "", errors.Join(errors.New("the server ended before it listened"), server.Wait())
}
