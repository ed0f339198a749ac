package main

import (
	"cmp"
	"encoding"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// printConfig writes the settings of the command that was parsed as a file that --config
// reads, each with its source. What is secret, or not set, is a comment.
func (c *cli) printConfig(to io.Writer, parsed *kong.Context) error {
	var flags []*kong.Flag
	for _, f := range parsed.Flags() {
		if isSetting(f) {
			flags = append(flags, f)
		}
	}
	place := func(f *kong.Flag) int {
		return slices.IndexFunc(groups, func(g kong.Group) bool { return f.Group != nil && f.Group.Key == g.Key })
	}
	slices.SortStableFunc(flags, func(a, b *kong.Flag) int { return cmp.Compare(place(a), place(b)) })
	lines, width := make([]string, len(flags)), 0
	for i, f := range flags {
		var err error
		if lines[i], err = settingLine(f); err != nil {
			return err
		}
		if len(lines[i]) <= 50 {
			width = max(width, len(lines[i]))
		}
	}
	if _, err := fmt.Fprintln(to, "# The settings in force. This is a file for --config; secrets are left out."); err != nil {
		return err
	}
	last := -1
	for i, f := range flags {
		if g := place(f); g != last && g >= 0 {
			last = g
			fmt.Fprintf(to, "\n# %s\n", strings.TrimSuffix(groups[g].Title, ":"))
		}
		fmt.Fprintf(to, "%-*s  # %s\n", width, lines[i], c.source(parsed, f))
	}
	return nil
}

// settingLine is a setting in TOML.
func settingLine(f *kong.Flag) (string, error) {
	value, err := settingValue(f)
	if err != nil {
		return "", err
	}
	if list, ok := value.([]any); value == "" || ok && len(list) == 0 {
		return "# " + f.Name + " is not set", nil
	}
	if text, ok := value.(string); ok {
		shown := redact(text)
		if f.Tag.Has("secret") {
			shown = hidden
		}
		if shown != text {
			return "# " + f.Name + " = " + shown, nil
		}
	}
	if f.IsSlice() && (f.Tag.Has("secret") || hasSecrets(value)) {
		return "# " + f.Name + " = " + hidden, nil
	}
	line, err := toml.Marshal(map[string]any{f.Name: value})
	return strings.TrimSuffix(string(line), "\n"), err
}

// settingValue is the value of a flag as it stands in a file.
func settingValue(f *kong.Flag) (any, error) {
	if !f.IsSlice() {
		return asInFile(f.Target.Interface())
	}
	list := make([]any, f.Target.Len())
	for i := range list {
		var err error
		if list[i], err = asInFile(f.Target.Index(i).Interface()); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func asInFile(v any) (any, error) {
	switch v := v.(type) {
	case time.Duration:
		return shortDuration(v), nil
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return strings.ToLower(string(text)), err
	default:
		return v, nil
	}
}

// shortDuration is 24h instead of 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// hidden stands for a secret.
const hidden = "(hidden)"

// secretParameter are the parameters of URLs and connection strings that are secret.
var secretParameter = regexp.MustCompile(`(?i)pass(word|wd)?\b|password|secret|token|credential|signature|api_?key|access_?key`)

// redact hides the secrets of a setting that is a URL, or a connection string of Postgres.
// What it cannot read it hides as a whole.
func redact(text string) string {
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL {
		if secretParameter.MatchString(text) && strings.Contains(text, "=") {
			return hidden
		}
		return text
	}
	servers := strings.Split(text, ",") // NATS has several in one setting
	for i, server := range servers {
		if i > 0 && !strings.Contains(server, "://") {
			server = scheme + "://" + server
		}
		u, err := url.Parse(server)
		if err != nil {
			return hidden
		}
		shown := false
		if u.User != nil {
			_, password := u.User.Password()
			// A NATS server takes a user without a password for a token.
			if password || !strings.HasPrefix(scheme, "postgres") {
				u.User, shown = nil, true
			}
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return hidden
		}
		for name := range query {
			if secretParameter.MatchString(name) {
				query.Del(name)
				u.RawQuery, shown = query.Encode(), true
			}
		}
		if shown {
			servers[i] = u.String() + " " + hidden
		}
	}
	return strings.Join(servers, ",")
}
