#!/bin/sh
# Makes sure that the tests find Chromium, in the places where browser.go looks, and
# installs Debian's package if they would not.
set -eu

for name in chromium chromium-browser google-chrome google-chrome-stable; do
	if command -v "$name" >/dev/null; then
		exit 0
	fi
done
exec "$(dirname "$0")/../apt.sh" Chromium "Install it or Google Chrome." chromium
