#!/bin/sh
# Makes sure that the tests find curl, Python 3, and Node.js 20 or newer with npm, and beside
# this file the packages of package-lock.json, whose sums npm checks. Scripts of packages are
# not run.
set -eu
cd "$(dirname "$0")"

node_is_there() {
	command -v npm >/dev/null && command -v node >/dev/null &&
		[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]
}

command -v curl >/dev/null && command -v python3 >/dev/null ||
	../testkit/apt.sh "curl or Python 3" "Install both." curl python3
node_is_there || ../testkit/apt.sh "Node.js 20 with npm" "Install it." nodejs npm
node_is_there || {
	echo "Node.js is older than 20: $(node --version). Install a newer one." >&2
	exit 1
}
if ! cmp -s package-lock.json node_modules/.of-package-lock.json; then
	npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	cp package-lock.json node_modules/.of-package-lock.json
fi
