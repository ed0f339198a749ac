package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// redrive runs the program as a process of its own, with its own environment and folder.
func redrive(t *testing.T, folder string, env []string, args ...string) (code int, out, logs string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var o, l bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = folder, append(os.Environ(), env...), &o, &l
	if err := cmd.Run(); cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), l.String()
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// settingsOf reads what --print-config printed: by setting the value, as it stands there,
// and the source.
func settingsOf(t *testing.T, printed string) (values, sources map[string]string) {
	t.Helper()
	values, sources = map[string]string{}, map[string]string{}
	line := regexp.MustCompile(`(?m)^(?:# )?([a-z-]+)(?: = (.*?)| is not set) +# (default|file .*|flag .*|environment .*)$`)
	for _, m := range line.FindAllStringSubmatch(printed, -1) {
		require.NotContains(t, sources, m[1], "printed twice")
		values[m[1]], sources[m[1]] = m[2], m[3]
	}
	return values, sources
}

// A flag wins over the environment, the environment over the file, the file over the
// default; a variable that is set to nothing is not set.
func TestSettingsHaveSources(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "c.toml"), `
demo = true
migrate = false
workers = 31
tenant-workers = 31
lease = "90s"
log-level = "debug"
max-files = 31
`)
	env := []string{"REDRIVE_TENANT_WORKERS=32", "REDRIVE_MAX_FILES=32", "REDRIVE_LEASE=", "REDRIVE_CONFIG=c.toml", "REDRIVE_DRAIN_TIMEOUT="}
	code, out, logs := redrive(t, folder, env, "serve", "--print-config", "--max-files=33")
	require.Zero(t, code, logs)
	values, sources := settingsOf(t, out)
	for name, want := range map[string][2]string{
		"demo":             {"true", "file c.toml"},
		"migrate":          {"false", "file c.toml"},
		"workers":          {"31", "file c.toml"},
		"tenant-workers":   {"32", "environment REDRIVE_TENANT_WORKERS"},
		"max-files":        {"33", "flag --max-files"},
		"lease":            {"'1m30s'", "file c.toml"},
		"log-level":        {"'debug'", "file c.toml"},
		"drain-timeout":    {"'30s'", "default"},
		"template-workers": {"0", "default"},
		"upload-grace":     {"'24h'", "default"},
		"idempotency-ttl":  {"'24h'", "default"},
		"jwt-secret":       {"", "default"},
	} {
		require.Equal(t, want, [2]string{values[name], sources[name]}, name)
	}

	// What is printed is a file that sets the same.
	writeFile(t, filepath.Join(folder, "again.toml"), out)
	code, again, logs := redrive(t, folder, nil, "serve", "--print-config", "--config=again.toml")
	require.Zero(t, code, logs)
	valuesAgain, sourcesAgain := settingsOf(t, again)
	require.Equal(t, values, valuesAgain)
	for name, source := range sourcesAgain {
		if values[name] != "" {
			require.Equal(t, "file again.toml", source, name)
		}
	}

	// The server runs with the file, and other commands read it too.
	writeFile(t, filepath.Join(folder, "secret.toml"), `jwt-secret = "`+secret+`"`+"\n")
	code, out, logs = redrive(t, folder, nil, "token", "--config=secret.toml", "--subject=x", "--role=bubble_admin")
	require.Zero(t, code, logs)
	require.Regexp(t, `^[\w-]+\.[\w-]+\.[\w-]+\n$`, out)
}

// Settings that are lists are printed as lists, which a file may have; a string with commas
// as on the command line will do too, and an empty list is none.
func TestListsInConfigFile(t *testing.T) {
	t.Parallel()
	parser, _ := parserOf(t)
	var lists []string
	for name, f := range settings(parser.Model) {
		if f.IsSlice() {
			lists = append(lists, name)
		}
	}
	require.Subset(t, lists, []string{"trusted-proxies", "webhook-allow"})
	for _, name := range lists {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			const networks = "['10.0.0.0/8', '192.168.0.0/16']"
			flag := "--" + name + "=10.0.0.0/8,192.168.0.0/16"
			code, out, logs := redrive(t, folder, nil, "serve", "--demo", "--print-config", flag)
			require.Zero(t, code, logs)
			values, _ := settingsOf(t, out)
			require.Equal(t, networks, values[name])
			for text, want := range map[string]string{
				out:                                     networks,
				name + ` = "10.0.0.0/8,192.168.0.0/16"`: networks,
				name + ` = ["10.1.0.0/16"]`:             "['10.1.0.0/16']",
				name + ` = []`:                          "",
			} {
				writeFile(t, filepath.Join(folder, "c.toml"), text)
				code, again, logs := redrive(t, folder, nil, "serve", "--demo", "--print-config", "--config=c.toml")
				require.Zero(t, code, logs)
				values, sources := settingsOf(t, again)
				require.Equal(t, want, values[name], text)
				require.Equal(t, "file c.toml", sources[name], text)
			}
			// The command line wins, and does not add to the file's.
			writeFile(t, filepath.Join(folder, "c.toml"), name+` = ["10.1.0.0/16"]`)
			code, out, logs = redrive(t, folder, nil, "serve", "--demo", "--print-config", "--config=c.toml", flag)
			require.Zero(t, code, logs)
			values, _ = settingsOf(t, out)
			require.Equal(t, networks, values[name])
			for text, says := range map[string]string{
				name + " = 10":                  name + ": must be a list of strings, or a string with commas",
				name + " = [10, '10.0.0.0/8']":  name + ": must be a list of strings, or a string with commas",
				name + " = [['10.0.0.0/8']]":    name + ": must be a list of strings, or a string with commas",
				name + " = ['10.0.0.0/8', 'x']": "--" + name,
			} {
				code, _, logs := command("serve", "--demo", "--database-url=memory:", "--config="+writeFile(t, filepath.Join(folder, "wrong.toml"), text))
				require.NotZero(t, code, text)
				require.Contains(t, logs, says, text)
			}
		})
	}
}

// No secret is printed, wherever it stands.
func TestPrintConfigHidesSecrets(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "c.toml"), `
llm-api-key = "sk-hush"
database-url = "postgres://redrive:hush@db.example/redrive?sslmode=require"
queue-url = "nats://hush@n1.example:4222,nats://n2.example:4222"
`)
	env := []string{
		"REDRIVE_JWT_SECRET=hush-hush-hush-hush-hush-hush-hush-hush", "REDRIVE_JWT_SECRETS=hush-hush", "REDRIVE_OIDC_CLIENT_SECRET=hush",
		"REDRIVE_OIDC_ISSUER=https://idp.example", "REDRIVE_OIDC_CLIENT_ID=redrive", "REDRIVE_JWT_AUDIENCE=redrive",
		"REDRIVE_OIDC_REDIRECT_URL=https://redrive.example/ui/sign-in/oidc/callback", "REDRIVE_FILES=s3://bucket?region=eu&secret_key=hush",
	}
	code, out, logs := redrive(t, folder, env, "serve", "--print-config", "--config=c.toml", "--llm-base-url=https://user:hush@llm.example/v1", "--llm-model=m")
	require.Zero(t, code, logs)
	require.NotContains(t, out+logs, "hush")
	for _, shown := range []string{
		"# jwt-secret = (hidden)", "# llm-api-key = (hidden)", "postgres://db.example/redrive?sslmode=require (hidden)",
		"nats://n1.example:4222 (hidden),nats://n2.example:4222", "s3://bucket?region=eu (hidden)", "https://llm.example/v1 (hidden)",
	} {
		require.Contains(t, out, shown)
	}
	// Whatever is called a secret is marked as one.
	parser, _ := parserOf(t)
	for f := range flagsOf(parser.Model) {
		if regexp.MustCompile(`secret|key|password|token`).MatchString(f.Name) && isSetting(f) {
			require.True(t, f.Tag.Has("secret"), f.Name)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"data/files":                         "data/files",
		"sqlite:data/redrive.db":             "sqlite:data/redrive.db",
		"memory:":                            "memory:",
		"postgres://ada@h/db":                "postgres://ada@h/db",
		"postgresql://ada:pw@h/db":           "postgresql://h/db (hidden)",
		"postgres://h/db?user=a&password=pw": "postgres://h/db?user=a (hidden)",
		"postgres://h/%zz:pw":                "(hidden)",
		"host=h user=ada password=pw":        "(hidden)",
		"host=h user=ada":                    "host=h user=ada",
		"nats://token@h:4222":                "nats://h:4222 (hidden)",
		"nats://h:4222,u:pw@i:4222":          "nats://h:4222,nats://i:4222 (hidden)",
		"nats://h:4222,i:4222":               "nats://h:4222,i:4222",
	} {
		require.Equal(t, want, redact(text), text)
	}
}

// A file with anything wrong in it is refused as a whole, with what was probably meant.
func TestWrongConfigFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"Near":       {"worker = 3", `unknown setting "worker", did you mean "workers"?`},
		"Variable":   {`REDRIVE_MAX_FILES = 3`, `did you mean "max-files"?`},
		"Underscore": {`llm_base_url = "x"`, `did you mean "llm-base-url"?`},
		"Far":        {`colour = "blue"`, `unknown setting "colour"` + "\n"},
		"Several":    {"worker = 3\nlog-leve = 'info'", `unknown setting "log-leve", did you mean "log-level"?`},
		"NoSetting":  {`print-config = true`, `unknown setting "print-config"`},
		"Itself":     {`config = "other.toml"`, `unknown setting "config"`},
		"OtherFlag":  {`subject = "ada"`, `unknown setting "subject"`},
		"Table":      {"[server]\nlisten = ':1'", "[server]: settings do not stand in tables"},
		"List":       {"workers = [1, 2]", "workers: must be a string, a number, true or false"},
		"Twice":      {"workers = 1\nworkers = 2", "line 2"},
		"NoTOML":     {"workers: 3", "line 1, column 8"},
		"NoNumber":   {"workers = 'many'", "(in FILE)"},
		"NoUnit":     {"lease = 60", "--lease"},
		"BadEnum":    {"log-format = 'xml'", "(in FILE)"},
		"Wrong":      {"workers = 0", "--workers (REDRIVE_WORKERS) must be 1 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, filepath.Join(t.TempDir(), "c.toml"), c.text+"\n")
			code, out, logs := command("serve", "--demo", "--database-url=memory:", "--config="+path)
			require.NotZero(t, code)
			require.Empty(t, out)
			require.Contains(t, logs, strings.ReplaceAll(c.says, "FILE", path))
			require.NotContains(t, logs, "msg=listening")
		})
	}
	code, _, logs := command("serve", "--demo", "--config="+filepath.Join(t.TempDir(), "none.toml"))
	require.Equal(t, 2, code)
	require.Contains(t, logs, "none.toml")
}

// A file with secrets that others can read is no error, but is said.
func TestConfigFileThatLeaks(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]bool{
		`llm-api-key = "sk-x"`: true, `queue-url = "postgres://u:pw@127.0.0.1:1/x"`: true, `workers = 3`: false,
	} {
		for mode, readable := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
			path := writeFile(t, filepath.Join(t.TempDir(), "c.toml"), text+"\nlisten = '127.0.0.1:99999'\n")
			require.NoError(t, os.Chmod(path, mode))
			code, _, logs := command("serve", "--demo", "--database-url=memory:", "--config="+path)
			require.Equal(t, 1, code)
			require.Equal(t, says && readable, strings.Contains(logs, "every user of this machine can read it"), "%s %o: %s", text, mode, logs)
		}
	}
}

// A misspelt variable is not silently the default.
func TestMisspeltVariables(t *testing.T) {
	t.Parallel()
	_, _, logs := redrive(t, t.TempDir(), []string{"REDRIVE_WORKER=3", "REDRIVE_SERVICE_HOST=10.0.0.1", "REDRIVE_WORKERS=3"},
		"serve", "--demo", "--database-url=memory:", "--listen=nowhere:x")
	require.Contains(t, logs, `variable="REDRIVE_WORKER, did you mean \"workers\"?"`)
	require.NotContains(t, logs, "REDRIVE_SERVICE_HOST")
	require.Equal(t, 1, strings.Count(logs, "unknown environment variable"))
}

// Every setting of serve has a variable, a group and a place in the file, and the help of
// every command fits into 80 columns.
func TestHelp(t *testing.T) {
	t.Parallel()
	parser, _ := parserOf(t)
	for _, node := range parser.Model.Leaves(false) {
		if node.Name != "serve" {
			continue
		}
		for _, f := range node.Flags {
			if f.Name == "help" || f.Name == "print-config" {
				continue
			}
			require.NotEmpty(t, f.Envs, f.Name)
			require.NotNil(t, f.Group, f.Name)
		}
	}
	commands := [][]string{nil}
	require.NoError(t, kong.Visit(parser.Model.Node, func(v kong.Visitable, next kong.Next) error {
		if node, ok := v.(*kong.Node); ok && node.Type == kong.CommandNode {
			commands = append(commands, strings.Fields(node.FullPath())[1:])
		}
		return next(nil)
	}))
	require.Greater(t, len(commands), 9)
	for _, args := range commands {
		code, out, logs := redrive(t, t.TempDir(), []string{"COLUMNS="}, append(args, "--help")...)
		require.Zero(t, code, logs)
		for line := range strings.Lines(out) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 80, "%s: %s", args, line)
		}
	}
	_, out, _ := redrive(t, t.TempDir(), []string{"COLUMNS="}, "serve", "--help")
	last := 0
	for _, g := range groups {
		at := strings.Index(out, "\n"+g.Title+"\n")
		require.Greater(t, at, last, g.Title)
		last = at
	}
	require.Contains(t, out, "[REDRIVE_LISTEN]")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"version", "--version"} {
		code, out, logs := command(args)
		require.Zero(t, code, logs)
		require.Regexp(t, `^redrive \S+ \(commit \S+ of .+, go1\.\S+, \w+/\w+\)\n$`, out)
	}
}
