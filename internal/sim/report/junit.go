package report

import (
	"encoding/xml"
	"io"
)

// Suite is a group of checks in a JUnit file. There are no times in it, so that
// equal campaigns give equal files.
type Suite struct {
	Name  string
	Tests []Test
}

// Test is one check; Failure is empty if it passed, Skipped if it was made.
type Test struct {
	Name    string
	Failure string // in a sentence
	Details string // of a failure
	Skipped string // why it was not made
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Skipped *junitSkipped `xml:"skipped,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Details string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// JUnit writes suites as the XML that CI systems read.
func JUnit(to io.Writer, suites []Suite) error {
	var out junitSuites
	for _, s := range suites {
		suite := junitSuite{Name: s.Name, Tests: len(s.Tests)}
		for _, t := range s.Tests {
			c := junitCase{Class: "sim." + s.Name, Name: t.Name}
			switch {
			case t.Failure != "":
				suite.Failures++
				c.Failure = &junitFailure{Message: t.Failure, Details: t.Details}
			case t.Skipped != "":
				suite.Skipped++
				c.Skipped = &junitSkipped{Message: t.Skipped}
			}
			suite.Cases = append(suite.Cases, c)
		}
		out.Suites = append(out.Suites, suite)
	}
	if _, err := io.WriteString(to, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(to)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(to, "\n")
	return err
}
