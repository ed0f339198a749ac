// Package browser gives tests a real browser.
package browser

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Bounds of a browser's start and of one step in it. There is none of all steps together,
// which would be one of how busy the machine is.
const (
	startTimeout = time.Minute
	stepTimeout  = 30 * time.Second
)

// Find looks for Chromium in the same places as install.sh.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium was found; `make test` installs it, or run internal/testkit/browser/install.sh")
}

// Open starts a headless browser with an empty profile that makes no requests by itself.
// The test fails if a script of a page throws. The profile's folder is not one of the test:
// processes of the browser outlive the first one for a moment and write there, and it is the
// allocator that ends them before it removes the folder.
func Open(t testing.TB, width, height int) context.Context {
	t.Helper()
	path, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(width, height),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	late := time.AfterFunc(startTimeout, stop)
	defer late.Stop()
	err = chromedp.Listen(ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("a script threw: %s: %s", thrown.ExceptionDetails.Text, thrown.ExceptionDetails.Exception.Description)
		}
	})
	if err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}
