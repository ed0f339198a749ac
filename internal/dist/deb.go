package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format
)

// debCmd makes a Debian package; debian/nfpm.yaml says what is in it.
type debCmd struct {
	Binary string `required:"" type:"existingfile" help:"Static binary for Linux."`
	Arch   string `required:"" enum:"amd64,arm64" help:"Its architecture."`
	Out    string `required:"" type:"existingdir" help:"Folder to write the package to."`
}

// Run writes redrive_VERSION_ARCH.deb.
func (d *debCmd) Run(r *release) (err error) {
	version, err := debVersion(r.Version)
	if err != nil {
		return err
	}
	values := map[string]string{
		"ARCH": d.Arch, "VERSION": version, "BINARY": d.Binary, "SOURCE": r.Source,
	}
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join("debian", "nfpm.yaml"), func(name string) string { return values[name] })
	if err != nil {
		return err
	}
	config.MTime = r.Date
	info, err := config.Get("deb")
	if err != nil {
		return err
	}
	info = nfpm.WithDefaults(info)
	info.MTime = r.Date
	for _, c := range info.Contents { // nfpm would take the time of the checkout
		if c.FileInfo != nil {
			c.FileInfo.MTime = r.Date
		}
	}
	packager, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	path := filepath.Join(d.Out, packager.ConventionalFileName(info))
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(packager.Package(info, file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	_, err = fmt.Println(path)
	return err
}

// described is a version as git describe has it: the last tag, how many commits there were
// since, the last one's hash.
var described = regexp.MustCompile(`^(v?\d+\.\d+\.\d+[^-]*(?:-rc[.\d]*)?)-(\d+)-g([0-9a-f]+)(-dirty)?$`)

var semver = regexp.MustCompile(`^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// debVersion gives a version that dpkg sorts as it should: 1.2.3~rc.1 before 1.2.3, and what
// came four commits later, 1.2.3+4.gabcdef0, after it.
func debVersion(version string) (string, error) {
	if m := described.FindStringSubmatch(version); m != nil {
		return strings.TrimPrefix(m[1], "v") + "+" + m[2] + ".g" + m[3] + strings.ReplaceAll(m[4], "-", "."), nil
	}
	version = strings.TrimSuffix(version, "-dirty")
	if !semver.MatchString(version) {
		return "", fmt.Errorf("%q is no version: want v1.2.3, v1.2.3-rc.1 or what git describe makes of them", version)
	}
	return strings.TrimPrefix(version, "v"), nil
}
