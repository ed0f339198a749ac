package app

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// UUIDs makes UUIDs of version 7, which ascend by time. It is what Deps.IDs is by default.
type UUIDs struct{}

var _ ports.IDs = UUIDs{}

// NewID implements ports.IDs. It panics if the machine has no randomness left,
// because an ID that is not unique would mix up two runs.
func (UUIDs) NewID() string { return uuid.Must(uuid.NewV7()).String() }

// newID refuses an ID under which nothing could be found again: the source of it is at
// fault, and not the caller of the use case.
func newID[T ~string](ids ports.IDs) (T, error) {
	id := T(ids.NewID())
	if !core.ValidID(id) {
		return "", fmt.Errorf("app: Deps.IDs made %q, which is no ID: 1 to %d letters, digits, '-', '_' and '.'", id, core.MaxIDLength)
	}
	return id, nil
}
