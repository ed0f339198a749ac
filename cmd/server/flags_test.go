package main

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

func parserOf(t *testing.T) (*kong.Kong, *cli) {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Name("redrive"), kong.ExplicitGroups(groups), kong.Vars{"version": ""}, kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(streams{}))
	require.NoError(t, err)
	return parser, &c
}

// A flag and its variable have the same name, REDRIVE_MAX_FILES and --max-files, so that
// an error about one leads to the other.
func TestFlagNames(t *testing.T) {
	t.Parallel()
	parser, c := parserOf(t)
	known := 0
	for _, leaf := range parser.Model.Leaves(false) {
		for _, group := range leaf.AllFlags(false) {
			for _, f := range group {
				for _, env := range f.Envs {
					known++
					name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(env, "REDRIVE_"), "_", "-"))
					require.Equal(t, name, f.Name, env)
				}
			}
		}
	}
	require.Greater(t, known, 40)

	parsed, err := parser.Parse([]string{"serve"})
	require.NoError(t, err)
	name := flagNamer(parsed)
	require.Equal(t, "--max-redeliveries (REDRIVE_MAX_REDELIVERIES)", name(&c.Serve.Redeliveries))
	require.Equal(t, "--db-max-conns (REDRIVE_DB_MAX_CONNS)", name(&c.Serve.DBMaxConns))
	// Every field that check can name is a flag.
	broken := &c.Serve
	for _, v := range []reflect.Value{reflect.ValueOf(broken).Elem(), reflect.ValueOf(&broken.listenFlags).Elem(), reflect.ValueOf(&broken.databaseFlags).Elem()} {
		for i := range v.NumField() {
			if f := v.Field(i); f.CanInt() && f.CanSet() && v.Type().Field(i).Name != "LogLevel" {
				f.SetInt(-1)
			}
		}
	}
	err = broken.check(name)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "a flag")
	require.Greater(t, strings.Count(err.Error(), "\n"), 18)
}

// An error about a variable has the variable's name.
func TestBadVariables(t *testing.T) {
	for variable, value := range map[string]string{ //nolint:paralleltest // the environment is one
		"LLM_TIMEOUT": "abc", "REDRIVE_MAX_REDELIVERIES": "many", "REDRIVE_LOG_LEVEL": "loud", "REDRIVE_LOG_FORMAT": "xml",
		"REDRIVE_DEMO": "perhaps", "REDRIVE_WORKERS": "1.5", "REDRIVE_UPLOAD_RATE": "fast", "REDRIVE_MAX_FILE_BYTES": "1e400",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			var out, logs bytes.Buffer
			require.Equal(t, 2, run(context.Background(), []string{"serve"}, &out, &logs))
			require.Contains(t, logs.String(), variable)
			require.Contains(t, logs.String(), "--"+strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, "REDRIVE_"), "_", "-")))
		})
	}
	require.Empty(t, os.Getenv("LLM_TIMEOUT"))
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.9.10:1": true, "localhost:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		":8080": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "myhost:1": false, "127.0.0.1": false, "": false,
	} {
		require.Equal(t, want, loopback(address), address)
	}
}

func TestCellsAreText(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"", "plain", "'=1+1", "'+1", "'@SUM(A1)", "'\tx", "'\rx", "'\nx", "'-1+1", "-5", "5", "'-", "a=1", "'＝1", "'=cmd|' /C calc'!A0",
	}, asText([]string{
		"", "plain", "=1+1", "+1", "@SUM(A1)", "\tx", "\rx", "\nx", "-1+1", "-5", "5", "-", "a=1", "＝1", "=cmd|' /C calc'!A0",
	}))
}

func TestConnectionsFor(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[uint64]int{0: 4096, 20: 16, 100: 25, 256: 128, 512: 384, 1024: 896, 4224: 4096, 1 << 40: 4096, 1<<64 - 1: 4096} {
		require.Equal(t, want, connectionsFor(descriptors), descriptors)
	}
}
