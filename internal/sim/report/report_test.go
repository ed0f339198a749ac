package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

func TestText(t *testing.T) {
	t.Parallel()
	for name, upto := range map[string]int{"violation.txt": report.All, "step.txt": 6} {
		var out bytes.Buffer
		require.NoError(t, report.Text(&out, fixture(), upto))
		golden(t, name, out.String())
	}
}

func TestTextOfDefaultTraceOfOtherCode(t *testing.T) {
	t.Parallel()
	c := fixture()
	c.Result.Violation, c.Result.Deviations, c.Changed = nil, nil, true
	var out bytes.Buffer
	require.NoError(t, report.Text(&out, c, report.All))
	require.Contains(t, out.String(), "Every rule held in 12 steps.")
	require.Contains(t, out.String(), "other code")
	require.Contains(t, out.String(), "This trace is the default one.")
}

func TestState(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, report.State(&out, state(10, 5, 10, "completed 0/1")))
	golden(t, "state.txt", out.String())
}

// A trace of a world that never heals is folded.
func TestLongTraceIsFolded(t *testing.T) {
	t.Parallel()
	c := fixture()
	for range 7 {
		c.Result.Events = append(c.Result.Events, c.Result.Events...)
	}
	var out bytes.Buffer
	report.Table(&out, &c.Result, report.All)
	require.Regexp(t, `\d{3,} rows are left out here`, out.String())
}

func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	lines, c := report.NewLines(&out), fixture()
	require.NoError(t, lines.Violation(c))
	require.NoError(t, lines.Events(c, report.All))
	golden(t, "violation.ndjson", out.String())
	for line := range strings.Lines(out.String()) {
		var read struct{ Type string }
		require.NoError(t, json.Unmarshal([]byte(line), &read))
		require.NotEmpty(t, read.Type)
	}

	var some bytes.Buffer
	require.NoError(t, report.NewLines(&some).Events(c, 2))
	require.Equal(t, 4, strings.Count(some.String(), "\n"), "events of steps 0 to 2")
}

func TestSituationLines(t *testing.T) {
	t.Parallel()
	var met oracle.Situations
	met[oracle.MonthEnded] = 3
	var out bytes.Buffer
	require.NoError(t, report.NewLines(&out).Situations(&met))
	require.Equal(t, oracle.SituationCount, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), `{"type":"situation","name":"month ended","worlds":3}`)
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, report.JUnit(&out, []report.Suite{
		{Name: "rules", Tests: []report.Test{{Name: "I1"}, {Name: "I2", Failure: "5 < 10", Details: "step 1 → 2\nend"}}},
		{Name: "situations", Tests: []report.Test{{Name: "month ended", Skipped: "was never met"}}},
	}))
	golden(t, "junit.xml", out.String())
	require.NoError(t, xml.Unmarshal(out.Bytes(), new(struct{})))
}

// storyOf reads the data of a page as its script does.
func storyOf(t *testing.T, page string) (data struct {
	Story      report.Story
	Deviations []report.Deviation
	Violation  int
},
) {
	t.Helper()
	found := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	require.Len(t, found, 2)
	require.NoError(t, json.Unmarshal([]byte(found[1]), &data))
	return data
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, report.HTML(&out, fixture()))
	page := out.String()
	require.NotRegexp(t, `(?i)(src|href)="?(https?:)?//|@import|url\(\s*['"]?(https?:)?//`, page)
	require.Contains(t, page, "default-src 'none'")
	require.Equal(t, 2, strings.Count(page, "</script>"), "what a trace says ends no script")

	data := storyOf(t, page)
	require.Len(t, data.Deviations, 5)
	require.Equal(t, report.Broken, data.Story.Rows[data.Violation].Kind)
	var again bytes.Buffer
	require.NoError(t, report.HTML(&again, fixture()))
	require.Equal(t, page, again.String())
}

func TestStory(t *testing.T) {
	t.Parallel()
	c := fixture()
	story := report.Tell(&c.Result)
	told, err := json.MarshalIndent(story, "", "  ")
	require.NoError(t, err)
	golden(t, "story.json", string(told)+"\n")

	var names []string
	for _, l := range story.Lanes {
		names = append(names, fmt.Sprintf("%s/%d idle=%v", l.Name, l.Process, l.Idle))
	}
	require.Equal(t, []string{
		"user-0/-1 idle=false", "for user-0/0 idle=false", "worker-0/0 idle=false", "recovery-0/1 idle=true",
	}, names)

	lost, again, stub := 0, 0, 0
	for _, l := range story.Links {
		switch {
		case l.Lost:
			lost++
			require.Equal(t, report.Fault, story.Rows[l.To].Kind)
		case l.Again:
			again++
		case l.To < 0:
			stub++
		default:
			require.Equal(t, report.Send, story.Rows[l.From].Kind)
			require.Equal(t, report.Deliver, story.Rows[l.To].Kind)
		}
	}
	require.Equal(t, [3]int{1, 1, 1}, [3]int{lost, again, stub}, "lost, delivered again, never delivered")
}

// Every fault has words: a deviation without any would be a riddle.
func TestEveryDeviationHasWords(t *testing.T) {
	t.Parallel()
	r := world.Result{Actors: []string{"user-0", "user-1"}}
	for _, k := range faults.Kinds() {
		for v := 1; v < max(2, faults.Alternatives[k]); v++ {
			r.Deviations = []sched.Deviation{{Point: sched.Point{Kind: k}, Value: uint8(v)}}
			text := report.Deviations(&r)[0].Text
			require.NotRegexp(t, `: $|^$`, text, "%s %d", faults.KindName(k), v)
		}
	}
}
