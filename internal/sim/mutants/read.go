package mutants

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed bugs/*.txt
var tables embed.FS

// groups are the tables in the order that numbers the bugs.
var groups = [...]string{
	"money", "retry", "dispatch", "work", "recovery", "request", "store", "equivalent", "interruption", "early", "price",
	"tenant", "page", "scheduler", "message", "together", "outbox", "webhook", "bulk", "administration", "resume",
}

// Bugs lists all bugs, equivalent ones included. A bug's number is its place, from 1.
func Bugs() []Bug { return append([]Bug(nil), bugs()...) }

// bugs panics on a table that cannot be read: it is part of the program.
var bugs = sync.OnceValue(func() (list []Bug) {
	for _, group := range groups {
		text, err := tables.ReadFile("bugs/" + group + ".txt")
		if err == nil {
			list, err = read(list, string(text))
		}
		if err != nil {
			panic(fmt.Errorf("planted bugs of %s: %w", group, err))
		}
	}
	return list
})

// read adds the bugs of a table, whose form package documentation tells.
func read(list []Bug, text string) ([]Bug, error) {
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if word, rest, _ := strings.Cut(line, " "); word == "bug" {
			list = append(list, Bug{Name: rest})
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("line %d is before the first bug: %q", n+1, line)
		}
		if err := list[len(list)-1].take(line); err != nil {
			return nil, fmt.Errorf("line %d, of bug %s: %w", n+1, list[len(list)-1].Name, err)
		}
	}
	return list, nil
}

// take adds what a line says of a bug.
func (b *Bug) take(line string) error {
	if strings.ContainsRune("-+<>", rune(line[0])) {
		if len(b.Edits) == 0 {
			return fmt.Errorf("%q is in no file", line)
		}
		return b.Edits[len(b.Edits)-1].take(line[0], line[1:])
	}
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "what":
		b.What = rest
	case "mirrors":
		b.Mirrors = rest
	case "equivalent":
		b.Equivalent = rest
	case "test":
		folder, name, _ := strings.Cut(rest, " ")
		b.Test = &Test{Package: folder, Name: name}
	case "file":
		b.Edits = append(b.Edits, Edit{File: rest})
	case "import":
		if len(b.Edits) == 0 {
			return fmt.Errorf("%q is in no file", line)
		}
		b.Edits[len(b.Edits)-1].Import = rest
	default:
		return fmt.Errorf("%q is not known", word)
	}
	return nil
}

// take adds a line of an edit: - and + are whole lines, < and > a part of one or of several.
func (e *Edit) take(sign byte, line string) error {
	switch sign {
	case '-', '<':
		if e.New != "" {
			return fmt.Errorf("%q comes after what replaces it; another edit begins with its file", line)
		}
		e.Old = joined(e.Old, sign == '-', line)
	default:
		if whole := strings.HasSuffix(e.Old, "\n"); e.Old == "" || whole != (sign == '+') {
			return fmt.Errorf("%q replaces nothing: + replaces lines of -, and > those of <", line)
		}
		e.New = joined(e.New, sign == '+', line)
	}
	return nil
}

// joined adds a line to a text. What was there has a line end of its own.
func joined(text string, whole bool, line string) string {
	switch {
	case whole && line == "{old}":
		return text + line
	case whole:
		return text + line + "\n"
	case text != "":
		return text + "\n" + line
	}
	return line
}
