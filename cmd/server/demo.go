package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core/app"
)

// demoCmd plays the journey of the README against a server process that it starts, kills
// that server in the middle of a run, and has the next one go on.
type demoCmd struct{}

// demoServer is what the demo's servers have in common: the data of the one is the next
// one's.
type demoServer struct {
	folder   string
	secret   string
	provider string // its URL
	restart  chan struct{}
	fake     *fakellm.Server
}

// Run fails if a result differs from the specification.
func (demoCmd) Run(ctx context.Context, to streams) (err error) {
	d := &demoServer{secret: rand.Text() + rand.Text(), restart: make(chan struct{})}
	if d.folder, err = os.MkdirTemp("", "redrive-demo"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.folder)) }()
	d.fake = fakellm.New(d.answer)
	if d.provider, err = d.fake.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.fake.Close()) }()
	auth, err := httpapi.NewAuth([]byte(d.secret))
	if err != nil {
		return err
	}
	j := &journey{ctx: ctx, out: to.out}
	if j.token, err = auth.Token(demoAdmin, demoTokenTTL); err != nil {
		return err
	}
	first, err := d.start(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.out, "Started a server at %s.\n", first.url)
	j.url = first.url
	if err := j.play(); err != nil {
		return errors.Join(err, first.stop())
	}
	return d.interrupt(ctx, j, first)
}

// answer is the provider: of the chapters it answers two, and the others once there is
// another server.
func (d *demoServer) answer(in fakellm.Request) fakellm.Action {
	switch {
	case in.File > chapter(answeredBefore) && in.File <= chapter(chapters):
		return fakellm.Hold(d.restart, fakellm.OK())
	default:
		return fakellm.Demo(fakellm.DemoOptions{Failures: app.DefaultOptions().Retry.MaxTries})(in)
	}
}

// The run that is interrupted.
const (
	chapters       = 5
	answeredBefore = 2
)

func chapter(n int) string { return fmt.Sprintf("chapter-%d.txt", n) }

// interrupt kills the server in the middle of a run and starts the next one.
func (d *demoServer) interrupt(ctx context.Context, j *journey, first *startedServer) error {
	before, err := j.balance()
	if err != nil {
		return errors.Join(err, first.stop())
	}
	fmt.Fprintf(j.out, "A crash: uploading %d files and starting a run …\n", chapters)
	var files []demoFile
	for n := 1; n <= chapters; n++ {
		files = append(files, demoFile{chapter(n), []byte("A chapter.")})
	}
	id, err := j.initiate(files)
	if err == nil {
		err = j.await(id, func(r demoRun) bool { return r.count("completed") == answeredBefore })
	}
	if err == nil {
		within, cancel := context.WithTimeout(ctx, time.Minute)
		err = d.fake.AwaitInFlight(within, chapters-answeredBefore)
		cancel()
	}
	if err != nil {
		return errors.Join(err, first.stop())
	}
	if err := first.kill(); err != nil {
		return err
	}
	fmt.Fprintf(j.out, "%d files are done, the model works on the others: killed the server, without a warning.\n", answeredBefore)
	second, err := d.start(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.out, "Started it again, at %s …\n", second.url)
	j.url = second.url
	close(d.restart)
	if err := d.goesOn(j, id, before); err != nil {
		return errors.Join(err, second.stop())
	}
	if err := second.stop(); err != nil {
		return err
	}
	fmt.Fprintln(j.out, "Stopped the server; it exited with 0.")
	return nil
}

// goesOn checks that the run completes, and that nothing was paid for or done twice.
func (d *demoServer) goesOn(j *journey, id string, before demoBalance) error {
	run, err := j.closed(id)
	if err != nil {
		return err
	}
	j.show(run)
	after, err := j.balance()
	if err != nil {
		return err
	}
	paid := before.total() - after.total()
	fmt.Fprintf(j.out, "Paid %d credits for %d files, each once.\n\n", paid, chapters)
	if want := int64(demoPrice) * chapters; paid != want {
		return fmt.Errorf("the run cost %d credits, not %d", paid, want)
	}
	if run.Status != "COMPLETED" {
		return fmt.Errorf("the run is %s, not COMPLETED", run.Status)
	}
	for n := 1; n <= answeredBefore; n++ {
		if asked := d.fake.Count(chapter(n)); asked != 1 {
			return fmt.Errorf("the model was asked %d times for %s, which was done before the crash", asked, chapter(n))
		}
	}
	return nil
}

// configures reports whether an environment variable would configure the server: the demo
// starts its server without them.
func configures(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "DATABASE_URL" || name == "QUEUE_URL" || strings.HasPrefix(name, "LLM_") ||
		strings.HasPrefix(name, "REDRIVE_") && !strings.HasPrefix(name, "REDRIVE_TEST_")
}

var listening = regexp.MustCompile(`Redrive is running at (http://[0-9.:]+)\.`)

// startedServer is a process of this program.
type startedServer struct {
	cmd *exec.Cmd
	url string
}

// start starts this program as a demo server on a free port, and waits until it prints its
// address.
func (d *demoServer) start(ctx context.Context) (*startedServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "--demo", "--listen=127.0.0.1:0", "--log-level=error", //nolint:gosec // it is this program
		"--database-url=sqlite:"+filepath.Join(d.folder, "redrive.db"), "--llm-base-url="+d.provider, "--llm-model=demo")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), configures), "REDRIVE_JWT_SECRET="+d.secret)
	server := &startedServer{cmd: cmd}
	cmd.Cancel = server.askToStop
	cmd.WaitDelay = time.Minute // longer than the server takes to stop
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			server.url = found[1]
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // or the server would block on a full pipe
			return server, nil
		}
	}
	return nil, errors.Join(errors.New("the server ended before it listened"), cmd.Wait())
}

func (s *startedServer) askToStop() error {
	if runtime.GOOS == "windows" { // which has no such signal
		return s.cmd.Process.Kill()
	}
	return s.cmd.Process.Signal(syscall.SIGTERM)
}

// stop stops it gracefully, where the system has a way to ask for it.
func (s *startedServer) stop() error {
	err := errors.Join(s.askToStop(), s.cmd.Wait())
	if runtime.GOOS == "windows" || err == nil {
		return nil
	}
	return fmt.Errorf("the server did not stop cleanly: %w", err)
}

// kill ends it at once.
func (s *startedServer) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // it says that the process was killed
	return nil
}
