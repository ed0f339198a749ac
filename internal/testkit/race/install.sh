#!/bin/sh
# Makes sure that Go finds a C compiler, which the race detector needs and nothing
# else here does, and installs Debian's if it would not.
set -eu

if command -v "$(go env CC)" >/dev/null; then
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "No C compiler was found, which the race detector needs. Install gcc or clang." >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "No C compiler was found; installing one for the race detector."
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev
