package main

import (
	"errors"
	"os"

	"github.com/redrive/redrive/internal/sim/report"
)

type replayCmd struct {
	tokenFlag

	Step int  `default:"-1" placeholder:"N" help:"Show the trace up to this step, and what is committed then beside what the model says."`
	JSON bool `name:"json" help:"Write lines of JSON: the violation, and every event."`
}

// Run plays a token again.
func (c *replayCmd) Run(to streams) error {
	token, err := c.read()
	if err != nil {
		return err
	}
	played, err := caseOf(token, to, replaying(token))
	if err != nil {
		return err
	}
	return showCase(to, played, c.Step, c.JSON)
}

// showCase writes a case; a violation is what the command ends with.
func showCase(to streams, c *report.Case, upto int, lines bool) (err error) {
	if lines {
		w := report.NewLines(to.out)
		if c.Result.Violation != nil {
			err = w.Violation(c)
		}
		err = errors.Join(err, w.Events(c, upto))
	} else {
		err = report.Text(to.out, c, upto)
	}
	if err == nil && c.Result.Violation != nil {
		err = ends(exitViolation, "a rule was violated")
	}
	return err
}

type explainCmd struct {
	tokenFlag

	HTML string `name:"html" required:"" placeholder:"FILE" help:"Where the page is written."`
}

// Run writes the page about a token.
func (c *explainCmd) Run(to streams) error {
	token, err := c.read()
	if err != nil {
		return err
	}
	played, err := caseOf(token, to, replaying(token))
	if err != nil {
		return err
	}
	return writePage(c.HTML, played)
}

// writePage writes the HTML page about a case.
func writePage(path string, c *report.Case) (err error) {
	file, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return report.HTML(file, c)
}
