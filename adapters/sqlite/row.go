package sqlite

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redrive/redrive/ports"
)

// row is one row of a result, whose columns are taken one after the other. The tables are
// STRICT, so a column of another kind is a mistake in a statement of ours: err.
type row struct {
	values []driver.Value
	next   int
	err    error
}

func (r *row) take() driver.Value {
	v := r.values[r.next]
	r.next++
	return v
}

func (r *row) wrong(v driver.Value, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("sqlite: column %d is a %T and not %s", r.next, v, want)
	}
}

// text takes a column of text; NULL is the empty string.
func (r *row) text() string {
	switch v := r.take().(type) {
	case string:
		return v
	case nil:
		return ""
	default:
		r.wrong(v, "text")
		return ""
	}
}

// number takes a column of integers; NULL is 0.
func (r *row) number() int64 {
	switch v := r.take().(type) {
	case int64:
		return v
	case nil:
		return 0
	default:
		r.wrong(v, "an integer")
		return 0
	}
}

func (r *row) int() int { return int(r.number()) }

// isNull looks at the next column without taking it.
func (r *row) isNull() bool { return r.values[r.next] == nil }

// time takes a column of microseconds; NULL is the zero time.
func (r *row) time() time.Time {
	if r.isNull() {
		r.next++
		return time.Time{}
	}
	return time.UnixMicro(r.number()).UTC()
}

// errNotText is ports.ErrRefused: what is no text is refused by every store.
var errNotText = fmt.Errorf("%w: text that is not UTF-8, or has a NUL in it", ports.ErrRefused)

// bind makes arguments of values: text, integers and times of whatever named type, and nil.
func bind(values []any) ([]driver.NamedValue, error) {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i].Ordinal = i + 1
		switch v := v.(type) {
		case nil:
		case string:
			args[i].Value = v
		case int64:
			args[i].Value = v
		case int:
			args[i].Value = int64(v)
		case bool:
			args[i].Value = int64(0)
			if v {
				args[i].Value = int64(1)
			}
		case time.Time:
			args[i].Value = v.UnixMicro()
		default:
			switch of := reflect.ValueOf(v); of.Kind() {
			case reflect.String:
				args[i].Value = of.String()
			case reflect.Int, reflect.Int64, reflect.Int32:
				args[i].Value = of.Int()
			default:
				return nil, fmt.Errorf("sqlite: a %T is no argument", v)
			}
		}
		if s, ok := args[i].Value.(string); ok && !isText(s) {
			return nil, errNotText
		}
	}
	return args, nil
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
