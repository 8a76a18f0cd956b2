#!/usr/bin/env bash
# Injects known trouble into single packets and prints what the client told of
# each, as a matrix: how far the causes in its summary can be believed.
set -euo pipefail

usage() {
  cat <<'EOT'
Usage: scripts/truth.sh [--quick] [OPTIONS]

Builds the client and runs it over paths between network namespaces (root and
/dev/net/tun) in which single packets are lost, held back or doubled, and one of
the two programs is stopped; 300 incidents of each kind at round trips of 1, 20
and 100 ms and intervals of 5 to 200 ms take half an hour on two cores.

  --quick     20 ms and 20 and 200 ms alone, 10 incidents of each kind: a minute
  -h, --help  print this

OPTIONS are those of tests/truth_matrix.py: --incidents N, --kinds KIND,…,
--rtts MS,…, --intervals MS,…, --jobs N, --cells.

Exit status: 0 every kind is told right in at least 90 % and wrong in at most
1 %; 1 one is not; 2 bad usage; 77 no root or no /dev/net/tun.
EOT
}

arguments=()
for argument; do
  case $argument in
    -h | --help)
      usage
      exit 0
      ;;
    --quick) arguments+=(--incidents 10 --rtts 20 --intervals "20,200") ;;
    *) arguments+=("$argument") ;;
  esac
done
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
cargo build --release --locked --quiet
exec python3 tests/truth_matrix.py "${arguments[@]}"
