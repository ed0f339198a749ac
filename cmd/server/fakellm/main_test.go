package fakellm_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails the package if a goroutine of a server outlives the tests, all
// of which close what they open.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := goroutinesOf("fakellm.(*Server)"); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "a closed server left goroutines behind:\n"+left)
		code = 1
	}
	os.Exit(code)
}

func goroutinesOf(frame string) string {
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var found []string
	for _, s := range stacks {
		if strings.Contains(s, frame) {
			found = append(found, s)
		}
	}
	return strings.Join(found, "\n\n")
}
