#!/bin/sh
# Makes sure that Go finds a C compiler, which the race detector needs and nothing
# else here does, and installs Debian's if it would not.
set -eu

command -v "$(go env CC)" >/dev/null && exit 0
exec "$(dirname "$0")/../apt.sh" "C compiler" "The race detector needs one: install gcc or clang." gcc libc6-dev
