package report

import (
	"github.com/redrive/redrive/internal/sim/world"
)

// Case is a world that was played with its events recorded, and how to play it
// again.
type Case struct {
	Token    string
	Command  string // that replays it
	Changed  bool   // the code is not that which made the token
	Note     string // how the case came about, in a sentence; may be empty
	Scenario *world.Scenario
	Result   world.Result
}

// title says what came of the case.
func (c *Case) title() string {
	if v := c.Result.Violation; v != nil {
		return v.Rule.String() + " does not hold"
	}
	return "Every rule held"
}
