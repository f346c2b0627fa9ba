#!/bin/sh
# Extracts Debian packages of any architecture, with all that they depend on, into a new folder.
# Nothing is installed: no maintainer script runs, so no emulation is needed, and packages that are out of
# step with the host's own (which apt refuses to install beside them) do no harm.
# Usage: matrixctl-extract SUITE ARCH FOLDER PACKAGE...
# WHOLE=PACKAGE: the .deb of one package more is put into FOLDER as it is, without what it depends on.
set -eu
suite=$1 arch=$2 root=$3
shift 3
include=$(IFS=,; echo "$*")
noted=$(mktemp)

# Nothing is "installed", so the list of versions has to be written by hand, while the packages are there.
cat > "$noted" <<'HOOK'
#!/bin/sh
set -eu
for deb in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$deb" Package Architecture Version
  echo 'Status: install ok unpacked'
  echo
done > "$1/var/lib/dpkg/status"
[ -z "${WHOLE:-}" ] || { cd "$1"; APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download "$WHOLE"; }
HOOK
chmod +x "$noted"

extract() { # SOURCE...
  rm -rf "$root"
  mmdebstrap --mode=root --variant=extract --format=directory --architectures="$arch" \
    --include="$include" --extract-hook="$noted" "$suite" "$root" "$@"
}

sources=$(find /etc/apt/sources.list /etc/apt/sources.list.d -type f -size +0 2> /dev/null || :)
# shellcheck disable=SC2086 # one argument per file of sources
if ! extract $sources; then
  # A mirror's lists of updates can be broken for one architecture alone; the release itself never changes.
  echo "once more for $arch, from $suite alone, without its updates" >&2
  main=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$suite/InRelease'.*|deb \1 $suite main|p")
  extract "$main"
fi
rm -f "$noted"
