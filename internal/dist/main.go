package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

// release is what is packed.
type release struct {
	Version string    `required:"" help:"Version, such as v1.2.3, or as git describe has it."`
	Commit  string    `required:"" help:"Revision."`
	Date    time.Time `required:"" help:"Time of the commit, RFC 3339."`
	Source  string    `default:"../.." type:"existingdir" help:"Folder of Redrive's source."`
}

type cli struct {
	release

	Archive archiveCmd `cmd:"" help:"Pack a binary with licence and README: tar.gz, for Windows zip."`
	Deb     debCmd     `cmd:"" help:"Make a Debian package with a systemd unit."`
	Image   imageCmd   `cmd:"" help:"Make a container image as an OCI layout, for one or more architectures."`
	Sums    sumsCmd    `cmd:"" help:"Write SHA256SUMS of the files of a folder."`
}

func main() {
	var c cli
	parsed := kong.Parse(&c, kong.Name("dist"), kong.Description("Packs binaries of Redrive."), kong.Bind(&c.release))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}
