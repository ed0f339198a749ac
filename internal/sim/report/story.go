package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/internal/sim/world"
)

// Kind is what a row is about; it is also the row's style on the page.
type Kind string

// The kinds of rows.
const (
	Calls    Kind = "calls" // ports that were called, one after the other
	Commit   Kind = "commit"
	Rollback Kind = "rollback"
	Fault    Kind = "fault"
	Send     Kind = "send"
	Deliver  Kind = "deliver"
	Ask      Kind = "ask"
	Answer   Kind = "answer"
	Crash    Kind = "crash"
	Time     Kind = "time"
	Phase    Kind = "phase"
	Broken   Kind = "violation"
)

// Story is a trace as a reader wants it: calls in a row are told together, and
// every actor has its lane.
type Story struct {
	Lanes  []Lane         `json:"lanes"`
	Rows   []Row          `json:"rows"`
	Links  []Link         `json:"links"`
	States []*trace.State `json:"states"`
}

// Lane is where one actor's rows are. A user has one, and another in each process
// that works on its requests.
type Lane struct {
	Name    string `json:"name"`
	Actor   int    `json:"actor"`
	Process int    `json:"process"` // -1: outside all processes
	Idle    bool   `json:"idle"`    // it only looked: nothing that it did had an effect
}

// Row is something that happened.
type Row struct {
	Step    int       `json:"step"`
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Lane    int       `json:"lane"`    // -1: the whole world, or a whole process
	To      int       `json:"to"`      // the other lane of an Ask or Answer; -1 otherwise
	Process int       `json:"process"` // of a Crash; -1 otherwise
	Run     string    `json:"run"`     // that it is about, if any
	Text    string    `json:"text"`
	State   int       `json:"state"` // index in States
	Turn    bool      `json:"turn"`  // the scheduler did not let the one go on who would have by default

	actor int
	last  trace.Op // of Calls
}

// Link is a message on its way from one row to another.
type Link struct {
	From  int    `json:"from"` // row
	To    int    `json:"to"`   // row; -1: it was never delivered
	Job   string `json:"job"`
	Lost  bool   `json:"lost"`  // To is where it was lost
	Again bool   `json:"again"` // it was delivered before
}

// laneKey tells lanes apart while they are not numbered yet.
type laneKey struct{ process, actor int }

// teller makes a Story.
type teller struct {
	result *world.Result
	story  Story
	at     map[laneKey]int // place in story.Lanes
	serves map[int]int     // which process works on a user's request
	sent   map[string]*sending
	turns  map[int]bool // steps of which the default schedule would have made others
	state  int
	jump   string // in words, of the clock
}

// sending is a message that got out.
type sending struct {
	row, deliveries int
	lost            bool
}

// Tell makes the story of a world whose events were recorded.
func Tell(r *world.Result) Story {
	t := teller{
		result: r, at: map[laneKey]int{}, serves: map[int]int{}, sent: map[string]*sending{}, turns: map[int]bool{},
		story: Story{Lanes: []Lane{}, Rows: []Row{}, Links: []Link{}, States: []*trace.State{{}}},
	}
	for i, d := range r.Deviations {
		if d.Kind == sched.Next && i < len(r.DeviatedAt) {
			t.turns[r.DeviatedAt[i]] = true
		}
	}
	for i := range r.Events {
		t.tell(&r.Events[i])
	}
	t.undelivered()
	t.order()
	return t.story
}

func (t *teller) tell(e *trace.Event) {
	if e.State != nil {
		t.story.States = append(t.story.States, e.State)
		t.state++
	}
	actor := int(e.Actor)
	if e.Actor == trace.NoActor {
		actor = -1
	}
	row := Row{Step: e.Step, At: e.At, Lane: t.lane(actor), To: -1, Process: -1, State: t.state, Run: string(e.Run), Text: e.Text, actor: actor}
	switch e.Kind {
	case trace.Call:
		t.call(e, row)
		return
	case trace.Commit:
		if actor < 0 {
			t.setUp(row)
			return
		}
		row.Kind = Commit
	case trace.Rollback:
		row.Kind, row.Text = Rollback, "rolled back: "+e.Text
	case trace.Fault:
		switch sched.Kind(e.N >> 8) {
		case faults.CrashFault:
			return // the crash that follows says so
		case faults.ClockFault:
			t.jump = e.Text // and so does the time
			return
		default:
		}
		row.Kind = Fault
		if e.Job != "" {
			row.Text += " (" + e.Job + ")"
		}
	case trace.Send:
		t.send(e, row)
		return
	case trace.Deliver:
		t.deliver(e, row)
		return
	case trace.Ask:
		row.Kind, row.Text = Ask, asking(e)
		t.serves[actor] = int(e.N & 0xff)
		row.To = t.lane(actor)
	case trace.Answer:
		row.Kind, row.Text = Answer, answering(e)
		delete(t.serves, actor)
		row.To = t.lane(actor)
	case trace.Crash:
		row.Kind, row.Process = Crash, int(e.N)
		row.Text = fmt.Sprintf("process %d dies: its memory is gone", e.N)
		for user, process := range t.serves {
			if process == int(e.N) {
				delete(t.serves, user)
			}
		}
	case trace.Restart:
		return // at once, as a part of Crash
	case trace.Time:
		row.Kind, row.Text = Time, t.jump+": it is "+e.Text
	case trace.Phase:
		row.Kind = Phase
	case trace.Broken:
		row.Kind, row.Text = Broken, oracle.Rule(e.N).String()+": "+e.Text
	}
	t.add(row)
	if k := sched.Kind(e.N >> 8); e.Kind == trace.Fault && k == faults.MessageFault && e.N&0xff == faults.MessageLost {
		if s := t.sent[e.Job]; s != nil {
			s.lost = true
			t.story.Links = append(t.story.Links, Link{From: s.row, To: len(t.story.Rows) - 1, Job: e.Job, Lost: true})
		}
	}
}

// lane finds the lane in which an actor is; -1 for the world.
func (t *teller) lane(actor int) int {
	if actor < 0 {
		return -1
	}
	key := laneKey{t.result.Processes[actor], actor}
	name := t.result.Actors[actor]
	if process, ok := t.serves[actor]; ok {
		key.process = process
		name = "for " + name
	}
	n, ok := t.at[key]
	if !ok {
		n = len(t.story.Lanes)
		t.at[key] = n
		t.story.Lanes = append(t.story.Lanes, Lane{Name: name, Actor: actor, Process: key.process, Idle: true})
	}
	return n
}

func (t *teller) add(r Row) {
	r.Turn = t.turns[r.Step]
	if r.Turn {
		delete(t.turns, r.Step) // the step's first row alone
	}
	if r.Kind != Calls && r.Lane >= 0 {
		t.story.Lanes[r.Lane].Idle = false
		if r.To >= 0 {
			t.story.Lanes[r.To].Idle = false
		}
	}
	t.story.Rows = append(t.story.Rows, r)
}

// call tells calls of one actor together, as long as nobody comes between.
func (t *teller) call(e *trace.Event, row Row) {
	row.Kind, row.Text, row.last = Calls, e.Op.String(), e.Op
	switch e.Op {
	case trace.CommitTx:
		return // the row of the commit says so
	case trace.Sleep:
		row.Text = "slept " + time.Duration(e.N).String()
	default:
	}
	if n := len(t.story.Rows); n > 0 && !t.turns[e.Step] {
		if last := &t.story.Rows[n-1]; last.Kind == Calls && last.Lane == row.Lane && last.At.Equal(row.At) {
			if last.last == e.Op {
				return // once more
			}
			last.Text += ", " + row.Text
			last.last = e.Op
			last.Run = cmp.Or(last.Run, row.Run)
			return
		}
	}
	t.add(row)
}

// setUp tells together what is there before anybody acts.
func (t *teller) setUp(row Row) {
	row.Kind, row.Text = Phase, "tenants, credits and templates are there"
	if n := len(t.story.Rows); n > 0 && t.story.Rows[n-1].Kind == Phase {
		t.story.Rows[n-1].State = row.State
		return
	}
	t.add(row)
}

func (t *teller) send(e *trace.Event, row Row) {
	row.Kind, row.Text = Send, "sends "+e.Job
	if n := len(t.story.Rows); n > 0 && t.story.Rows[n-1].Kind == Send && t.story.Rows[n-1].Lane == row.Lane {
		t.story.Rows[n-1].Text += ", " + e.Job
	} else {
		t.add(row)
	}
	t.sent[e.Job] = &sending{row: len(t.story.Rows) - 1}
}

func (t *teller) deliver(e *trace.Event, row Row) {
	row.Kind, row.Text = Deliver, "gets "+e.Job
	if n := len(t.story.Rows); n > 0 && t.story.Rows[n-1].Kind == Deliver && t.story.Rows[n-1].Lane == row.Lane {
		t.story.Rows[n-1].Text += ", " + e.Job
	} else {
		t.add(row)
	}
	if s := t.sent[e.Job]; s != nil {
		t.story.Links = append(t.story.Links, Link{From: s.row, To: len(t.story.Rows) - 1, Job: e.Job, Again: s.deliveries > 0})
		s.deliveries++
	}
}

// undelivered links what was sent and never arrived.
func (t *teller) undelivered() {
	for job, s := range t.sent {
		if s.deliveries == 0 && !s.lost {
			t.story.Links = append(t.story.Links, Link{From: s.row, To: -1, Job: job})
		}
	}
	slices.SortStableFunc(t.story.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), strings.Compare(a.Job, b.Job))
	})
}

// order puts users first, and then the processes with what runs in them.
func (t *teller) order() {
	lanes := t.story.Lanes
	sorted := slices.Clone(lanes)
	slices.SortFunc(sorted, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.Actor, b.Actor))
	})
	place := func(old int) int {
		if old < 0 {
			return old
		}
		return slices.IndexFunc(sorted, func(l Lane) bool {
			return l.Process == lanes[old].Process && l.Actor == lanes[old].Actor
		})
	}
	for i := range t.story.Rows {
		r := &t.story.Rows[i]
		r.Lane, r.To = place(r.Lane), place(r.To)
	}
	t.story.Lanes = sorted
}

func asking(e *trace.Event) string {
	text := "asks to " + e.Text
	if e.Run != "" {
		text += " " + string(e.Run)
	}
	return text
}

// answering: an empty text is a success, and the event's N is the length of a
// refusal's code; what is neither is a fault.
func answering(e *trace.Event) string {
	switch {
	case e.Text == "":
		return "done"
	case e.N > 0:
		return "refused: " + e.Text
	default:
		return "no answer: " + e.Text
	}
}
