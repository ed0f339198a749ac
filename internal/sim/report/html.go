package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var page = template.Must(template.New("page").Parse(pageHTML))

// pageData is what the page's script draws.
type pageData struct {
	Story      Story       `json:"story"`
	Deviations []Deviation `json:"deviations"`
	Violation  int         `json:"violation"` // row; -1 if every rule held
}

// HTML writes a page about a case that needs nothing else: no network, no server,
// no other file.
func HTML(to io.Writer, c *Case) error {
	data := pageData{Story: Tell(&c.Result), Deviations: Deviations(&c.Result), Violation: -1}
	for i := range data.Story.Rows {
		if data.Story.Rows[i].Kind == Broken {
			data.Violation = i
		}
	}
	var text strings.Builder
	if err := Text(&text, c, All); err != nil {
		return err
	}
	rule, words, found := "", "", ""
	if v := c.Result.Violation; v != nil {
		rule, words, found = v.Rule.String(), v.Rule.Words(), v.Text
	}
	return page.Execute(to, map[string]any{
		"CSS":          template.CSS(pageCSS), //nolint:gosec // our own file
		"JS":           template.JS(pageJS),   //nolint:gosec // our own file
		"Data":         data,
		"Title":        c.title(),
		"Rule":         rule,
		"Words":        words,
		"Found":        found,
		"Steps":        c.Result.Steps,
		"Note":         c.Note,
		"Changed":      c.Changed,
		"Command":      c.Command,
		"Scene":        Scene(c.Scenario),
		"DefaultOrder": DefaultOrder,
		"Deviations":   data.Deviations,
		"Stack":        c.Result.Stack,
		"Text":         text.String(),
	})
}
