//go:build linux

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// debRoot is a folder that dpkg installed the package into.
func debRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755)) // the service's user has to enter it
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc", "var/log"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	// What the package depends on is there.
	require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), []byte(
		"Package: systemd\nStatus: install ok installed\nPriority: important\nSection: admin\nMaintainer: x <x@example.com>\n"+
			"Architecture: "+runtime.GOARCH+"\nVersion: 252\nDescription: x\n\n"), 0o600))
	return root
}

func makeDeb(t *testing.T, folder string) string {
	t.Helper()
	require.NoError(t, (&debCmd{Binary: binary, Arch: runtime.GOARCH, Out: folder}).Run(&tested))
	return filepath.Join(folder, "redrive_1.2.3+4.gabcdef0_"+runtime.GOARCH+".deb")
}

func dpkg(t *testing.T, root string, args ...string) string {
	t.Helper()
	cmd := exec.Command("dpkg", append([]string{"--root=" + root, "--force-script-chrootless"}, args...)...)
	cmd.SysProcAttr = as(0, 0)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "dpkg %s: %s", args, out)
	return string(out)
}

// unitOf reads a unit file: the values of each key, in order.
func unitOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	unit := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), "="); found && !strings.HasPrefix(key, "#") {
			unit[key] = append(unit[key], value)
		}
	}
	return unit
}

// setting changes a line of the environment file as an administrator would.
func setting(t *testing.T, path, name, value string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(content), "\n"+name+"=")
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, name+"=") {
			lines[i] = name + "=" + value
		}
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
}

// The package is installed by dpkg, its unit is one that systemd has nothing to say against,
// and what the unit starts, as the user and in the folder that it says, serves.
func TestDeb(t *testing.T) {
	needsJail(t)
	t.Parallel()
	packed := makeDeb(t, t.TempDir())
	first, err := os.ReadFile(packed)
	require.NoError(t, err)
	second, err := os.ReadFile(makeDeb(t, t.TempDir()))
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, second), "two packages of one binary differ")

	root := debRoot(t)
	said := dpkg(t, root, "--install", packed)
	require.Contains(t, said, "systemctl enable --now redrive")
	env := filepath.Join(root, "etc/redrive/redrive.env")
	info, err := os.Stat(env)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "others may read the secret")
	content, err := os.ReadFile(env)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^REDRIVE_JWT_SECRET=[0-9a-f]{64}$`, string(content))

	unitFile := filepath.Join(root, "usr/lib/systemd/system/redrive.service")
	unit := unitOf(t, unitFile)
	t.Run("Unit", func(t *testing.T) {
		// The targets that every machine has.
		targets, err := filepath.Glob("/usr/lib/systemd/system/*.target")
		require.NoError(t, err)
		require.NotEmpty(t, targets)
		for _, target := range targets {
			content, err := os.ReadFile(target)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(unitFile), filepath.Base(target)), content, 0o600))
		}
		// verify exits with 0 for a key that it does not know, so any output fails.
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+root, unitFile).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Empty(t, string(out))
		// 0 is a service from which systemd takes away all that it can, 100 one that may do anything.
		out, err = exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", "--root="+root, unitFile).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})

	t.Run("Serves", func(t *testing.T) {
		j := jailOf(t, root, unit)
		setting(t, env, "LLM_BASE_URL", "http://127.0.0.1:9/v1")
		setting(t, env, "LLM_MODEL", "m")
		setting(t, env, "REDRIVE_LISTEN", "127.0.0.1:0")
		j.env = environmentOf(t, filepath.Join(root, unit["EnvironmentFile"][0]))
		before := changes(t, root)
		log := j.serves(t, strings.Fields(unit["ExecStart"][0])...)
		require.NotContains(t, log, "level=ERROR")
		require.NotContains(t, log, "level=WARN")
		keepsTo(t, "/var/lib/redrive", root, before)
	})

	t.Run("UpgradeAndPurge", func(t *testing.T) {
		before, err := os.ReadFile(env)
		require.NoError(t, err)
		dpkg(t, root, "--install", packed)
		after, err := os.ReadFile(env)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "an upgrade changed the settings")
		dpkg(t, root, "--remove", "redrive")
		require.FileExists(t, env)
		require.NoFileExists(t, filepath.Join(root, "usr/bin/redrive"))
		require.Contains(t, dpkg(t, root, "--purge", "redrive"), "its data is left")
		require.NoDirExists(t, filepath.Join(root, "etc/redrive"))
		require.FileExists(t, filepath.Join(root, "var/lib/redrive/redrive.db"))
	})
}

// jailOf is where a unit starts its process: systemd makes the state folder of the user.
func jailOf(t *testing.T, root string, unit map[string][]string) *jail {
	t.Helper()
	users, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	require.NoError(t, err)
	j := &jail{root: root, dir: unit["WorkingDirectory"][0]}
	for line := range strings.Lines(string(users)) {
		if fields := strings.Split(line, ":"); fields[0] == unit["User"][0] {
			j.uid, err = strconv.Atoi(fields[2])
			require.NoError(t, err)
			j.gid, err = strconv.Atoi(fields[3])
			require.NoError(t, err)
		}
	}
	require.NotZero(t, j.uid, "the package made no user %s", unit["User"])
	mode, err := strconv.ParseUint(unit["StateDirectoryMode"][0], 8, 32)
	require.NoError(t, err)
	state := filepath.Join(root, "var/lib", unit["StateDirectory"][0])
	require.NoError(t, os.Mkdir(state, os.FileMode(mode)))
	give(t, state, j.uid, j.gid)
	return j
}

// environmentOf reads an environment file.
func environmentOf(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var env []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			env = append(env, line)
		}
	}
	return env
}
