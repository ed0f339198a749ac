package report

import (
	"fmt"
	"strings"

	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// DefaultOrder says what a schedule is without its deviations.
const DefaultOrder = "By default an actor goes on until it waits or is done, then the next one after it that can; " +
	"the first message comes first, nothing fails, and time passes only when everybody sleeps."

// Deviation is one choice that was not the default one.
type Deviation struct {
	Step int    `json:"step"`
	Text string `json:"text"`
}

// Deviations says in words where a trace is not the default one.
func Deviations(r *world.Result) []Deviation {
	list := make([]Deviation, 0, len(r.Deviations))
	for i, d := range r.Deviations {
		said := Deviation{Text: deviation(r, d)}
		if i < len(r.DeviatedAt) {
			said.Step = r.DeviatedAt[i]
		}
		list = append(list, said)
	}
	return list
}

func deviation(r *world.Result, d sched.Deviation) string {
	who := actorName(r, int(d.Actor))
	switch d.Kind {
	case sched.Next:
		return fmt.Sprintf("%s goes on, not %s", actorName(r, int(d.Value)), who)
	case faults.OrderChoice:
		return fmt.Sprintf("%s gets message %d of those that wait, not the first", who, d.Value+1)
	case faults.CrashFault:
		return fmt.Sprintf("the process of %s dies before it goes on", who)
	case faults.ClockFault:
		return fmt.Sprintf("before %s goes on: %s", who, faults.Words(d.Kind, int(d.Value)))
	default:
		return fmt.Sprintf("%s: %s", who, faults.Words(d.Kind, int(d.Value)))
	}
}

func actorName(r *world.Result, actor int) string {
	if actor < len(r.Actors) {
		return r.Actors[actor]
	}
	return fmt.Sprintf("actor %d", actor)
}

// Scene says in lines what a scenario is about, as far as somebody asks for it.
func Scene(s *world.Scenario) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	used := usedBy(s)
	add("It begins on %s.", s.Start.Format("2006-01-02 15:04:05"))
	for n, t := range s.Tenants {
		if used.tenants[n] {
			add("Tenant %s has %d credits a month and %d purchased.", t.ID, t.Allowance, t.Purchased)
		}
	}
	for n, t := range s.Templates {
		if used.templates[n] {
			add("Template %s of %s costs %d a file, %s.", t.ID, s.Tenants[t.Tenant].ID, t.Price, t.Mode)
		}
	}
	for n, r := range s.Runs {
		if used.runs[n] {
			add("Run %d applies %s to %s, maxRetryCount %d%s.", n, s.Templates[r.Template].ID, count(r.Files, "file"), r.MaxRetryCount, history(r))
		}
	}
	for n, script := range s.Users {
		var ops []string
		for i := range script {
			if op := &script[i]; !op.Dropped && !op.Filler {
				ops = append(ops, operation(s, op))
			}
		}
		if len(ops) > 0 {
			add("user-%d: %s.", n, strings.Join(ops, ", then "))
		}
	}
	return append(lines, servers(s))
}

// parts are places in a scenario.
type parts struct{ tenants, templates, runs map[int]bool }

// usedBy finds what users ask for.
func usedBy(s *world.Scenario) parts {
	p := parts{map[int]bool{}, map[int]bool{}, map[int]bool{}}
	template := func(n int) {
		p.templates[n], p.tenants[s.Templates[n].Tenant] = true, true
	}
	for _, script := range s.Users {
		for i := range script {
			op := &script[i]
			if op.Dropped || op.Filler {
				continue
			}
			switch op.Kind {
			case world.Initiate, world.Continue, world.Cancel, world.Raise, world.Preview, world.Refund:
				p.runs[op.Run] = true
				template(s.Runs[op.Run].Template)
			case world.Reprice, world.Delete, world.Edit, world.Break, world.Mend:
				template(op.Template)
			case world.Stop, world.Enroll:
			case world.Purchase, world.Audit, world.Bulk, world.Suspend, world.Reopen:
				p.tenants[op.Tenant] = true
			}
		}
	}
	return p
}

// past says how a run's files ended before the world begins.
func history(r world.Run) string {
	var attempts []string
	for _, ends := range r.History {
		var files []string
		for _, status := range ends[:min(len(ends), r.Files)] {
			files = append(files, string(status))
		}
		attempts = append(attempts, strings.Join(files, ", "))
	}
	if len(attempts) == 0 {
		return ""
	}
	return "; it was worked on before: " + strings.Join(attempts, ", then ")
}

func servers(s *world.Scenario) string {
	late := ""
	if s.RecoverLate {
		late = ", beginning when faults stop,"
	}
	text := fmt.Sprintf("%s, %s%s and %s.", count(len(s.Servers), "server"),
		count(s.Recoverers, "recovery loop"), late, count(s.Refillers, "refill"))
	for n := range s.Servers {
		text += " " + server(n, &s.Servers[n])
	}
	if s.Ahead > 0 {
		text += fmt.Sprintf(" The clock of server %d is hours ahead until faults stop.", s.Ahead-1)
	}
	if s.Unlucky > 0 && s.Refillers > 0 {
		text += fmt.Sprintf(" The refill cannot read tenant %s.", s.Tenants[s.Unlucky-1].ID)
	}
	if s.Early {
		text += " Results of batch jobs are recorded as they come."
	}
	if s.Breaker {
		text += " Workers keep jobs back while a fault of the operator's lasts."
	}
	if s.Unmended {
		text += " It is never mended."
	}
	return text
}

// server says how one server works.
func server(n int, s *world.Server) string {
	switch {
	case s.Dropped:
		return fmt.Sprintf("Server %d works on no jobs.", n)
	case s.Old:
		return fmt.Sprintf("Server %d is of the release before until it ends.", n)
	case s.Simple:
		return fmt.Sprintf("Server %d works without a scheduler, one job after the other.", n)
	}
	text := fmt.Sprintf("Server %d executes %s at once", n, count(s.Concurrency, "job"))
	if s.TenantLimit > 0 {
		text += fmt.Sprintf(", %d of a tenant", s.TenantLimit)
	}
	if s.TemplateLimit > 0 {
		text += fmt.Sprintf(", %d of a template", s.TemplateLimit)
	}
	return text + "."
}

func operation(s *world.Scenario, op *world.Op) string {
	text := op.Kind.String()
	switch op.Kind {
	case world.Initiate, world.Continue, world.Cancel, world.Preview:
		text += fmt.Sprintf(" run %d", op.Run)
	case world.Raise:
		text += fmt.Sprintf(" maxRetryCount of run %d", op.Run)
	case world.Reprice:
		text += fmt.Sprintf(" %s to %d", s.Templates[op.Template].ID, op.Amount)
	case world.Delete, world.Mend:
		text += fmt.Sprintf(" %s", s.Templates[op.Template].ID)
	case world.Edit:
		text += fmt.Sprintf(" the instructions of %s", s.Templates[op.Template].ID)
	case world.Break:
		text = fmt.Sprintf("a fault of the operator's breaks %s", s.Templates[op.Template].ID)
	case world.Enroll:
		text += " a new tenant"
	case world.Purchase:
		text += fmt.Sprintf(" %d for %s", op.Amount, s.Tenants[op.Tenant].ID)
	case world.Stop:
		text = fmt.Sprintf("stop server %d", op.Server)
	case world.Bulk:
		text += fmt.Sprintf(" of %s", s.Tenants[op.Tenant].ID)
	case world.Refund:
		text += fmt.Sprintf(" a charge of run %d by hand", op.Run)
	case world.Audit, world.Suspend, world.Reopen:
		text += fmt.Sprintf(" %s", s.Tenants[op.Tenant].ID)
	}
	if op.Early {
		text += " without waiting"
	}
	if op.AtWork {
		text += " when a result of it was recorded early"
	}
	switch op.Accepts {
	case world.AnyPrice:
	case world.PriceOfNow:
		text += " for the price of then at most"
	case world.FirstPrice:
		text += " for what the template cost at first at most"
	}
	if op.Key != "" {
		text += fmt.Sprintf(" under %s", op.Key)
	}
	if op.Foreign {
		text += " as another tenant's admin"
	}
	return text
}
