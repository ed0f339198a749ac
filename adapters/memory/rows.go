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

// reset empties them and keeps their memory.
func (r *rows[K, R]) reset() {
	clear(r.list)
	r.list = r.list[:0]
	clear(r.at)
}
