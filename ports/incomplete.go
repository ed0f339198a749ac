package ports

import (
	"fmt"
	"strings"

	"github.com/redrive/redrive/core"
)

// Incomplete is the error of an answer that is ErrIncomplete, and says what is missing.
// errors.As finds it.
type Incomplete struct {
	// Where is what does not answer, for the operator's log: it is no caller's business.
	Where []string
	// Tenants are those that could not be asked, ascending, all of them.
	Tenants []core.TenantID
	// Err is why.
	Err error
}

func (e *Incomplete) Error() string {
	return fmt.Sprintf("%v: the %d of %s are left out: %v", ErrIncomplete, len(e.Tenants), strings.Join(e.Where, ", "), e.Err)
}

// Unwrap makes it an ErrIncomplete, and so an ErrUnavailable.
func (e *Incomplete) Unwrap() []error { return []error{ErrIncomplete, e.Err} }
