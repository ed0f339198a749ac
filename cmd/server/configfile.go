package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// configFile has the settings of a file, by the names of their flags. It is the kong.Resolver
// of a command line.
type configFile struct {
	path   string
	values map[string]any // what kong decodes: texts, and lists of them
	leaks  bool           // it has secrets, and other users of the machine may read it
}

// isSetting reports whether a flag may stand in a file: those with an environment variable
// say how a server is to be, the others what one call of the command is to do.
func isSetting(f *kong.Flag) bool { return len(f.Envs) > 0 && f.Name != configFlag }

// readConfig reads a file and refuses what is no setting of any command, so that a typing
// error does not leave a default in force.
func readConfig(path string, k *kong.Kong) (*configFile, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	var read map[string]any
	if err := toml.Unmarshal(text, &read); err != nil {
		if at := new(toml.DecodeError); errors.As(err, &at) {
			line, column := at.Position()
			return nil, fmt.Errorf("%s, line %d, column %d: %s", path, line, column, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	known := settings(k.Model)
	file := &configFile{path: path, values: map[string]any{}}
	var wrong []error
	for _, key := range slices.Sorted(maps.Keys(read)) {
		f, there := known[key]
		value, err := fileValue(f, read[key])
		switch {
		case errors.Is(err, errTable):
			wrong = append(wrong, fmt.Errorf("%s: [%s]: settings do not stand in tables, take away this line", path, key))
		case !there:
			wrong = append(wrong, fmt.Errorf("%s: unknown setting %q%s", path, key, hint(k, known, key)))
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %s: %w", path, key, err))
		default:
			file.values[key] = value
			file.leaks = file.leaks || f.Tag.Has("secret") || hasSecrets(value)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	// Windows has no such bits, and Go makes some up.
	file.leaks = file.leaks && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
	return file, nil
}

// settings are those of all commands, since one file serves them all.
func settings(model *kong.Application) map[string]*kong.Flag {
	known := map[string]*kong.Flag{}
	for f := range flagsOf(model) {
		if isSetting(f) {
			known[f.Name] = f
		}
	}
	return known
}

var errTable = errors.New("a table")

// fileValue is what kong decodes of a value in a file. Settings that are lists (f may be nil)
// are lists of strings there, or one string as on the command line.
func fileValue(f *kong.Flag, v any) (any, error) {
	if f == nil || !f.IsSlice() {
		return scalar(v)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case []any:
		if !slices.ContainsFunc(v, func(e any) bool { _, text := e.(string); return !text }) {
			return v, nil
		}
	case map[string]any:
		return nil, errTable
	}
	return nil, errors.New("must be a list of strings, or a string with commas")
}

// hasSecrets reports whether a text, or one of a list, has what redact hides.
func hasSecrets(v any) bool {
	switch v := v.(type) {
	case string:
		return redact(v) != v
	case []any:
		return slices.ContainsFunc(v, hasSecrets)
	}
	return false
}

// scalar gives a value as it would be typed on the command line.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case map[string]any:
		return "", errTable
	default:
		return "", errors.New("must be a string, a number, true or false")
	}
}

// hint names the setting that was probably meant by a key of a file or a variable.
func hint(k *kong.Kong, known map[string]*kong.Flag, key string) string {
	name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, "REDRIVE_")), "_", "-")
	if _, there := known[name]; there {
		return fmt.Sprintf(", did you mean %q?", name)
	}
	// kong knows the flags that are near, and says so.
	tried, err := kong.Trace(k, []string{"serve", "--" + name + "="})
	if err == nil {
		err = tried.Error
	}
	if err != nil {
		if _, near, found := strings.Cut(err.Error(), ", did you mean "); found {
			return ", did you mean " + strings.ReplaceAll(near, "--", "")
		}
	}
	return ""
}

// Validate implements kong.Resolver; readConfig has done it.
func (*configFile) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. kong asks only for flags that were not given on the
// command line, and would prefer a file to the environment.
func (file *configFile) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	if value, there := file.values[f.Name]; there && isSetting(f) && envOf(f) == "" {
		return value, nil
	}
	return nil, nil
}
