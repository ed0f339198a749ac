package main

import (
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// groups are the headings of flags in --help.
var groups = []kong.Group{
	{Key: "server", Title: "Server:"},
	{Key: "signin", Title: "Who signs in:"},
	{Key: "store", Title: "Store:"},
	{Key: "queue", Title: "Queue and workers:"},
	{Key: "provider", Title: "Provider:"},
	{Key: "limits", Title: "Limits:"},
	{Key: "webhooks", Title: "Webhooks:"},
	{Key: "logging", Title: "Logging:"},
}

// configFlag is the flag that names the file of settings.
const configFlag = "config"

// flagsOf gives the flags of all commands. Those that several commands have come several
// times.
func flagsOf(model *kong.Application) iter.Seq[*kong.Flag] {
	return func(yield func(*kong.Flag) bool) {
		for _, leaf := range model.Leaves(false) {
			for _, group := range leaf.AllFlags(false) {
				for _, f := range group {
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// prepare names the variable of each flag in its help, and makes kong treat a variable that
// is set to nothing as one that is not set: in a unit file or a shell, FOO= is how one takes
// a setting away.
func prepare(model *kong.Application) {
	for f := range flagsOf(model) {
		if len(f.Envs) == 0 || strings.HasSuffix(f.Help, "]") {
			continue // a flag of all commands, which came before
		}
		f.Help += " [" + strings.Join(f.Envs, ", ") + "]"
		f.Tag.Envs = slices.DeleteFunc(slices.Clone(f.Envs), func(name string) bool { return os.Getenv(name) == "" })
	}
}

// envOf gives the variable that sets a flag, or nothing.
func envOf(f *kong.Flag) string {
	for _, name := range f.Envs {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// source says where the value of a flag comes from.
func (c *cli) source(parsed *kong.Context, f *kong.Flag) string {
	for _, p := range parsed.Path {
		if p.Flag == f && !p.Resolved {
			return "flag --" + f.Name
		}
	}
	if env := envOf(f); env != "" {
		return "environment " + env
	}
	if c.file != nil {
		if _, there := c.file.values[f.Name]; there && isSetting(f) {
			return "file " + c.file.path
		}
	}
	return "default"
}

// misspelt gives a line for each variable of the environment that is like one of Redrive's
// and is none. Variables that resemble none are left alone: a container platform may have
// made them from the name of the service.
func misspelt(k *kong.Kong) []string {
	known := settings(k.Model)
	names := map[string]bool{}
	for f := range flagsOf(k.Model) {
		for _, name := range f.Envs {
			names[name] = true
		}
	}
	var lines []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "REDRIVE_") || names[name] {
			continue
		}
		if near := hint(k, known, name); near != "" {
			lines = append(lines, name+near)
		}
	}
	return lines
}
