package llm

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// forEach calls do for 0..n-1, at most limit at a time, and returns when no call is
// running any more. It begins none after ctx ended. In a goroutine of forEach a panic of
// do would end the process: it cancels the other calls and is raised again in the
// caller's goroutine, where core/app turns it into failed files.
func forEach(ctx context.Context, n, limit int, do func(ctx context.Context, i int)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	var panicked atomic.Pointer[string]
	var wg sync.WaitGroup
	for range min(n, limit) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					what := fmt.Sprintf("%v\n%s", p, debug.Stack())
					panicked.CompareAndSwap(nil, &what)
					cancel()
				}
			}()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(ctx, i)
			}
		})
	}
	wg.Wait()
	if what := panicked.Load(); what != nil {
		panic(*what)
	}
}
