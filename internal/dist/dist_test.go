package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var tested = release{
	Version: "v1.2.3-4-gabcdef0", Commit: "abcdef0123", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: "../..",
}

// binary is what make build makes, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "redrive-dist")
	if err == nil {
		binary = filepath.Join(folder, "redrive")
		err = build(binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// build calls make build. It leaves -trimpath out, so that what was compiled for other tests
// serves here too; the names of source files in a binary are no matter of these tests.
func build(to string) error {
	cmd := exec.Command("make", "-s", "-C", tested.Source, "build", "TRIMPATH=", "BIN="+to,
		"VERSION="+tested.Version, "COMMIT="+tested.Commit, "DATE="+tested.Date.Format(time.RFC3339))
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "CGO_ENABLED=") // make build decides
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}

// One static binary that knows what it is.
func TestBinary(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "version").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "redrive v1.2.3-4-gabcdef0 (commit abcdef0123 of 2026-01-02T03:04:05Z, "+
		runtime.Version()+", linux/"+runtime.GOARCH+")\n", string(out))
	content, err := os.ReadFile(binary)
	require.NoError(t, err)
	require.NotContains(t, string(content), "/ld-linux", "the binary wants a dynamic linker")
}

// Archives have the program, the licence and the README in a folder, and are the same each
// time; the checksums are what sha256sum reads.
func TestArchives(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	pack := func(name, program string) []byte {
		path := filepath.Join(folder, name)
		require.NoError(t, (&archiveCmd{Binary: program, Name: "redrive-x", Out: path}).Run(&tested))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	windows := filepath.Join(t.TempDir(), "redrive.exe") // only its name matters here
	require.NoError(t, os.WriteFile(windows, []byte("MZ"), 0o600))
	packed, zipped := pack("a.tar.gz", binary), pack("a.zip", windows)
	require.True(t, bytes.Equal(packed, pack("b.tar.gz", binary)), "two archives of one binary differ")
	require.True(t, bytes.Equal(zipped, pack("b.zip", windows)))

	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	var names []string
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.True(t, h.ModTime.Equal(tested.Date))
		names = append(names, fmt.Sprintf("%s %o", h.Name, h.Mode))
	}
	require.Equal(t, []string{"redrive-x/redrive 755", "redrive-x/LICENSE 644", "redrive-x/README.md 644"}, names)
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	require.NoError(t, err)
	require.Equal(t, "redrive-x/redrive.exe", archive.File[0].Name)
	require.True(t, archive.File[0].Modified.Equal(tested.Date))

	for _, of := range []string{"image", ".binaries"} { // what is hidden is left out
		require.NoError(t, os.Mkdir(filepath.Join(folder, of), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, of, "x"), nil, 0o600))
	}
	for range 2 { // the second time the sums are there
		require.NoError(t, (&sumsCmd{Folder: folder}).Run())
	}
	check := exec.Command("sha256sum", "--check", "--strict", sumsFile)
	check.Dir = folder
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "a.tar.gz: OK\na.zip: OK\nb.tar.gz: OK\nb.zip: OK\nimage/x: OK\n", string(out))
}

// dpkg sorts the versions as they came.
func TestDebVersion(t *testing.T) {
	t.Parallel()
	inOrder := []string{
		"v0.0.0-7-gabcdef0", "v0.9.0", "v1.2.3-rc.1", "v1.2.3-rc.1-2-gabcdef0", "v1.2.3", "v1.2.3-4-gabcdef0", "v1.2.3-10-g0bcdef0", "v1.2.4",
	}
	for i, version := range inOrder {
		later, err := debVersion(version)
		require.NoError(t, err)
		if i > 0 {
			earlier, err := debVersion(inOrder[i-1])
			require.NoError(t, err)
			// As nfpm writes them.
			out, err := exec.Command("dpkg", "--compare-versions", asDeb(earlier), "lt", asDeb(later)).CombinedOutput()
			require.NoError(t, err, "%s is not before %s: %s", asDeb(earlier), asDeb(later), out)
		}
	}
	for _, version := range []string{"", "unknown", "abcdef0", "1.2", "v1.2.3 4"} {
		_, err := debVersion(version)
		require.Error(t, err, version)
	}
}

func asDeb(version string) string { return strings.Replace(version, "-", "~", 1) }
