package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
)

func soFar(elapsed time.Duration, seeds uint64, situations int) sim.Report {
	r := sim.Report{Elapsed: elapsed, Seeds: seeds, Steps: seeds * 200}
	for i := range situations {
		r.Situations[i] = 1
	}
	return r
}

func TestProgressWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	for i := 1; i <= 24; i++ { // twice a second
		situations := 3
		if i >= 8 {
			situations = 4
		}
		p.campaign(soFar(time.Duration(i)*500*time.Millisecond, uint64(i)*1000, situations))
	}
	p.done()
	require.Equal(t, 2, strings.Count(out.String(), "\n"), "a line every 5 s")
	require.Contains(t, out.String(), "10s: 20000 seeds (2000/s), 4000000 steps (400000/s), 4 of")
	require.Contains(t, out.String(), "last new one 6s ago")
	require.NotContains(t, out.String(), "\x1b")
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	p.terminal, p.every = true, 0
	for i := 1; i <= 3; i++ {
		p.campaign(soFar(time.Duration(i)*500*time.Millisecond, 1000, 3))
	}
	p.done()
	require.Equal(t, 4, strings.Count(out.String(), "\r\x1b[K"), "one line, written over and cleared in the end")
	require.NotContains(t, out.String(), "\n")
}
