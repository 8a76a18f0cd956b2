#!/usr/bin/env bash
# Builds static binaries that run on any Linux of their architecture: copy one
# file to a VM and start it. Writes echotest-x86_64, echotest-aarch64 and
# SHA256SUMS into dist/.
#
# No C compiler for the target is needed: the crates are pure Rust, musl comes
# with the Rust target, and both targets are linked by the rust-lld that comes
# with the toolchain (CARGO_TARGET_<TRIPLE>_LINKER in the environment wins).
#
# The same commit, Cargo.lock and Rust version give the same bytes in every
# directory: paths are remapped and the caller's RUSTFLAGS are not used.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: scripts/build-static.sh [--target x86_64|aarch64]... [--out DIR]

Builds static musl binaries and prints name, size and SHA-256 of each.

  --target ARCH  x86_64 or aarch64; repeatable (default: both)
  --out DIR      where echotest-ARCH and SHA256SUMS go (default: dist/ in the
                 repository)
  -h, --help     print this

Exit status: 0 built; 1 a build or the check that it is static failed; 2 bad
usage, or something is missing that has to be installed first.
EOF
}

# Ends the script: $1 is the exit status, each further argument a line.
die() {
  local status=$1
  shift
  printf 'build-static.sh: %s\n' "$@" >&2
  exit "$status"
}

bad_usage() {
  printf 'build-static.sh: %s\nTry scripts/build-static.sh --help.\n' "$1" >&2
  exit 2
}

out=
archs=()
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --*=*)
      set -- "${1%%=*}" "${1#*=}" "${@:2}"
      continue
      ;;
    --target)
      case ${2-} in
        x86_64 | aarch64) archs+=("$2") ;;
        *) bad_usage "--target ${2-}: expected x86_64 or aarch64" ;;
      esac
      shift 2
      ;;
    --out)
      [[ -n ${2-} ]] || bad_usage "--out: expected a directory"
      out=$2
      shift 2
      ;;
    *) bad_usage "unknown argument: $1" ;;
  esac
done
if ((${#archs[@]} == 0)); then
  archs=(x86_64 aarch64)
fi

top=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
out=${out:-$top/dist}
mkdir -p -- "$out" || die 2 "cannot create the directory $out; choose another with --out"
out=$(CDPATH='' cd -- "$out" && pwd -P)
[[ -w $out ]] || die 2 "cannot write into $out; choose another directory with --out"

# A target directory of the caller's is relative to where the caller stands.
target_dir=${CARGO_TARGET_DIR:-$top/target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
cargo_home=${CARGO_HOME:-}
[[ -n $cargo_home ]] || cargo_home=~/.cargo

# A fresh rustup is often not on the PATH of the shell that installed it.
command -v cargo >/dev/null || PATH=$PATH:$cargo_home/bin
cd -- "$top"

rust_version=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
for tool in cargo rustc; do
  { command -v "$tool" && "$tool" --version; } >/dev/null || die 2 "no working $tool here" \
    "install Rust ${rust_version:-(stable)} or later through rustup, then run this again"
done
sysroot=$(rustc --print sysroot)

# What `rustc -vV` says after "$1: ".
rustc_says() {
  rustc -vV | sed -n "s/^$1: //p"
}

# Makes sure that the standard library for target $1 is there.
need_target() {
  local triple=$1 libdir said
  libdir=$(rustc --print target-libdir --target "$triple" 2>/dev/null) ||
    die 2 "this rustc does not know the target $triple" \
      "install Rust ${rust_version:-(stable)} or later through rustup, then run this again"
  if compgen -G "$libdir/libstd-*.rlib" >/dev/null; then
    return
  fi
  command -v rustup >/dev/null || die 2 "the Rust target $triple is missing, and there is no rustup to add it" \
    "install it with your system's packages or install Rust through rustup, then run this again"
  [[ -w $sysroot/lib/rustlib ]] || die 2 "the Rust target $triple is missing and this user may not add it" \
    "let the owner of $sysroot run: rustup target add $triple"
  printf 'adding the Rust target %s\n' "$triple" >&2
  if said=$(RUST_BACKTRACE=0 rustup target add "$triple" 2>&1); then
    return
  fi
  printf '%s\n' "$said" >&2
  case $said in
    *"does not support target"* | *"does not contain component"* | *"is not available"* | *"unavailable for download"*)
      die 2 "this toolchain has no target $triple" \
        "use one that has: rustup toolchain install stable --target $triple, then run this again with RUSTUP_TOOLCHAIN=stable"
      ;;
    *)
      die 2 "the Rust target $triple is missing and could not be fetched (no network?)" \
        "with a network run: rustup target add $triple, then run this again"
      ;;
  esac
}

# A quarter of a megabyte of a ready-made standard library is for printing the
# names of functions when a program panics, which this one never does. Where the
# library's source is there, or can be had, it is built without. Cargo allows that
# to a stable compiler only when told so by RUSTC_BOOTSTRAP.
own_std=()
terse=()
need_std_source() {
  local lock=$sysroot/lib/rustlib/src/rust/library/Cargo.lock
  if [[ ! -f $lock ]] && command -v rustup >/dev/null && [[ -w $sysroot/lib/rustlib ]]; then
    printf 'adding the Rust component rust-src\n' >&2
    RUST_BACKTRACE=0 rustup component add rust-src >&2 || true
  fi
  if [[ -f $lock ]]; then
    # Sorting and the like in their short forms: nothing of it is done per packet.
    own_std=('-Zbuild-std=std,panic_unwind' -Zbuild-std-features=optimize_for_size)
    # A panic tells its line and its words, which are enough to find it: 17 KB.
    # What is printed for people is never a derived Debug: 5 KB.
    # A panic in a destructor, of which there is none, would end the process: 44 KB of
    # preparations for it.
    terse=('-Zlocation-detail=line' '-Zfmt-debug=shallow' '-Zpanic-in-drop=abort')
  else
    printf 'without the Rust component rust-src the binary is 260 KB larger\n' >&2
  fi
}

# Builds for target $1 with further arguments for cargo.
build() {
  local triple=$1
  shift
  cargo build --release --locked --target "$triple" --target-dir "$target_dir" --bin echotest "$@"
}

# Makes sure that the linker for target $1 is there and chooses it.
need_linker() {
  local triple=$1 variable
  variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_LINKER
  if [[ -n ${!variable:-} ]]; then
    return
  fi
  [[ -x $sysroot/lib/rustlib/$(rustc_says host)/bin/rust-lld ]] ||
    die 2 "this Rust installation has no rust-lld to link $triple with" \
      "install Rust through rustup, or name a linker in $variable"
  export "$variable=rust-lld"
  # Equal functions once, and relocations in their packed form: 50 KB.
  smaller=(--icf=all -z pack-relative-relocs)
}

# The $3 bytes at offset $2 of file $1 as an unsigned number.
number_at() {
  od -An -v "-tu$3" -j "$2" -N "$3" -- "$1" | tr -d ' '
}

# Whether the 64-bit little-endian ELF file $1 asks for a program interpreter
# (segment type 3) or a shared library (tag 1 in the segment of type 2).
elf_is_static() {
  local file=$1 segment size count entry begin end
  [[ $(od -An -v -tx1 -N 6 -- "$file" | tr -d ' \n') == 7f454c460201 ]] || return 1
  segment=$(number_at "$file" 32 8)
  size=$(number_at "$file" 54 2)
  count=$(number_at "$file" 56 2)
  for (( ; count > 0; count--, segment += size)); do
    case $(number_at "$file" "$segment" 4) in
      3) return 1 ;;
      2)
        begin=$(number_at "$file" $((segment + 8)) 8)
        end=$((begin + $(number_at "$file" $((segment + 32)) 8)))
        for ((entry = begin; entry < end; entry += 16)); do
          case $(number_at "$file" "$entry" 8) in
            0) break ;;
            1) return 1 ;;
          esac
        done
        ;;
    esac
  done
}

# Ends the script unless file $1 is static; prints what it was checked with.
check_static() {
  local file=$1 headers
  if command -v readelf >/dev/null; then
    headers=$(LC_ALL=C readelf -l -d -W -- "$file") || die 1 "readelf cannot read $file"
    if grep -qE '^ *INTERP|\(NEEDED\)' <<<"$headers"; then
      die 1 "$file is not static:" "$(grep -E 'INTERP|NEEDED|interpreter' <<<"$headers")"
    fi
    printf 'readelf'
  else
    elf_is_static "$file" || die 1 "$file is not a static ELF program"
    printf 'od'
  fi
}

sha256() {
  if command -v sha256sum >/dev/null; then
    sha256sum -- "$@"
  else
    shasum -a 256 -- "$@"
  fi
}

smaller=()
need_std_source
for arch in "${archs[@]}"; do
  need_target "$arch-unknown-linux-musl"
  need_linker "$arch-unknown-linux-musl"
done

# With frame pointers a function's unwind table is a few bytes and not a line for
# each push and pop: 55 KB of the whole, and a profiler reads stacks.
#
# Separated by the unit separator, as cargo wants it, so that paths may hold
# spaces. Of two prefixes that match, rustc takes the later one. Where the
# component rust-src is installed, std's own paths would be local ones.
CARGO_ENCODED_RUSTFLAGS=$(
  printf '%s\x1f%s' '-Ctarget-feature=+crt-static' '-Cforce-frame-pointers=yes'
  printf '\x1f--remap-path-prefix=%s' "$top=." "$cargo_home=cargo" \
    "$sysroot/lib/rustlib/src/rust=/rustc/$(rustc_says commit-hash)"
  ((${#terse[@]} == 0)) || printf '\x1f%s' "${terse[@]}"
  ((${#smaller[@]} == 0)) || printf '\x1f-Clink-arg=%s' "${smaller[@]}"
)
export CARGO_ENCODED_RUSTFLAGS CARGO_INCREMENTAL=0

for arch in "${archs[@]}"; do
  triple=$arch-unknown-linux-musl
  printf 'building echotest-%s\n' "$arch" >&2
  if ((${#own_std[@]} == 0)) || ! RUSTC_BOOTSTRAP=1 build "$triple" "${own_std[@]}"; then
    # A compiler that is told no more knows none of its unstable flags.
    for flag in "${terse[@]}"; do
      CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS/$'\x1f'"$flag"/}
    done
    build "$triple" || die 1 "the build for $triple failed"
  fi
  checked=$(check_static "$target_dir/$triple/release/echotest")
  # Moved into place whole: a copy that is running is not disturbed.
  file=echotest-$arch
  install -m 755 -- "$target_dir/$triple/release/echotest" "$out/.$file.new"
  mv -f -- "$out/.$file.new" "$out/$file"
  sum=$(cd -- "$out" && sha256 "$file")
  printf '%s  %d bytes  sha256 %s  static (checked with %s)\n' \
    "$file" "$(wc -c <"$out/$file")" "${sum%% *}" "$checked"
done

# Sums of all that lie there, so that `sha256sum -c` fits the directory.
cd -- "$out"
present=()
for file in echotest-x86_64 echotest-aarch64; do
  [[ ! -f $file ]] || present+=("$file")
done
sha256 "${present[@]}" >.SHA256SUMS.new
mv -f -- .SHA256SUMS.new SHA256SUMS
printf 'in %s, sums in SHA256SUMS\n' "$out"
