package blobfiles_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/redrive/redrive/adapters/blobfiles"
)

func Example() {
	ctx := context.Background()
	files, err := blobfiles.Open(ctx, "mem://") // or OpenDir("/var/lib/redrive/files")
	if err != nil {
		panic(err)
	}
	stored, err := files.Put(ctx, "acme", strings.NewReader("hello\n"))
	if err != nil {
		panic(err)
	}
	fmt.Println(stored.Ref, stored.Size)
	content, err := files.Open(ctx, "acme", stored.Ref)
	if err != nil {
		panic(err)
	}
	if _, err := io.Copy(os.Stdout, content); err != nil {
		panic(err) // blobfiles.ErrDamaged if this is not what was stored
	}
	if err := errors.Join(content.Close(), files.Close()); err != nil {
		panic(err)
	}
	// Output:
	// sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 6
	// hello
}
