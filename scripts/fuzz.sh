#!/usr/bin/env bash
# Fuzzes every reader of strangers' bytes, guided by coverage, and tells how many
# inputs were tried and what they reached.
set -euo pipefail

usage() {
  cat <<'EOT'
Usage: scripts/fuzz.sh [SECS] [TARGET...]

Fuzzes each TARGET (default: all of tests/fuzz/targets) for SECS seconds (default
600), as many at once as there are processors, from the inputs in
tests/fuzz/corpus and those that earlier runs found. It needs cargo-fuzz, and
says how to get it.

An input that fails is kept in tests/fuzz/artifacts/TARGET/, and the command that
shows it again is printed.

Exit status: 0 nothing failed; 1 something did; 2 bad usage; 77 no cargo-fuzz.
EOT
}

seconds=600
case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
  '') ;;
  *[!0-9]*)
    printf 'fuzz.sh: %s is no number of seconds\n' "$1" >&2
    exit 2
    ;;
  *)
    seconds=$1
    shift
    ;;
esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
known=()
for file in tests/fuzz/targets/*.rs; do
  known+=("$(basename "$file" .rs)")
done
targets=("$@")
((${#targets[@]})) || targets=("${known[@]}")
for target in "${targets[@]}"; do
  if [[ " ${known[*]} " != *" $target "* ]]; then
    printf 'fuzz.sh: no target %s; there are: %s\n' "$target" "${known[*]}" >&2
    exit 2
  fi
done
if ! cargo fuzz --version >/dev/null 2>&1; then
  printf 'fuzz.sh: no cargo-fuzz; get it by: cargo install cargo-fuzz --locked\n' >&2
  exit 77
fi

# Coverage needs flags that a stable compiler takes only so. The parsers have no
# `unsafe`: a sanitizer would find nothing in them and halve the speed.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none

logs=$(mktemp -d)
trap 'rm -rf -- "$logs"' EXIT

# One target, for its time; its last line is its result.
fuzz() {
  local target=$1 status=0 log=$logs/$1
  mkdir -p "tests/fuzz/found/$target" "tests/fuzz/corpus/$target"
  cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" \
    "tests/fuzz/found/$target" "tests/fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
    -print_final_stats=1 >"$log" 2>&1 || status=$?
  if ((status)); then
    printf '%-9s FAILED\n' "$target"
    grep -aE 'panicked at|^SUMMARY|cargo fuzz run|^Test unit|ALARM|out-of-memory' -A 1 "$log" |
      tail -n 20
  else
    printf '%-9s %12s inputs tried, %6s edges covered, %5s inputs kept\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
      "$(grep -ao 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)" \
      "$(grep -ao 'corp: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)"
  fi
  return "$status"
}

failed=0
running=0
for target in "${targets[@]}"; do
  if ((running == $(nproc))); then
    wait -n || failed=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
while ((running)); do
  wait -n || failed=1
  running=$((running - 1))
done
exit "$failed"
