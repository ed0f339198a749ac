package fakellm

import "strings"

// Script says how each request is answered. It is called by many goroutines at
// once. A nil Script answers everything with Summary.
type Script func(Request) Action

// Always answers every request in the same way.
func Always(a Action) Script { return func(Request) Action { return a } }

// Rule says what happens to some requests. An empty condition holds for all.
type Rule struct {
	File     string // the whole name of the file
	Contains string // a part of the file's text
	From     int    // the first time that the file is seen to which this applies; 0: the first
	To       int    // the last time; 0: for ever
	Do       Action
}

func (r Rule) matches(in Request) bool {
	return (r.File == "" || r.File == in.File) &&
		strings.Contains(in.Text, r.Contains) &&
		in.Seen >= r.From && (r.To == 0 || in.Seen <= r.To)
}

// Rules does what the first rule that matches says, else answers with Summary.
func Rules(rules ...Rule) Script {
	return func(in Request) Action {
		for _, r := range rules {
			if r.matches(in) {
				return r.Do
			}
		}
		return OK()
	}
}
