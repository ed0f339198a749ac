package watermillqueue

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// indexes are files' indexes, written as a text of ranges: "0-249,300,302-305".
type indexes []int

// mostIndexes bounds what a text may stand for, since two numbers can say anything.
const mostIndexes = 1_000_000

func (x indexes) String() string {
	var text []byte
	for from := 0; from < len(x); {
		to := from
		for to+1 < len(x) && x[to+1] == x[to]+1 {
			to++
		}
		if from > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(x[from]), 10)
		if to > from {
			text = append(text, '-')
			text = strconv.AppendInt(text, int64(x[to]), 10)
		}
		from = to + 1
	}
	return string(text)
}

// MarshalJSON implements json.Marshaler.
func (x indexes) MarshalJSON() ([]byte, error) { return json.Marshal(x.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (x *indexes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	var all indexes
	for part := range strings.SplitSeq(text, ",") {
		first, last, several := strings.Cut(part, "-")
		from, err := strconv.ParseUint(first, 10, 31)
		if err != nil {
			return fmt.Errorf("files %q: %w", part, err)
		}
		to := from
		if several {
			if to, err = strconv.ParseUint(last, 10, 31); err != nil {
				return fmt.Errorf("files %q: %w", part, err)
			}
		}
		if to < from || to-from >= mostIndexes-uint64(len(all)) {
			return fmt.Errorf("files %q are out of range", part)
		}
		for ; from <= to; from++ {
			all = append(all, int(from))
		}
	}
	*x = all
	return nil
}
