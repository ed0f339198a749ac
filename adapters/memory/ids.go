package memory

import (
	"strconv"
	"sync/atomic"

	"github.com/redrive/redrive/ports"
)

var _ ports.IDs = (*Sequence)(nil)

// Sequence makes prefix-1, prefix-2, …: IDs that are the same in every run of
// a test or a simulation.
type Sequence struct {
	prefix string
	last   atomic.Int64
}

// NewSequence makes a Sequence.
func NewSequence(prefix string) *Sequence { return &Sequence{prefix: prefix + "-"} }

// NewID implements ports.IDs.
func (s *Sequence) NewID() string { return s.prefix + strconv.FormatInt(s.last.Add(1), 10) }
