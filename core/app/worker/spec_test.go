package worker

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core/app"
)

// The numbers of spec 21 are the defaults of the use cases and of the worker: all of them
// but functions and those that are 0.
func TestSpecificationOfNumbers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/spec.md")
	require.NoError(t, err)
	specified := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.Options\\.[A-Za-z.]+)` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, specified, m[1])
		specified[m[1]] = m[2]
	}
	defaults := map[string]string{}
	numbers(defaults, "app.Options", reflect.ValueOf(app.DefaultOptions()))
	numbers(defaults, "worker.Options", reflect.ValueOf(Options{}.withDefaults()))
	require.Equal(t, defaults, specified)
}

// numbers adds the fields of a struct, and those of the structs in it, by their names.
func numbers(to map[string]string, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			numbers(to, name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Int, reflect.Int64:
		if !v.IsZero() {
			to[name] = fmt.Sprint(v.Interface())
		}
	default:
	}
}
