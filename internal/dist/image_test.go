//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// The image is a valid OCI layout, its config says what a platform has to know, and its
// entry point serves as its user in its file system, and keeps its data in its volume.
func TestImage(t *testing.T) {
	needsJail(t)
	t.Parallel()
	other := filepath.Join(t.TempDir(), "redrive") // which is not started
	require.NoError(t, os.WriteFile(other, []byte("for another architecture"), 0o600))
	written := func() v1.ImageIndex {
		folder := filepath.Join(t.TempDir(), "image")
		require.NoError(t, (&imageCmd{Binaries: map[string]string{runtime.GOARCH: binary, "riscv64": other}, Out: folder}).Run(&tested))
		index, err := layout.ImageIndexFromPath(folder)
		require.NoError(t, err)
		return index
	}
	index := written()
	require.NoError(t, validate.Index(index))
	digest, err := index.Digest()
	require.NoError(t, err)
	again, err := written().Digest()
	require.NoError(t, err)
	require.Equal(t, digest, again, "two images of one binary differ")

	top, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, top.Manifests, 1)
	require.Equal(t, "v1.2.3-4-gabcdef0", top.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	named, err := index.ImageIndex(top.Manifests[0].Digest)
	require.NoError(t, err)
	platforms, err := named.IndexManifest()
	require.NoError(t, err)
	require.Len(t, platforms.Manifests, 2)
	image := imageFor(t, named, runtime.GOARCH)

	config, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "linux", config.OS)
	require.True(t, config.Created.Equal(tested.Date))
	require.Equal(t, "65532:65532", config.Config.User)
	require.Equal(t, []string{"/usr/bin/redrive"}, config.Config.Entrypoint)
	require.Equal(t, []string{"serve"}, config.Config.Cmd)
	require.Contains(t, config.Config.ExposedPorts, "8080/tcp")
	require.Contains(t, config.Config.Volumes, "/var/lib/redrive")
	require.Equal(t, "v1.2.3-4-gabcdef0", config.Config.Labels["org.opencontainers.image.version"])
	require.Equal(t, "abcdef0123", config.Config.Labels["org.opencontainers.image.revision"])
	layers, err := image.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
	for _, l := range layers {
		kind, err := l.MediaType()
		require.NoError(t, err)
		require.Equal(t, types.OCILayer, kind)
	}

	j := &jail{root: t.TempDir(), uid: imageUser, gid: imageUser, dir: config.Config.WorkingDir}
	unpack(t, mutate.Extract(image), j.root)
	t.Run("Authorities", func(t *testing.T) {
		pem, err := os.ReadFile(filepath.Join(j.root, "etc/ssl/certs/ca-certificates.crt"))
		require.NoError(t, err)
		require.True(t, x509.NewCertPool().AppendCertsFromPEM(pem))
		require.Greater(t, bytes.Count(pem, []byte("BEGIN CERTIFICATE")), 100)
	})
	j.env = append(config.Config.Env, "REDRIVE_LISTEN=0.0.0.0:0", "LLM_BASE_URL=http://127.0.0.1:9/v1", "LLM_MODEL=m",
		"REDRIVE_JWT_SECRET=4f1c9d0b7a6e5f38c2b1a0918d7e6f5c")
	before := changes(t, j.root)
	log := j.serves(t, append(config.Config.Entrypoint, config.Config.Cmd...)...)
	require.NotContains(t, log, "level=ERROR")
	keepsTo(t, "/var/lib/redrive", j.root, before)
}

func imageFor(t *testing.T, index v1.ImageIndex, arch string) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture == arch {
			image, err := index.Image(m.Digest)
			require.NoError(t, err)
			return image
		}
	}
	require.Fail(t, "no image for "+arch)
	return nil
}

// unpack makes the file system of an image, with its owners.
func unpack(t *testing.T, packed io.ReadCloser, root string) {
	t.Helper()
	require.NoError(t, os.Chmod(root, 0o755)) // the image's user has to enter it
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		path := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o700))
		} else {
			content, err := io.ReadAll(archive)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
		give(t, path, h.Uid, h.Gid)
		require.NoError(t, os.Chmod(path, h.FileInfo().Mode()))
	}
	require.NoError(t, packed.Close())
}
