package filestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/iotest"
	"time"

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

// testAtOnceUploads: concurrent uploads of several tenants, some with the same contents;
// each is kept or removed independently.
func testAtOnceUploads(t *testing.T, s *subject) {
	const n, each = 24, 3
	tenantOf := func(i int) core.TenantID { return core.TenantID(fmt.Sprint("tenant-", i%5)) }
	contentOf := func(i, j int) []byte { return random(byte(i%3), 1000*i+j) }
	stored := make([][]ports.Stored, n)
	for _, err := range together(n, func(i int) error {
		id, u, err := s.begin(t.Context(), tenantOf(i))
		if err != nil {
			return err
		}
		for j := range each {
			one, err := u.Add(t.Context(), bytes.NewReader(contentOf(i, j)))
			if err != nil {
				return err
			}
			// It can be read as soon as its own Add has returned.
			if err := s.expect(t.Context(), tenantOf(i), one.Ref, contentOf(i, j)); err != nil {
				return err
			}
			stored[i] = append(stored[i], one)
		}
		if err := u.Commit(t.Context()); err != nil {
			return err
		}
		if i%4 == 3 {
			return s.Files.Remove(t.Context(), tenantOf(i), id)
		}
		return s.Files.Keep(t.Context(), tenantOf(i), id)
	}) {
		require.NoError(t, err)
	}
	for i := range n {
		for j, one := range stored[i] {
			if i%4 == 3 {
				s.requireUnknown(t, tenantOf(i), one.Ref)
				continue
			}
			s.requireKept(t, tenantOf(i), one.Ref, contentOf(i, j))
		}
	}
	s.requireCount(t, n/4*3*each)
	s.requireLeftovers(t, begun.Add(time.Hour))
}

// testAtOnceNeverInPart: while a content is being stored, a reader finds nothing or all of
// it; once its Add has returned, it finds all of it.
func testAtOnceNeverInPart(t *testing.T, s, twin *subject) {
	const rounds, readers = 5, 4
	for round := range rounds {
		content := random(byte(round), 200_000)
		ref := twin.put(t, tenant, content).Ref
		stored := make(chan struct{})
		for _, err := range together(1+readers, func(i int) error {
			if i == 0 {
				defer close(stored)
				got, err := s.add(t.Context(), tenant, iotest.HalfReader(bytes.NewReader(content)))
				if err == nil && got.Ref != ref {
					err = fmt.Errorf("reference %s, of the twin %s", got.Ref, ref)
				}
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
		err = errors.New("the content that was read differs from the stored one")
	}
	return err
}
