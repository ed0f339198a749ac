package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageCmd makes an image from scratch: the static binary, the certificates of authorities,
// a user, and a folder for the data. It has no shell and nothing to update but Redrive.
type imageCmd struct {
	Binaries map[string]string `arg:"" name:"arch=binary" help:"Static binaries for Linux by their architectures: amd64=PATH arm64=PATH."`
	Out      string            `required:"" type:"path" help:"Folder of the OCI layout; what was in it is removed."`
}

const (
	imageUser   = 65532 // what images without a root user have in common
	imageData   = "/var/lib/redrive"
	imageBinary = "/usr/bin/redrive"
	imagePort   = "8080"
)

// Run writes the layout. Its one entry is named by the version.
func (i *imageCmd) Run(r *release) error {
	base, err := layerOf(baseEntries(r.Date))
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range sorted(i.Binaries) {
		image, err := r.image(base, arch, i.Binaries[arch])
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if err := os.RemoveAll(i.Out); err != nil {
		return err
	}
	written, err := layout.Write(i.Out, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	tag := strings.ReplaceAll(r.Version, "+", "-") // a tag has no plus
	if err := written.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
		return err
	}
	_, err = fmt.Printf("%s:%s\n", i.Out, tag)
	return err
}

func sorted(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// image is the image for one architecture.
func (r *release) image(base v1.Layer, arch, binary string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	program, err := layerOf([]entry{
		{header: folder("/usr", 0, 0o755, r.Date)},
		{header: folder("/usr/bin", 0, 0o755, r.Date)},
		fileEntry(imageBinary, 0o755, content, r.Date),
	})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, base, program); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: r.Date.UTC()}
	config.History = nil
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", imageUser, imageUser),
		Entrypoint: []string{imageBinary},
		Cmd:        []string{"serve"},
		WorkingDir: imageData,
		Env: []string{
			"PATH=/usr/bin",
			"DATABASE_URL=sqlite:" + imageData + "/redrive.db",
			// A container has an address of its own; who reaches it is for the platform to say.
			"REDRIVE_LISTEN=0.0.0.0:" + imagePort,
		},
		ExposedPorts: map[string]struct{}{imagePort + "/tcp": {}},
		Volumes:      map[string]struct{}{imageData: {}},
		StopSignal:   "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "Redrive",
			"org.opencontainers.image.description": "Runs workflows over batches of files and continues what failed, paying for nothing twice",
			"org.opencontainers.image.source":      "https://github.com/redrive/redrive",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     r.Version,
			"org.opencontainers.image.revision":    r.Commit,
			"org.opencontainers.image.created":     r.Date.UTC().Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(image, config)
}

// entry is a file or folder of a layer.
type entry struct {
	header  *tar.Header
	content []byte
}

func folder(name string, owner int, mode int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(name, "/") + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: at}
}

func fileEntry(name string, mode int64, content []byte, at time.Time) entry {
	return entry{&tar.Header{
		Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: mode, Size: int64(len(content)), ModTime: at,
	}, content}
}

// baseEntries are what a program needs of an operating system. The authorities are those of
// Mozilla, from the module that Go keeps of them, and not those of the machine that builds.
func baseEntries(at time.Time) []entry {
	var authorities bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil { // a file cannot tell a constraint
			_ = pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	var entries []entry
	for _, name := range []string{"/etc", "/etc/ssl", "/etc/ssl/certs", "/var", "/var/lib"} {
		entries = append(entries, entry{header: folder(name, 0, 0o755, at)})
	}
	tmp := folder("/tmp", 0, 0o1777, at) // of uploads too large for memory
	return append(entries,
		entry{header: tmp},
		entry{header: folder(imageData, imageUser, 0o750, at)}, // a new volume takes its owner from here
		fileEntry("/etc/ssl/certs/ca-certificates.crt", 0o644, authorities.Bytes(), at),
		fileEntry("/etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nredrive:x:%d:%[1]d:Redrive:%s:/sbin/nologin\n", imageUser, imageData), at),
		fileEntry("/etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nredrive:x:%d:\n", imageUser), at),
	)
}

// layerOf makes a compressed layer.
func layerOf(entries []entry) (v1.Layer, error) {
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	for _, e := range entries {
		e.header.Format = tar.FormatPAX
		if path.IsAbs(e.header.Name) {
			return nil, fmt.Errorf("%s: names in a layer are relative", e.header.Name)
		}
		if err := archive.WriteHeader(e.header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, errors.Join(errors.New("a layer"), err)
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching,
	)
}
