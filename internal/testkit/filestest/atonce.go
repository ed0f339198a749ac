package filestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// together runs f in n goroutines that start at the same moment and gives their
// errors, by goroutine.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	done.Wait()
	return errs
}

func testAtOnceSameContent(t *testing.T, s *subject) {
	for round := range 5 {
		content := random(byte(round), 64*1024+round)
		stored := make([]ports.Stored, 16)
		for _, err := range together(len(stored), func(i int) (err error) {
			stored[i], err = s.Files.Put(t.Context(), tenant, bytes.NewReader(content))
			if err != nil {
				return err
			}
			// It can be read as soon as one's own Put has returned.
			return s.expect(t.Context(), tenant, stored[i].Ref, content)
		}) {
			require.NoError(t, err)
		}
		for _, one := range stored {
			require.Equal(t, stored[0], one)
		}
		s.requireCount(t, round+1)
	}
}

func testAtOnceOtherContents(t *testing.T, s *subject) {
	const n = 48
	tenantOf := func(i int) core.TenantID { return core.TenantID(fmt.Sprint("tenant-", i%5)) }
	refs := make([]core.FileRef, n)
	for _, err := range together(n, func(i int) error {
		stored, err := s.Files.Put(t.Context(), tenantOf(i), bytes.NewReader(random(byte(i), 1000*i)))
		refs[i] = stored.Ref
		return err
	}) {
		require.NoError(t, err)
	}
	for i, ref := range refs {
		s.requireKept(t, tenantOf(i), ref, random(byte(i), 1000*i))
	}
	s.requireCount(t, n)
}

// testAtOnceNeverInPart: while a content is being stored, for the first time and
// by several, whoever opens it finds nothing or all of it, and all of it once a
// Put has returned.
func testAtOnceNeverInPart(t *testing.T, s, twin *subject) {
	const rounds, writers, readers = 5, 4, 4
	for round := range rounds {
		content := random(byte(round), 200_000)
		ref := twin.put(t, tenant, content).Ref
		stored := make(chan struct{})
		var once sync.Once
		for _, err := range together(writers+readers, func(i int) error {
			if i < writers {
				got, err := s.Files.Put(t.Context(), tenant, iotest.HalfReader(bytes.NewReader(content)))
				if err == nil && got.Ref != ref {
					err = fmt.Errorf("reference %s, of the twin %s", got.Ref, ref)
				}
				once.Do(func() { close(stored) })
				return err
			}
			for {
				last := false
				select {
				case <-stored:
					last = true
				default:
				}
				err := s.expect(t.Context(), tenant, ref, content)
				if last || err != nil && !errors.Is(err, ports.ErrNotFound) {
					return err
				}
			}
		}) {
			require.NoError(t, err)
		}
		s.requireCount(t, round+1)
	}
}

func (s *subject) expect(ctx context.Context, tenant core.TenantID, ref core.FileRef, want []byte) error {
	got, err := s.get(ctx, tenant, ref)
	if err == nil && !bytes.Equal(want, got) {
		err = errors.New("what was read is not what was stored")
	}
	return err
}
