#!/bin/sh
# Makes sure that the tests of the packing find dpkg and systemd-analyze, and installs
# Debian's packages if they would not. Nothing is started.
set -eu

if command -v dpkg >/dev/null && command -v systemd-analyze >/dev/null; then
	exit 0
fi
exec "$(dirname "$0")/../testkit/apt.sh" "dpkg and systemd-analyze" \
	"Install them: the tests install the Debian package into a folder and check its unit." dpkg systemd
