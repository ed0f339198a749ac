package blobfiles_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
)

func TestOpenDirRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("not a folder"), 0o600))
	for name, dir := range map[string]string{"Unnamed": "", "File": file, "BelowFile": filepath.Join(file, "files")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := blobfiles.OpenDir(dir)
			require.Error(t, err)
			require.Nil(t, f)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	missing := filepath.ToSlash(filepath.Join(t.TempDir(), "missing"))
	for name, test := range map[string]struct{ url, says string }{
		"Empty":          {"", "scheme"},
		"NoURL":          {"/var/lib/redrive", "scheme"},
		"UnknownDriver":  {"nosuchcloud://bucket", "nosuchcloud"},
		"NoFolder":       {"file://", "names no folder"},
		"RelativePath":   {"file:files", "names no folder"},
		"HostIsNoFolder": {"file://files/redrive?create_dir=1", `"files"`},
		"MissingFolder":  {"file://" + missing, "no such file"},
		"Parameter":      {"file://" + missing + "2?create_dir=1&nosuchparameter=1", "nosuchparameter"},
		"PrefixAbove":    {"file://" + missing + "3?create_dir=1&prefix=../other/", "leads out of the folder"},
		"Credentials":    {"s3://key:sesame@bucket", "credentials"},
		"Unreadable":     {"s3://key:sesame@bucket:notaport", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := blobfiles.Open(t.Context(), test.url)
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "sesame")
			require.Nil(t, f)
		})
	}
}

// A file URL with the host "." is relative to the working directory, for the driver and
// for the fsyncs.
func TestOpenRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f := open(t, "file://./deep/files?create_dir=1")
	ref := put(t, f, "acme", "hello")
	got, err := read(t, f, "acme", ref)
	require.NoError(t, err)
	require.Equal(t, "hello", got)
	require.Len(t, filesUnder(t, filepath.Join(dir, "deep", "files")), 1)
}
