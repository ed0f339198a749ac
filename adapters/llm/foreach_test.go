package llm

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// In a synctest bubble, Wait returns when every goroutine is blocked: a call that has not
// begun by then never would have.
func TestForEach(t *testing.T) {
	t.Parallel()
	t.Run("BeginsNoMoreThanTheLimit", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var begun atomic.Int64
			goOn := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				forEach(t.Context(), 7, 3, func(context.Context, int) {
					begun.Add(1)
					<-goOn
				})
				close(ended)
			}()
			for _, want := range []int64{3, 4, 5, 6, 7, 7, 7} {
				synctest.Wait()
				require.Equal(t, want, begun.Load())
				goOn <- struct{}{}
			}
			<-ended
		})
	})
	t.Run("BeginsNothingAfterTheEnd", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var begun atomic.Int64
			goOn := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				forEach(ctx, 7, 3, func(context.Context, int) {
					begun.Add(1)
					<-goOn
				})
				close(ended)
			}()
			synctest.Wait()
			cancel()
			close(goOn)
			<-ended
			require.EqualValues(t, 3, begun.Load())
		})
	})
	t.Run("APanicEndsTheOthers", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var ended atomic.Int64
			require.Panics(t, func() {
				forEach(t.Context(), 7, 2, func(ctx context.Context, i int) {
					if i == 0 {
						panic("no")
					}
					<-ctx.Done()
					ended.Add(1)
				})
			})
			require.LessOrEqual(t, ended.Load(), int64(1), "the one at its side, if it had begun")
		})
	})
}
