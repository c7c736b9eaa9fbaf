#!/bin/sh
# Installs the Debian packages given, as far as they are missing, and what this python3 needs beside them.
set -eu
python3 -c 'import ensurepip' 2>/dev/null || set -- "$@" python3-venv
header=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
[ -e "$header" ] || set -- "$@" python3-dev
missing=
for package in "$@"; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "These packages are missing:$missing. Run this as root, or install them first." >&2
	exit 2
fi
apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -q >/dev/null
	apt-get install -y --no-install-recommends $missing >/dev/null
}
