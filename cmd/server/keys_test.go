package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key that is made on the command line opens the server, until it is revoked there.
func TestKeys(t *testing.T) {
	t.Parallel()
	db := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "redrive.db")
	of := []string{db, "--tenant=" + string(demoTenant)}
	keys := func(args ...string) (int, string, string) {
		return command(append([]string{"keys", args[0]}, append(of, args[1:]...)...)...)
	}
	code, _, logs := keys("list")
	require.Equal(t, 1, code, "a database that is not there is not made: %s", logs)

	ask := func(token string) int {
		p := start(t, db, "--demo")
		status, _ := p.callWith(t, token, http.MethodGet, "/balance", "")
		require.Zero(t, p.stop(t))
		return status
	}
	require.Equal(t, http.StatusUnauthorized, ask("rdk_no_key"))

	code, token, logs := keys("make", "--role=customer_user", "--name=nightly\nimport", "--expires-in=720h")
	require.Equal(t, 0, code, logs)
	token = strings.TrimSuffix(token, "\n")
	require.Regexp(t, `^rdk_`+string(demoTenant)+`_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`, token)
	require.Equal(t, http.StatusOK, ask(token))

	code, out, logs := keys("list")
	require.Equal(t, 0, code, logs)
	id := strings.Fields(strings.Split(out, "\n")[1])[0]
	require.Contains(t, token, "_"+id+"_")
	require.Contains(t, out, `"nightly\nimport"`)
	require.Contains(t, out, "active")
	require.NotContains(t, out, token)

	code, out, logs = keys("revoke", id)
	require.Equal(t, 0, code, logs)
	require.Contains(t, out, "is revoked since")
	require.Equal(t, http.StatusUnauthorized, ask(token))
	code, _, logs = keys("revoke", "unknown")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "api_key_not_found")
	code, _, logs = keys("make", "--role=customer_user", "--name=")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "name")
}
