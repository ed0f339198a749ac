package webui

import (
	"net/http"

	"github.com/redrive/redrive/core"
)

// The components of the design system that have several fields. Their templates are in
// html/components.html, and GET /ui/components shows them all.

// Tone is the meaning of a colour and a sign.
type Tone string

// The tones.
const (
	ToneNeutral Tone = "neutral"
	ToneBusy    Tone = "busy"
	ToneGood    Tone = "good"
	ToneWarn    Tone = "warn"
	ToneBad     Tone = "bad"
	ToneInfo    Tone = "info"
)

// Icon is the sign of a tone, so that the colour is never the only mark.
func (t Tone) Icon() string {
	return map[Tone]string{
		ToneNeutral: "dot", ToneBusy: "busy", ToneGood: "check", ToneWarn: "alert", ToneBad: "cross", ToneInfo: "info",
	}[t]
}

// Badge is a status in words, colour and sign.
type Badge struct {
	Text string
	Tone Tone
}

// Bar is a progress bar of several parts.
type Bar struct {
	Label    string // the bar in words
	Segments []Segment
}

// Segment is one part of a bar, in percent.
type Segment struct {
	X, Width float64
	Tone     Tone
}

type barPart struct {
	N    int
	Tone Tone
}

// newBar divides a bar by counts, in the order given.
func newBar(label string, total int, parts ...barPart) Bar {
	b := Bar{Label: label}
	x := 0.0
	for _, p := range parts {
		if p.N == 0 || total == 0 {
			continue
		}
		width := 100 * float64(p.N) / float64(total)
		b.Segments = append(b.Segments, Segment{X: x, Width: width, Tone: p.Tone})
		x += width
	}
	return b
}

// Notice is a message about an action or a state.
type Notice struct {
	Tone Tone
	Text string
	More string
	URL  string // with LinkText
	Link string
}

// Field is a labelled input with its hint and its error.
type Field struct {
	Name, Label, Hint, Error, Value string
	Type                            string // of the input; empty: text
	Rows                            int    // above 0: a text area
	Required                        bool
	Min, Max                        string
	Mono                            bool
}

// Tab is one of several views of the same thing.
type Tab struct {
	Text, URL string
	Count     string
	Current   bool
}

// Pager has the links between the pages of a list.
type Pager struct {
	Text                         string
	First, Previous, Next        string // addresses; empty: there is none
	FirstText, PrevText, NxtText string
	Label                        string
}

// Empty is what an empty list shows.
type Empty struct{ Icon, Title, Text, URL, Link string }

// Confirm is a button that asks for confirmation before an action that cannot be undone,
// without a dialog or a script.
type Confirm struct {
	Open, Text, Do, Action string
	Tone                   Tone
}

func (l language) pager(text, first, previous, next string) Pager {
	return Pager{
		Text: text, First: first, Previous: previous, Next: next, Label: l.T("pager.label"),
		FirstText: l.T("pager.first"), PrevText: l.T("pager.previous"), NxtText: l.T("pager.next"),
	}
}

// componentsPage is GET /ui/components: the design system on one page.
func (u *ui) componentsPage(w http.ResponseWriter, r *request) error {
	tally := core.Tally{Unfinished: 2, Completed: 5, Failed: 2, Error: 1}
	type sample struct {
		Badges  []Badge
		Bar     Bar
		Notices []Notice
		Fields  []Field
		Tabs    []Tab
		Pager   Pager
		Empty   Empty
		Confirm Confirm
		Long    string
		RTL     string
		Time    Moment
	}
	s := sample{
		Bar:   r.tallyBar(tally, true),
		Pager: r.pager(r.T("files.range", 101, 200, 10000), "#", "#", "#"),
		Empty: Empty{Icon: "runs", Title: r.T("runs.empty.title"), Text: r.T("runs.empty.text"), URL: "#", Link: r.T("runs.empty.link")},
		Confirm: Confirm{
			Open: r.T("cancel.open"), Text: r.T("cancel.text"), Do: r.T("cancel.do"), Action: Prefix + "preferences", Tone: ToneBad,
		},
		Tabs: []Tab{
			{Text: r.T("files.all"), URL: "#", Count: r.N(10), Current: true},
			{Text: r.T("file.status.failed"), URL: "#", Count: r.N(2)},
			{Text: r.T("file.status.completed"), URL: "#", Count: r.N(5)},
		},
		Fields: []Field{
			{Name: "a", Label: r.T("template.name"), Hint: r.T("template.name.hint"), Value: "Summarise"},
			{Name: "b", Label: r.T("new.retries"), Type: "number", Value: "11", Min: "1", Max: "10", Error: r.T("new.retries.wrong", 10)},
			{Name: "c", Label: r.T("template.instructions"), Rows: 3, Hint: r.T("template.instructions.hint")},
		},
		Long: "a-very-long-file-name-" + "that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-until-it-has-to-be-broken-somewhere.txt",
		RTL:  "تقرير الربع الثالث.txt",
		Time: r.Time(u.now()),
	}
	for _, t := range []Tone{ToneInfo, ToneGood, ToneWarn, ToneBad} {
		s.Notices = append(s.Notices, Notice{Tone: t, Text: r.T("notice.price_changed"), More: r.T("notice.nothing_charged")})
	}
	for _, st := range []core.RunStatus{core.RunRunning, core.RunCompleted, core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted} {
		s.Badges = append(s.Badges, r.runBadge(st))
	}
	return u.render(w, r, http.StatusOK, "gallery.html", page{Title: r.T("gallery.title"), Nav: "components", Bare: !r.signedIn(), Broad: true, Data: s})
}
