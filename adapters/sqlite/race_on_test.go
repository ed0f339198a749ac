//go:build race

package sqlite_test

// underRace says that the race detector watches, under which everything takes about ten
// times as long: the tests race less often then.
const underRace = true
