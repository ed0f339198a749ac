#!/bin/sh
# Makes sure that the tests find Postgres, in the places where find.go looks, and
# installs Debian's package if they would not. No server is set up or started.
set -eu

[ -z "${REDRIVE_TEST_DATABASE_URL:-}" ] || exit 0
for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
	if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/postgres" ]; then
		exit 0
	fi
done

if command -v apt-get >/dev/null && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	# The tests start servers of their own; the package need not make one.
	as_root=
	[ "$(id -u)" = 0 ] || as_root=sudo
	$as_root mkdir -p /etc/postgresql-common
	echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
exec "$(dirname "$0")/../apt.sh" PostgreSQL \
	"Install its server binaries, or set REDRIVE_TEST_DATABASE_URL to a server on which databases may be created." postgresql
