#!/usr/bin/env bash
# Builds a Debian package around the static binary: units and xinetd's file as
# the install scripts write them (all switched off), manual, completions. Needs
# dpkg-deb alone, and makes the same bytes from the same commit and binary.
set -euo pipefail

program=${0##*/}

usage() {
  cat <<'EOT'
Usage: scripts/build-deb.sh [OPTIONS]

  --target ARCH       x86_64 or aarch64 (default: this machine)
  --binary PATH       static binary to pack (default dist/echotest-ARCH; it is
                      built with scripts/build-static.sh where it is missing)
  --out DIR           where echotest_VERSION_ARCH.deb goes (default dist/)
  --maintainer TEXT   "Name <address>" that the package names (default from
                      DEBFULLNAME and DEBEMAIL)
  -h, --help          print this

Nothing is started or enabled by installing it. To serve:

    systemctl enable --now echotest-echo.socket

Exit status: 0 built; 1 building failed; 2 bad usage, or something is missing.
EOT
}

die() {
  local status=$1
  shift
  printf '%s: %s\n' "$program" "$*" >&2
  exit "$status"
}

target=$(uname -m) binary='' out='' maintainer=''
while (($#)); do
  case $1 in
    --target | --binary | --out | --maintainer)
      [[ -n ${2-} ]] || die 2 "$1 needs a value; try $program --help"
      declare "${1#--}=$2"
      shift 2
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die 2 "unknown argument: $1; try $program --help" ;;
  esac
done
case $target in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) die 2 "--target \"$target\": accepted is x86_64 or aarch64" ;;
esac
# Devscripts' variables; a package made for one's own hosts needs no address.
maintainer=${maintainer:-${DEBFULLNAME:-echotest maintainers} <${DEBEMAIL:-echotest@packages.invalid}>}
[[ $maintainer =~ ^[^\<\>]+\ \<[^\<\>\ ]+@[^\<\>\ ]+\>$ ]] ||
  die 2 "--maintainer \"$maintainer\": accepted is a name and an address, \"Name <address>\""
command -v dpkg-deb >/dev/null || die 2 'dpkg-deb is missing: install dpkg'

top=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
out=${out:-$top/dist}
mkdir -p -- "$out" || die 2 "cannot create $out; choose another with --out"
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$top/Cargo.toml")
[[ -n $version ]] || die 1 'Cargo.toml names no version'
# The packaging's own revision.
debian_version=$version-1
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || date +%s)}
umask 022

if [[ -z $binary ]]; then
  binary=$top/dist/echotest-$target
  [[ -f $binary ]] || "$top/scripts/build-static.sh" --target "$target" >&2 || die 1 'the static binary could not be built'
fi
[[ -f $binary ]] || die 2 "no binary at $binary"

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
tree=$scratch/tree

# Standard input becomes file $1 of the package.
put() {
  mkdir -p -- "$tree/${1%/*}"
  cat >"$tree/$1"
}

# --- What is installed ---

install -D -m 755 -- "$binary" "$tree/usr/bin/echotest"

for protocol in echo measure ping twamp; do
  "$top/scripts/install-systemd.sh" --protocol "$protocol" --prefix /usr \
    --print-units "$tree/usr/lib/systemd/system"
done
mkdir -p "$tree/etc/xinetd.d"
"$top/scripts/install-xinetd.sh" --prefix /usr --print-service "$tree/etc/xinetd.d/echotest"

# A binary of this version that runs here prints manual and completions: the
# packed one, unless it is for another machine.
speaker=
for candidate in "$binary" "$top/dist/echotest-$(uname -m)" "$top"/target/{release,debug}/echotest; do
  if [[ $("$candidate" --version 2>/dev/null) == "echotest $version" ]]; then
    speaker=$candidate
    break
  fi
done

# What `echotest help $2…` prints becomes file $1.
from_help() {
  local file=$1
  shift
  if [[ -n $speaker ]] && "$speaker" help "$@" >"$scratch/text" 2>/dev/null && [[ -s $scratch/text ]]; then
    put "$file" <"$scratch/text"
  else
    printf '%s: left out: %s (no binary that runs here prints it)\n' "$program" "$file" >&2
  fi
}
from_help usr/share/man/man1/echotest.1 man
from_help usr/share/bash-completion/completions/echotest completions bash
from_help usr/share/zsh/vendor-completions/_echotest completions zsh
from_help usr/share/fish/vendor_completions.d/echotest.fish completions fish

if [[ -d $top/scripts/monitoring ]]; then
  for file in "$top"/scripts/monitoring/*; do
    put "usr/share/doc/echotest/examples/monitoring/${file##*/}" <"$file"
  done
fi
put usr/share/doc/echotest/README.md <"$top/README.md"

{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
  printf 'Upstream-Name: echotest\n\nFiles: *\n'
  sed -n 's/^Copyright (c) /Copyright: /p' "$top/LICENSE"
  printf 'License: Expat\n'
  # The text below the title and the copyright line, in the format's own way.
  sed '1,/^Copyright/d' "$top/LICENSE" | sed '/./,$!d' | sed 's/^$/./; s/^/ /'
} | put usr/share/doc/echotest/copyright

put usr/share/doc/echotest/changelog.Debian <<EOT
echotest ($debian_version) unstable; urgency=medium

  * Built from the project's own sources; the changes are in its history.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOT

# One file for every release, with nothing from the host but its kernel.
put usr/share/lintian/overrides/echotest <<'EOT'
echotest: statically-linked-binary [usr/bin/echotest]
EOT

# --- What dpkg is told ---

for file in "$tree/usr/share/man/man1/echotest.1" "$tree/usr/share/doc/echotest/changelog.Debian"; do
  [[ ! -f $file ]] || gzip -9n -- "$file"
done
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f ! -path "$tree/usr/bin/*" -exec chmod 644 {} +

mkdir -p "$tree/DEBIAN"
kilobytes=$(du -k -s --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
put DEBIAN/control <<EOT
Package: echotest
Version: $debian_version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $kilobytes
Suggests: xinetd
Section: net
Priority: optional
Description: times every round trip of a long-lived TCP connection
 echotest leaves one TCP connection open between two hosts, for minutes or for
 weeks, and times every round trip on it. It says which packets were slow, late
 or lost, when the connection dropped and how long that lasted, and keeps every
 packet in a CSV file, so that paths can be compared.
 .
 It is client and server for TCP echo (RFC 862), TCP ping and TWAMP (RFC 5357).
 Installing it starts and enables nothing; the units are echotest-echo.socket,
 echotest-measure.socket, echotest-ping.socket and echotest-twamp.socket.
EOT
(cd -- "$tree" && find etc -type f -printf '/%p\n' | sort) | put DEBIAN/conffiles
(cd -- "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) | put DEBIAN/md5sums

put DEBIAN/postinst <<'EOT'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # The sockets stay open meanwhile: no client is refused.
  if [ -n "$2" ]; then
    systemctl try-restart 'echotest-*.service' || true
  fi
fi
EOT
put DEBIAN/prerm <<'EOT'
#!/bin/sh
set -e
if [ "$1" = remove ] && command -v systemctl >/dev/null; then
  for protocol in echo measure ping twamp; do
    for unit in "echotest-$protocol.socket" "echotest-$protocol.service"; do
      systemctl --quiet --no-reload disable "$unit" >/dev/null 2>&1 || true
      if [ -d /run/systemd/system ]; then
        systemctl --quiet stop "$unit" || true
      fi
    done
  done
fi
EOT
put DEBIAN/postrm <<'EOT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  if [ "$1" = remove ]; then
    systemctl reset-failed 'echotest-*' >/dev/null 2>&1 || true
  fi
fi
EOT
chmod 644 "$tree"/DEBIAN/*
chmod 755 "$tree"/DEBIAN/{postinst,prerm,postrm}

find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=echotest_${debian_version}_$architecture.deb
# xz is understood by every dpkg that is still in use.
dpkg-deb --root-owner-group -Zxz --build "$tree" "$scratch/$package" >/dev/null || die 1 'dpkg-deb failed'
mv -f -- "$scratch/$package" "$out/$package"
printf '%s  %d bytes\n' "$out/$package" "$(wc -c <"$out/$package")"
