package oracle

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// A commit is used again, by the next world too: nothing of the one before may be left.
func TestCommitIsEmptiedWhole(t *testing.T) {
	t.Parallel()
	var c Commit
	v := reflect.ValueOf(&c).Elem()
	lists := 0
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			lists++
		}
	}
	require.True(t, c.Wrote())
	c.Reset()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			require.Zero(t, f.Len(), v.Type().Field(i).Name)
		}
	}
	require.Positive(t, lists)
	require.False(t, c.Wrote())
}
