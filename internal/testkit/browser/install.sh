#!/bin/sh
# Makes sure that the tests find Chromium, in the places where browser.go looks, and
# installs Debian's package if they would not.
set -eu

for name in chromium chromium-browser google-chrome google-chrome-stable; do
	if command -v "$name" >/dev/null; then
		exit 0
	fi
done

if ! command -v apt-get >/dev/null; then
	echo "No Chromium was found. Install it or Google Chrome." >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "No Chromium was found; installing it for the tests."
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
