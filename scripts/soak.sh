#!/usr/bin/env bash
# Measures the servers honestly while strangers attack them, and says whether
# they held.
set -euo pipefail

usage() {
  cat <<'EOT'
Usage: scripts/soak.sh [--seconds N]

Builds the servers and runs all four in a network namespace (root), with honest
clients of every protocol at 100 Hz, first alone and then beside attackers:
connections that say nothing, come and go, never read, or send half of the largest
message; floods of pings, garbage, test sessions and datagrams.

  --seconds N  how long each of the two parts lasts (default 30)
  -h, --help   print this

Exit status: 0 honest clients lost nothing and waited no longer than they do,
and the servers came back to rest; 1 not so; 2 bad usage; 77 no root.
EOT
}

case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
cargo build --release --locked --quiet
exec python3 tests/soak.py "$@"
