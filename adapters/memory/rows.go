package memory

// rows are rows by key. They are kept in one list, because a map allocates for each
// row of more than 128 bytes.
type rows[K comparable, R any] struct {
	list []R
	at   map[K]int
}

// get gives the row of a key, or nil. It is good until the next put.
func (r *rows[K, R]) get(key K) *R {
	if at, ok := r.at[key]; ok {
		return &r.list[at]
	}
	return nil
}

func (r *rows[K, R]) put(key K, row *R) {
	if old := r.get(key); old != nil {
		*old = *row
		return
	}
	if r.at == nil {
		r.at = make(map[K]int)
	}
	r.at[key] = len(r.list)
	r.list = append(r.list, *row)
}

// removeIf removes up to limit of the rows that are unwanted, and says how many.
func (r *rows[K, R]) removeIf(limit int, unwanted func(*R) bool) (removed int) {
	keys := make([]K, len(r.list))
	for key, at := range r.at {
		keys[at] = key
	}
	kept := 0
	for at, key := range keys {
		if removed < limit && unwanted(&r.list[at]) {
			delete(r.at, key)
			removed++
			continue
		}
		r.list[kept], r.at[key] = r.list[at], kept
		kept++
	}
	clear(r.list[kept:])
	r.list = r.list[:kept]
	return removed
}

// reset empties them and keeps their memory.
func (r *rows[K, R]) reset() {
	clear(r.list)
	r.list = r.list[:0]
	clear(r.at)
}
