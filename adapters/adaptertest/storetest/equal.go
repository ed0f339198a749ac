package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// equal is require.Equal for values that are too large to be printed whole: it
// says at which places they differ.
func equal(t *testing.T, want, got any, msgAndArgs ...any) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return
	}
	d := differences{}
	d.compare(reflect.ValueOf(want), reflect.ValueOf(got), "")
	require.Fail(t, "not equal: "+strings.Join(d.found, "\n"), msgAndArgs...)
	t.FailNow()
}

// notEqual is require.NotEqual for the same values.
func notEqual(t *testing.T, unwanted, got any, msgAndArgs ...any) {
	t.Helper()
	if reflect.DeepEqual(unwanted, got) {
		require.Fail(t, "nothing has changed", msgAndArgs...)
		t.FailNow()
	}
}

type differences struct{ found []string }

const maxDifferences = 12

func (d *differences) compare(want, got reflect.Value, path string) {
	switch {
	case len(d.found) > maxDifferences:
		return
	case !want.IsValid() || !got.IsValid() || want.Type() != got.Type():
		d.add(path, want, got)
		return
	case reflect.DeepEqual(want.Interface(), got.Interface()):
		return
	}
	if _, isTime := want.Interface().(time.Time); isTime {
		d.add(path, want, got)
		return
	}
	switch want.Kind() {
	case reflect.Struct:
		for i := range want.NumField() {
			d.compare(want.Field(i), got.Field(i), path+"."+want.Type().Field(i).Name)
		}
	case reflect.Slice:
		if want.Len() != got.Len() {
			d.add(path+": length", reflect.ValueOf(want.Len()), reflect.ValueOf(got.Len()))
		}
		for i := range min(want.Len(), got.Len()) {
			d.compare(want.Index(i), got.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		if want.IsNil() != got.IsNil() {
			d.add(path+": nil", reflect.ValueOf(want.IsNil()), reflect.ValueOf(got.IsNil()))
		}
	case reflect.Map:
		for _, key := range want.MapKeys() {
			d.compare(want.MapIndex(key), got.MapIndex(key), fmt.Sprintf("%s[%v]", path, key))
		}
		for _, key := range got.MapKeys() {
			if !want.MapIndex(key).IsValid() {
				d.add(fmt.Sprintf("%s[%v]", path, key), reflect.Value{}, got.MapIndex(key))
			}
		}
	case reflect.Pointer:
		if !want.IsNil() && !got.IsNil() {
			d.compare(want.Elem(), got.Elem(), path)
			return
		}
		d.add(path, want, got)
	default:
		d.add(path, want, got)
	}
}

func (d *differences) add(path string, want, got reflect.Value) {
	if len(d.found) == maxDifferences {
		d.found = append(d.found, "…")
	}
	if len(d.found) < maxDifferences {
		d.found = append(d.found, fmt.Sprintf("%s: want %s, got %s", path, brief(want), brief(got)))
	}
}

func brief(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	s := fmt.Sprintf("%#v", v.Interface())
	if t, ok := v.Interface().(time.Time); ok {
		s = fmt.Sprintf("%v (%v)", t, t.Location())
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
