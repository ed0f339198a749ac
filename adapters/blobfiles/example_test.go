package blobfiles_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/redrive/redrive/adapters/blobfiles"
)

func Example() {
	ctx := context.Background()
	files, err := blobfiles.Open(ctx, "mem://") // or OpenDir("/var/lib/redrive/files")
	if err != nil {
		panic(err)
	}
	// An upload has the ID of the run that is to be made of it.
	upload, err := files.Begin(ctx, "acme", "run-1", time.Now())
	if err != nil {
		panic(err)
	}
	stored, err := upload.Add(ctx, strings.NewReader("hello\n"))
	if err != nil {
		panic(err)
	}
	if err := upload.Commit(ctx); err != nil { // durable from here on
		panic(err)
	}
	fmt.Println(stored.Ref, stored.Size)
	if err := files.Keep(ctx, "acme", "run-1"); err != nil { // once the run is there, else Remove
		panic(err)
	}
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
	// run-1/0/sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 6
	// hello
}
