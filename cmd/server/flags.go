package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// flagNamer gives a function for the name of a flag, "--workers (REDRIVE_WORKERS)", from
// a pointer to its field in the command that is run.
func flagNamer(parsed *kong.Context) func(field any) string {
	return func(field any) string {
		at := reflect.ValueOf(field).Pointer()
		for _, f := range parsed.Flags() {
			if f.Target.CanAddr() && f.Target.Addr().Pointer() == at && f.Target.Type() == reflect.TypeOf(field).Elem() {
				return nameOf(f)
			}
		}
		return "a flag" // every field that is checked is one: see TestFlagNames
	}
}

func nameOf(f *kong.Flag) string {
	if len(f.Envs) == 0 {
		return "--" + f.Name
	}
	return fmt.Sprintf("--%s (%s)", f.Name, strings.Join(f.Envs, ", "))
}

// explain adds to kong's error about a flag where its value comes from: the user may have
// typed no flag.
func (c *cli) explain(model *kong.Application, err error) string {
	said := err.Error()
	for f := range flagsOf(model) {
		flag := "--" + f.Name
		i := strings.Index(said, flag)
		if i < 0 || len(f.Envs) == 0 {
			continue
		}
		if rest := said[i+len(flag):]; rest != "" && rest[0] == '-' { // the beginning of another's name
			continue
		}
		if c.file != nil && envOf(f) == "" {
			if _, there := c.file.values[f.Name]; there {
				return said + " (in " + c.file.path + ")"
			}
		}
		if !strings.Contains(said, f.Envs[0]) {
			return said + " (in the environment: " + f.Envs[0] + ")"
		}
	}
	return said
}
