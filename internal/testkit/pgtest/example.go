package pgtest

import (
	"fmt"
	"testing"
)

// ForExample is NewEmpty for a runnable example, which has no testing.TB; drop ends it. It
// panics where a test would fail.
func ForExample() (db Database, drop func()) {
	t := &example{}
	return NewEmpty(t), t.end
}

// example is as much of a testing.TB as NewEmpty needs.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper() {}

func (e *example) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

func (*example) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (*example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (e *example) end() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}
