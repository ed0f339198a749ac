package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/report"
)

// tokenFlag is a token, or a file that has one in it.
type tokenFlag struct {
	Token string `arg:"" name:"token" help:"A token, as a failure prints it, or a file with one in it, for example the output of a run."`
}

// tokenIn finds a token in a text.
var tokenIn = regexp.MustCompile(`\bsim[0-9]+\.[0-9A-Za-z]+\.[-_0-9A-Za-z]+`)

// read parses the token. What it is told when it cannot says what to do.
func (f tokenFlag) read() (sim.Token, error) {
	text := f.Token
	content, err := os.ReadFile(f.Token)
	switch {
	case err == nil:
		found := tokenIn.Find(content)
		if found == nil {
			return sim.Token{}, ends(exitUsage, "file %s has no token in it; a token begins with %s.", f.Token, sim.TokenVersion)
		}
		text = string(bytes.TrimSpace(found))
	case !errors.Is(err, os.ErrNotExist) && !tokenIn.MatchString(text):
		return sim.Token{}, ends(exitUsage, "the token cannot be read: %w", err)
	}
	token, err := sim.ParseToken(text)
	if err == nil {
		_, err = token.World()
	}
	if err != nil {
		return sim.Token{}, ends(exitUsage, "%w.\nA token is one word, %s.BUILD.REST, as a failure prints it: copy all of it, "+
			"or give the file that the output was kept in. If another version of the simulator made it, find the violation again with `sim run`", err, sim.TokenVersion)
	}
	return token, nil
}

// caseOf plays a token and says how to play it again. A token of other code is
// pointed out.
func caseOf(t sim.Token, to streams, command string) (*report.Case, error) {
	played, err := sim.ReplayWith(t, to.wrap)
	if err != nil {
		return nil, err
	}
	if played.Changed {
		fmt.Fprintf(to.err, "sim: the token was made by build %s, this is build %s: the code has changed, so the trace may be another one. "+
			"To see what was found, build the commit that found it.\n", t.Build, sim.Build())
	}
	sc, err := t.World()
	if err != nil {
		return nil, err
	}
	return &report.Case{Token: t.String(), Command: command, Changed: played.Changed, Scenario: sc, Result: played.Result}, nil
}

// bugOn is the planted bug that is on, if any.
var bugOn string

// replaying is the command that plays a token again, in the way in which this one
// was started.
func replaying(t sim.Token) string {
	program := os.Args[0]
	if strings.Contains(program, "go-build") || bugOn != "" {
		program = "go run ./cmd/sim"
	}
	if bugOn != "" {
		program += " --planted " + bugOn
	}
	return program + " replay " + t.String()
}
