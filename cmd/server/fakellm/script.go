package fakellm

import "strings"

// Script gives the answer of each request. Many goroutines may call it at once. A nil
// Script answers every request with Summary.
type Script func(Request) Action

// Always answers every request in the same way.
func Always(a Action) Script { return func(Request) Action { return a } }

// Rule is the answer for some requests. An empty condition holds for all.
type Rule struct {
	File     string // the whole name of the file
	Contains string // a part of the file's text
	From     int    // it applies from this request for the file on; 0: from the first
	To       int    // up to this request; 0: no end
	Do       Action
}

func (r Rule) matches(in Request) bool {
	return (r.File == "" || r.File == in.File) &&
		strings.Contains(in.Text, r.Contains) &&
		in.Seen >= r.From && (r.To == 0 || in.Seen <= r.To)
}

// Rules answers by the first rule that matches, else with Summary.
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
