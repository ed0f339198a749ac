package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"
)

// journey is a client of the demo server.
type journey struct {
	ctx   context.Context
	out   io.Writer
	url   string
	token string
}

// play uploads, looks, continues, and continues once more.
func (j *journey) play() error {
	files, err := demoUploads()
	if err != nil {
		return err
	}
	before, err := j.balance()
	if err != nil {
		return err
	}
	fmt.Fprintf(j.out, "Balance: %d monthly + %d purchased credits.\n\nUploading %d files and starting a run …\n", before.Monthly, before.Purchased, len(files))
	id, err := j.initiate(files)
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
	fmt.Fprintf(j.out, "Paid %d credits for %d files.\n\nContinue: %d files failed and run again …\n", before.total()-middle.total(), len(files), failed)

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

// count gives how many files have a status.
func (r demoRun) count(status string) int {
	n := 0
	for _, f := range r.Files {
		if f.Status == status {
			n++
		}
	}
	return n
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
	}
	return run.count("failed")
}

func (j *journey) balance() (b demoBalance, err error) {
	return b, j.call(http.MethodGet, "/balance", "", nil, http.StatusOK, &b)
}

// demoFile is a file to upload.
type demoFile struct {
	name    string
	content []byte
}

// demoUploads are the sample files.
func demoUploads() ([]demoFile, error) {
	names, err := demoFileNames()
	if err != nil {
		return nil, err
	}
	files := make([]demoFile, len(names))
	for i, name := range names {
		content, err := demoFiles.ReadFile("demofiles/" + name)
		if err != nil {
			return nil, err
		}
		files[i] = demoFile{name, content}
	}
	return files, nil
}

func (j *journey) initiate(files []demoFile) (id string, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err = form.WriteField("template", string(demoTemplate))
	for _, f := range files {
		part, partErr := form.CreateFormFile("files", f.name)
		if err = errors.Join(err, partErr); err != nil {
			return "", err
		}
		if _, err = part.Write(f.content); err != nil {
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
	err = j.await(id, func(r demoRun) bool {
		run = r
		return r.Status != "RUNNING"
	})
	return run, err
}

// await waits until something holds of the run.
func (j *journey) await(id string, holds func(demoRun) bool) error {
	ctx, cancel := context.WithTimeout(j.ctx, time.Minute)
	defer cancel()
	for {
		var run demoRun
		if err := j.call(http.MethodGet, "/workflow-runs/"+id, "", nil, http.StatusOK, &run); err != nil {
			return err
		}
		if holds(run) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("run %s is still %s: %w", id, run.Status, ctx.Err())
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
