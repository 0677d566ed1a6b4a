#!/bin/sh
# Rebuilds the twelve photographs of testdata/ladder from those of Debian 12 packages.
# Installs nothing: when a package is missing it prints the apt-get line and stops.
# Run twice on Debian 12, it writes the same bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
missing=""
for package in lomiri-wallpapers-16.04 mate-backgrounds python3-pil; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	echo "Missing packages. Install them with:" >&2
	echo "  apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

# The peers were measured on these very files.
sha256sum --check --quiet "$here/sources.sha256"

LC_ALL=C.UTF-8 TZ=UTC exec /usr/bin/python3 "$here/build.py" "$here/list.csv" "$here/.."
