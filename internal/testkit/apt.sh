#!/bin/sh
# apt.sh WHAT OTHERWISE PACKAGE...
# Installs Debian's packages for something that the tests need and did not find. Where
# there is no apt, it says what to do otherwise.
set -eu

what=$1 otherwise=$2
shift 2
if ! command -v apt-get >/dev/null; then
	echo "No $what was found. $otherwise" >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "No $what was found; installing it for the tests."
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
