package report_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/testkit/browser"
)

// open writes a page about the fixture and opens it.
func open(t *testing.T) context.Context {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, report.HTML(file, fixture()))
	require.NoError(t, file.Close())
	ctx := browser.Open(t, 1600, 1000)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("file://"+path)))
	return ctx
}

func eval[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	require.NoError(t, err, script)
	return v
}

// click clicks with the mouse where an element is, whatever may be in front of it.
func click(t *testing.T, ctx context.Context, selector string) {
	t.Helper()
	at := eval[[]float64](t, ctx, `(() => {
		const box = document.querySelector('`+selector+`').getBoundingClientRect();
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`)
	require.NoError(t, chromedp.Do(ctx, chromedp.MouseClickXY(at[0], at[1])))
}

const chosenText = `document.querySelector('.tr.chosen .said').textContent`

func TestPage(t *testing.T) {
	t.Parallel()
	ctx := open(t)
	press := func(key string) {
		require.NoError(t, chromedp.Do(ctx, chromedp.KeyEvent(key)))
	}

	require.Contains(t, eval[string](t, ctx, chosenText), "I2: run r1 consumed 5 credits", "it begins at the violation")
	require.Equal(t, 1, eval[int](t, ctx, `document.querySelectorAll('.tr.violation').length`))
	require.Contains(t, eval[string](t, ctx, `document.querySelector('#state tr.wrong').textContent`), "credits510", "what is committed beside what the model says")
	require.Equal(t, 3, eval[int](t, ctx, `document.querySelectorAll('#heads .name').length`), "lanes of actors that did something")
	require.Equal(t, 4, eval[int](t, ctx, `document.querySelectorAll('#drawing .link').length`), "messages")
	require.Equal(t, 1, eval[int](t, ctx, `document.querySelectorAll('#plot figure').length`), "a plot for each tenant")

	press(kb.Home)
	require.Contains(t, eval[string](t, ctx, chosenText), "tenants, credits and templates are there")
	require.Contains(t, eval[string](t, ctx, `document.querySelector('#plot figcaption').textContent`), "20 purchased")
	press(kb.ArrowRight)
	require.Contains(t, eval[string](t, ctx, chosenText), "asks to initiate")
	press("c")
	require.Contains(t, eval[string](t, ctx, chosenText), "run r1 with 1 files")
	require.Contains(t, eval[string](t, ctx, `document.querySelector('#plot figcaption').textContent`), "10 purchased", "the state is that of the row")
	require.Positive(t, eval[int](t, ctx, `document.querySelectorAll('#state tr.changed').length`), "what the commit changed is marked")
	press("f")
	require.Contains(t, eval[string](t, ctx, chosenText), "enqueued, answer lost")
	press(kb.ArrowLeft)
	require.Contains(t, eval[string](t, ctx, chosenText), "enqueue")
	press(kb.End)
	require.Contains(t, eval[string](t, ctx, chosenText), "I2")
	press(kb.PageUp)
	press("v")
	require.Contains(t, eval[string](t, ctx, chosenText), "I2")

	click(t, ctx, ".tr.crash")
	require.Contains(t, eval[string](t, ctx, `document.querySelector('#row').textContent`), "process 0 dies")
	click(t, ctx, "#deviations li:first-child")
	require.Contains(t, eval[string](t, ctx, `document.querySelector('#row').textContent`), "Step 5 of 12")

	click(t, ctx, "#idle")
	require.Equal(t, 4, eval[int](t, ctx, `document.querySelectorAll('#heads .name').length`), "with those that only looked")
}
