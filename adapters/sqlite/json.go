package sqlite

import "encoding/json"

// jsonWords is a list of words for json_each. They may be whatever callers ask for: what is
// not text is not among them, since no row has it.
func jsonWords[T ~string](list []T) string {
	words := make([]string, 0, len(list))
	for _, w := range list {
		if isText(string(w)) {
			words = append(words, string(w))
		}
	}
	b, err := json.Marshal(words)
	if err != nil {
		panic(err) // a list of strings is JSON
	}
	return string(b)
}
