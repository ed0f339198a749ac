package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// What was built, for make build to set with -ldflags -X. A plain go build sets none of it;
// the revision then comes from what the Go tool itself recorded.
var (
	version string // such as v1.2.3, or v1.2.3-4-gabcdef0 four commits later
	commit  string // the revision, with -dirty if it was changed
	date    string // when that was committed, RFC 3339
)

// build is what was built.
type build struct{ version, commit, date string }

func built() build {
	v, c, d := version, commit, date
	if info, ok := debug.ReadBuildInfo(); ok && c == "" {
		dirty := ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				c = s.Value
			case "vcs.time":
				d = s.Value
			case "vcs.modified":
				if s.Value == "true" {
					dirty = "-dirty"
				}
			}
		}
		if c != "" {
			c += dirty
		}
	}
	return build{cmp.Or(v, "dev"), cmp.Or(c, "unknown"), cmp.Or(d, "an unknown date")}
}

// versionText is a line for people who report a bug.
func versionText() string {
	b := built()
	return fmt.Sprintf("redrive %s (commit %s of %s, %s, %s/%s)", b.version, b.commit, b.date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionCmd prints which Redrive this is.
type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(to streams) error {
	_, err := fmt.Fprintln(to.out, versionText())
	return err
}
