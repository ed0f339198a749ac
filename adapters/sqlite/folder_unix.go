//go:build !windows

package sqlite

import (
	"errors"
	"fmt"
	"os"
)

// syncFolder makes a file's name as durable as its content: SQLite does so for its
// journals and not for the database itself.
func syncFolder(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}
