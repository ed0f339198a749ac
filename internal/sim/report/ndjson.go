package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
)

// Lines writes values as lines of JSON. Every line has a "type".
type Lines struct{ encoder *json.Encoder }

// NewLines makes a Lines.
func NewLines(to io.Writer) Lines {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return Lines{e}
}

// Write writes one line.
func (l Lines) Write(v any) error { return l.encoder.Encode(v) }

// ViolationLine is a rule that did not hold.
type ViolationLine struct {
	Type       string      `json:"type"` // violation
	Rule       string      `json:"rule"`
	Words      string      `json:"words"`
	Text       string      `json:"text"`
	Step       int         `json:"step"`
	Token      string      `json:"token"`
	Command    string      `json:"command"`
	Changed    bool        `json:"changed"`
	Deviations []Deviation `json:"deviations"`
}

// EventLine is one event of a trace.
type EventLine struct {
	Type   string       `json:"type"` // event
	Step   int          `json:"step"`
	At     time.Time    `json:"at"`
	Actor  string       `json:"actor,omitempty"`
	Kind   string       `json:"kind"`
	Op     string       `json:"op,omitempty"`
	Tenant string       `json:"tenant,omitempty"`
	Run    string       `json:"run,omitempty"`
	N      int64        `json:"n"`
	Text   string       `json:"text,omitempty"`
	Job    string       `json:"job,omitempty"`
	State  *trace.State `json:"state,omitempty"`
}

// SituationLine says in how many worlds a situation was met.
type SituationLine struct {
	Type   string `json:"type"` // situation
	Name   string `json:"name"`
	Worlds int64  `json:"worlds"`
}

// Situations writes a line for each situation.
func (l Lines) Situations(met *oracle.Situations) error {
	for i, worlds := range met {
		if err := l.Write(SituationLine{"situation", oracle.Situation(i).String(), worlds}); err != nil {
			return err
		}
	}
	return nil
}

// Violation writes the line of a case in which a rule did not hold.
func (l Lines) Violation(c *Case) error {
	v := c.Result.Violation
	return l.Write(ViolationLine{
		Type: "violation", Rule: v.Rule.String(), Words: v.Rule.Words(), Text: v.Text, Step: v.Step,
		Token: c.Token, Command: c.Command, Changed: c.Changed, Deviations: Deviations(&c.Result),
	})
}

// Events writes a line for each event up to a step.
func (l Lines) Events(c *Case, upto int) error {
	for i := range c.Result.Events {
		e := &c.Result.Events[i]
		if upto >= 0 && e.Step > upto {
			return nil
		}
		line := EventLine{
			Type: "event", Step: e.Step, At: e.At, Kind: e.Kind.String(), Op: e.Op.String(),
			Tenant: string(e.Tenant), Run: string(e.Run), N: e.N, Text: e.Text, Job: e.Job, State: e.State,
		}
		if e.Actor != trace.NoActor {
			line.Actor = actorName(&c.Result, int(e.Actor))
		}
		if err := l.Write(line); err != nil {
			return err
		}
	}
	return nil
}
