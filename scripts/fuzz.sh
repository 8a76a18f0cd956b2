#!/usr/bin/env bash
# Runs the property tests of every parser and codec with many more cases than
# CI does: random bytes, random splits, random values.
set -euo pipefail

usage() {
  cat <<'EOT'
Usage: scripts/fuzz.sh [CASES]

Tries each property of the wire formats, the reflector and the captures CASES
times (default 30000000, some minutes on two cores).

A case that fails is printed, shrunk to the smallest that does, and kept in
proptest-regressions/ where it is tried first from then on.

Exit status: 0 nothing failed; 101 something did; 2 bad usage.
EOT
}

cases=${1:-30000000}
case $cases in
  -h | --help)
    usage
    exit 0
    ;;
  '' | *[!0-9]*)
    printf 'fuzz.sh: %s is no number of cases\n' "$cases" >&2
    exit 2
    ;;
esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PROPTEST_CASES=$cases
cargo test --release --locked --lib -- wire:: reflector:: client:: analyze::
