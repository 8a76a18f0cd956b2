#!/usr/bin/env bash
# Passes or fails this checkout: installs what the tests need where it can
# (Debian and Ubuntu, as root), then formatting, lints, shell scripts, Python
# syntax, documentation, static binaries, fuzzing and every test.
#
# What is missing is named, with the part that is left out for want of it. With
# CI=true a missing part is a failure.
#
# The tests are told through the environment: ECHOTEST_STATIC_X86_64 and
# ECHOTEST_STATIC_AARCH64 (absolute paths of the static binaries, unset where
# not built), ECHOTEST_MISSING (commands that tests need and that are not there,
# between spaces).
#
# The steps' functions are called through step(), which shellcheck cannot see:
# shellcheck disable=SC2317,SC2329
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: scripts/test.sh [--quick | --unit] [--install-only | --no-install]

Checks and tests this checkout. As root on Debian or Ubuntu it first installs
what is missing; services that come with it are not started.

  --quick         leave out the documentation, the static binaries and fuzzing
  --unit          format, lints and unit tests alone; installs nothing
  --install-only  install what is missing, then stop
  --no-install    install nothing
  -h, --help      print this

CI=true makes a missing part a failure.

Exit status: 0 all steps passed; 1 a step failed; 2 bad usage.
EOF
}

# command | Debian packages | what it is needed for
tools=(
  'cc|gcc libc6-dev|everything that cargo builds'
  'c++|g++|the step fuzzing'
  'git|git|the list of files, tests of the source tree'
  'shellcheck|shellcheck|the step shellcheck'
  'shfmt|shfmt|the step shfmt'
  'python3|python3|the step Python syntax, tests with foreign clients and servers'
  'xinetd|xinetd|tests against its internal echo, and of our server under it'
  'ncat|ncat|tests against a foreign echo server'
  'haproxy|haproxy|tests behind a proxy'
  'nc|netcat-openbsd|tests with a foreign client (the OpenBSD nc)'
  'mandoc|mandoc|tests of the manual, beside man and groff'
  'promtool|prometheus|tests of the metrics and of the alert rules'
  'script|bsdutils|tests of what a terminal shows'
  'socat|socat|tests with foreign clients and servers'
  'tcpdump|tcpdump|tests that capture packets'
  'tshark|tshark|tests that compare with another reader of captures'
  'groff|groff|tests of the manual page'
  'man|man-db|tests of the manual page'
  'zsh|zsh|tests of its completions'
  'fish|fish|tests of its completions'
  'ip|iproute2|tests across network namespaces'
  'ss|iproute2|tests that look at local ports'
  'nft|nftables|tests with lost and refused packets'
  'setpriv|util-linux|tests as another user'
  'unshare|util-linux|tests in namespaces of their own'
  'strace|strace|tests that look at system calls'
  'qemu-aarch64-static|qemu-user-static|tests that run the aarch64 binary'
  'prlimit|util-linux|tests of a server that runs out of descriptors'
  'systemd-socket-activate|systemd|tests of socket activation'
  'debootstrap|debootstrap|the step installation on a booted system'
  'systemd-nspawn|systemd-container|the step installation on a booted system'
  'dpkg-deb|dpkg|tests of the Debian package'
  'lintian|lintian|tests of the Debian package'
  'pgrep|procps|the step installation on a booted system'
)

# part of Rust | how rustup calls its kind | what it is needed for
rust_parts=(
  'rustfmt|component|the step cargo fmt'
  'clippy|component|the step cargo clippy'
  'rust-src|component|the size of the static binaries'
  'x86_64-unknown-linux-musl|target|the static binary for x86_64 and its tests'
  'aarch64-unknown-linux-musl|target|the static binary for aarch64 and its tests'
)

# Of each target; scripts/fuzz.sh by itself goes on for longer.
fuzz_seconds=12
quick=no
unit=no
install=yes
only=no
for argument; do
  case $argument in
    --quick) quick=yes ;;
    --unit) unit=yes install=no ;;
    --install-only) only=yes ;;
    --no-install) install=no ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      printf 'test.sh: unknown argument: %s\nTry scripts/test.sh --help.\n' "$argument" >&2
      exit 2
      ;;
  esac
done
if [[ $only == yes && $install == no ]]; then
  printf 'test.sh: --install-only and --no-install exclude each other\n' >&2
  exit 2
fi
case ${CI:-} in
  true | 1) ci=yes ;;
  *) ci=no ;;
esac

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
top=$(pwd -P)
exec </dev/null

# An ordinary user's PATH often lacks the administrator's tools, and a shell
# that is older than rustup lacks cargo.
PATH=$PATH:/usr/sbin:/sbin
cargo_home=${CARGO_HOME:-}
[[ -n $cargo_home ]] || cargo_home=~/.cargo
command -v cargo >/dev/null || PATH=$PATH:$cargo_home/bin

began=$SECONDS
summary=()
failed=()
left_out=()
passed=0

scratch=$(mktemp -d)
cleanup() {
  rm -rf -- "$scratch"
  if [[ -n ${services_forbidden:-} ]]; then
    allow_services
  fi
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Steps ---

# Announces a step, runs it and notes how it ended. $1 is its name, the rest the
# command. In a function that runs here `set -e` has no effect.
step() {
  local name=$1 start=$SECONDS result
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    result=passed
    passed=$((passed + 1))
  else
    result=FAILED
    failed+=("$name")
  fi
  printf -v result '%-8s  %4d s  %s' "$result" $((SECONDS - start)) "$name"
  summary+=("$result")
}

# Notes that step $1 is left out, because of $2.
skip() {
  local line
  printf '\n== %s: left out (%s)\n' "$1" "$2"
  left_out+=("$1 ($2)")
  printf -v line '%-8s  %4s    %s (%s)' 'left out' - "$1" "$2"
  summary+=("$line")
}

# Joins all arguments but the first with the first.
join() {
  local separator=$1 joined=${2-} part
  for part in "${@:3}"; do
    joined+=$separator$part
  done
  printf '%s' "$joined"
}

# Prints the summary and ends the script.
finish() {
  printf '\n== summary\n'
  printf '%s\n' "${summary[@]}"
  printf '%-8s  %4d s\n' total $((SECONDS - began))
  if ((${#failed[@]})); then
    printf '%d of %d steps failed: %s\n' ${#failed[@]} $((passed + ${#failed[@]})) \
      "$(join ', ' "${failed[@]}")"
    exit 1
  fi
  if ((${#left_out[@]})); then
    printf 'all %d steps passed; left out: %s\n' "$passed" "$(join ', ' "${left_out[@]}")"
  else
    printf 'all %d steps passed\n' "$passed"
  fi
  exit 0
}

# --- What the tests need ---

have_tool() {
  case $1 in
    nc) [[ $(nc -h 2>&1) == *OpenBSD* ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

have_rust() {
  local libdir
  case $1 in
    rustfmt) cargo fmt --version >/dev/null 2>&1 ;;
    rust-src) [[ -f $(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock ]] ;;
    clippy) cargo clippy --version >/dev/null 2>&1 ;;
    *)
      libdir=$(rustc --print target-libdir --target "$1" 2>/dev/null) &&
        compgen -G "$libdir/libstd-*.rlib" >/dev/null
      ;;
  esac
}

# Whether $1 is among the other arguments.
among() {
  local word
  for word in "${@:2}"; do
    [[ $word != "$1" ]] || return 0
  done
  return 1
}

policy=/usr/sbin/policy-rc.d
policy_mark='# Temporary, by scripts/test.sh of echotest: starts no service while it installs.'

# Keeps packages from starting their services when they are installed: xinetd
# would take ports. A policy that is there already is put aside meanwhile.
forbid_services() {
  services_forbidden=yes
  if [[ -e $policy || -L $policy ]]; then
    mv -- "$policy" "$policy.echotest-saved" || return 1
  fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy" && chmod 755 "$policy"
}

allow_services() {
  if grep -qsxF -- "$policy_mark" "$policy"; then
    rm -f -- "$policy"
  fi
  if [[ -e $policy.echotest-saved || -L $policy.echotest-saved ]]; then
    mv -- "$policy.echotest-saved" "$policy"
  fi
  services_forbidden=
}

# Does $1 by running the rest, whose output is only worth reading when it fails.
quietly() {
  local doing=$1
  shift
  if "$@" >"$scratch/log" 2>&1; then
    return 0
  fi
  printf '%s failed:\n' "$doing"
  tail -n 5 -- "$scratch/log" | sed 's/^/    /'
  return 1
}

# Nothing is removed for it: apt would drop another inetd for xinetd unasked.
apt_install() {
  env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get install -y -q --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Whether this user may install packages here.
can_install() {
  ((EUID == 0)) && command -v apt-get >/dev/null
}

# Installs the packages of the tools that are not there.
install_packages() {
  local row tool packages package wanted=() possible=()
  for row in "${tools[@]}"; do
    IFS='|' read -r tool packages _ <<<"$row"
    if have_tool "$tool"; then
      continue
    fi
    for package in $packages; do
      among "$package" "${wanted[@]}" || wanted+=("$package")
    done
  done
  if ((${#wanted[@]} == 0)); then
    return
  fi
  if ! can_install; then
    printf 'not root on Debian or Ubuntu, so these packages are not installed: %s\n' "${wanted[*]}"
    return
  fi
  printf 'installing: %s\n' "${wanted[*]}"
  if ! forbid_services; then
    printf 'cannot write %s to keep services from starting, so nothing is installed\n' "$policy"
    allow_services
    return
  fi
  quietly 'apt-get update' apt-get update -q || true
  # A package that cannot be had here must not cost all the others.
  if ! apt_install --simulate "${wanted[@]}" >/dev/null 2>&1; then
    for package in "${wanted[@]}"; do
      quietly "installing $package" apt_install --simulate "$package" && possible+=("$package")
    done
    wanted=("${possible[@]}")
  fi
  if ((${#wanted[@]})); then
    quietly 'the installation' apt_install "${wanted[@]}" || true
  fi
  allow_services
  hash -r
}

# One run at a time, so that none takes away the policy of another; what a run
# left behind that was killed goes first. The lock is gone with its descriptor.
install_tools() {
  local lock=
  if can_install; then
    exec {lock}</var/lib/dpkg
    flock -w 600 "$lock" || true
    allow_services
  fi
  install_packages
  if [[ -n $lock ]]; then
    exec {lock}<&-
  fi
}

# Adds the parts of Rust that are not there.
install_rust() {
  local row part kind
  for row in "${rust_parts[@]}"; do
    IFS='|' read -r part kind _ <<<"$row"
    if have_rust "$part"; then
      continue
    elif command -v rustup >/dev/null; then
      printf 'adding the Rust %s %s\n' "$kind" "$part"
      quietly "adding $part" env RUST_BACKTRACE=0 rustup "$kind" add "$part" || true
    else
      printf 'no rustup to add the Rust %s %s with\n' "$kind" "$part"
    fi
  done
}

# Adds what guides the fuzzing.
install_fuzzer() {
  cargo fuzz --version >/dev/null 2>&1 ||
    quietly 'cargo install cargo-fuzz' cargo install -q cargo-fuzz --locked || true
}

# Installs what may be installed and collects the rest in missing.
requirements() {
  local row name kind purpose
  if ! command -v cargo >/dev/null || ! cargo --version; then
    printf 'no working cargo here: install Rust through rustup first\n'
    missing+=(cargo)
    return 1
  fi
  if [[ $install == yes ]]; then
    install_tools
    install_rust
    [[ $quick == yes ]] || install_fuzzer
  fi
  for row in "${tools[@]}"; do
    IFS='|' read -r name kind purpose <<<"$row"
    if ! have_tool "$name"; then
      printf 'missing: %s (Debian: %s), needed for %s\n' "$name" "$kind" "$purpose"
      missing+=("$name")
      [[ $purpose != *tests* ]] || missing_tools+=("$name")
    fi
  done
  for row in "${rust_parts[@]}"; do
    IFS='|' read -r name kind purpose <<<"$row"
    if ! have_rust "$name"; then
      printf 'missing: %s (rustup %s add %s), needed for %s\n' "$name" "$kind" "$name" "$purpose"
      missing+=("$name")
    fi
  done
  if [[ $quick == no && $unit == no ]] && ! cargo fuzz --version >/dev/null 2>&1; then
    printf 'missing: cargo-fuzz (cargo install cargo-fuzz --locked), needed for the step fuzzing\n'
    missing+=(cargo-fuzz)
  fi
  if ((${#missing[@]} == 0)); then
    printf 'all there\n'
  elif [[ $ci == yes ]]; then
    printf 'CI=true: nothing may be missing\n'
    return 1
  elif [[ $only == yes ]]; then
    return 1
  fi
}

# --- The checks ---

# Collects in found the repository's files (new ones too) that match pattern $1;
# in a checkout without git, those that find sees.
find_files() {
  local file listed=()
  mapfile -d '' -t listed < <(git ls-files -z --cached --others --exclude-standard -- "$1" 2>/dev/null)
  if ((${#listed[@]} == 0)); then
    mapfile -d '' -t listed < <(find . \( -name .git -o -name target -o -name dist \) -prune -o \
      -type f -path "./$1" -print0)
  fi
  for file in "${listed[@]}"; do
    [[ ! -f $file ]] || found+=("$file")
  done
}

shell_files() {
  found=()
  find_files '*.sh'
  find_files .ci/run
  printf 'files: %d\n' ${#found[@]}
}

check_shellcheck() {
  shell_files && shellcheck -- "${found[@]}"
}

check_shfmt() {
  shell_files && shfmt -i 2 -ci -d "${found[@]}"
}

# Compiles without writing: no __pycache__ is left behind.
check_python() {
  found=()
  find_files '*.py'
  printf 'files: %d\n' ${#found[@]}
  python3 - "${found[@]}" <<'EOF'
import sys, tokenize

failed = False
for name in sys.argv[1:]:
    try:
        with tokenize.open(name) as file:
            compile(file.read(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        print(f"{name}: {error}")
        failed = True
sys.exit(failed)
EOF
}

# Whether there is a toolchain of version $1; rustup adds it where it may.
has_toolchain() {
  command -v rustup >/dev/null || return 1
  if ! rustup run "$1" rustc --version >/dev/null 2>&1 && [[ $install == yes ]]; then
    quietly "Rust $1" rustup toolchain install "$1" --profile minimal || return 1
  fi
  rustup run "$1" rustc --version >/dev/null 2>&1
}

# That the version of Rust that Cargo.toml states is enough.
check_stated_version() {
  rustup run "$1" cargo check --locked --target-dir target/stated
}

check_doc() {
  RUSTDOCFLAGS="${RUSTDOCFLAGS:+$RUSTDOCFLAGS }-D warnings" cargo doc --no-deps --locked
}

# Builds for the architectures named and tells the tests where the results are.
build_static() {
  local arch arguments=()
  for arch; do
    arguments+=(--target "$arch")
  done
  unset ECHOTEST_STATIC_X86_64 ECHOTEST_STATIC_AARCH64
  bash scripts/build-static.sh "${arguments[@]}" || return 1
  for arch; do
    export "ECHOTEST_STATIC_${arch^^}=$top/dist/echotest-$arch"
  done
}

# Installs, reboots and removes the service in a container. A machine that can
# run everything else may still be unable to boot one.
install_on_booted_system() {
  local status=0
  bash tests/e2e-install.sh || status=$?
  if ((status == 77)); then
    left_out+=('installation on a booted system (this machine cannot boot one)')
    return 0
  fi
  return "$status"
}

# Tells how many tests left something out: what they say of it goes past cargo's
# harness.
count_skips() {
  local skips
  skips=$(grep -c '^SKIPPED ' "$1") || return 0
  left_out+=("$skips times a part of a test (see the lines SKIPPED)")
}

# What is started in the background, or by nohup, ignores some signals from its
# start, and so would the programs that the tests send them to.
run_tests() {
  local signals=(env '--default-signal=HUP,INT,QUIT')
  "${signals[@]}" true 2>/dev/null || signals=()
  local status=0
  "${signals[@]}" cargo test --locked --no-fail-fast "$@" > >(tee "$scratch/tests") 2>&1 || status=$?
  # The copy may be behind.
  sleep 0.2
  count_skips "$scratch/tests"
  return "$status"
}

missing=()
missing_tools=()
step 'what the tests need' requirements
if ((${#failed[@]})) || [[ $only == yes ]]; then
  finish
fi

if among rustfmt "${missing[@]}"; then
  skip 'cargo fmt' 'no rustfmt'
else
  step 'cargo fmt' cargo fmt --check
fi

if among clippy "${missing[@]}"; then
  skip 'cargo clippy' 'no clippy'
else
  step 'cargo clippy' cargo clippy --all-targets --locked -- -D warnings
fi

for tool in shellcheck shfmt; do
  if among "$tool" "${missing[@]}"; then
    skip "$tool" "no $tool"
  else
    step "$tool" "check_$tool"
  fi
done

if [[ $unit == yes ]]; then
  step 'unit tests' run_tests --lib
  finish
fi

if among python3 "${missing[@]}"; then
  skip 'Python syntax' 'no python3'
else
  step 'Python syntax' check_python
fi

stated=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
if [[ $quick == yes ]]; then
  skip "Rust $stated" --quick
elif ! has_toolchain "$stated"; then
  skip "Rust $stated" 'no such toolchain'
else
  step "Rust $stated" check_stated_version "$stated"
fi

if [[ $quick == yes ]]; then
  skip 'cargo doc' --quick
  skip 'static binaries' --quick
else
  step 'cargo doc' check_doc
  archs=()
  for arch in x86_64 aarch64; do
    if among "$arch-unknown-linux-musl" "${missing[@]}"; then
      skip "static binary for $arch" 'no Rust target'
    else
      archs+=("$arch")
    fi
  done
  if ((${#archs[@]})); then
    step "static binaries for ${archs[*]}" build_static "${archs[@]}"
  fi
fi

if [[ $quick == yes ]]; then
  skip 'installation on a booted system' --quick
elif ((EUID != 0)); then
  skip 'installation on a booted system' 'not root'
elif among debootstrap "${missing[@]}" || among systemd-nspawn "${missing[@]}"; then
  skip 'installation on a booted system' 'no debootstrap or systemd-nspawn'
else
  step 'installation on a booted system' install_on_booted_system
fi

if [[ $quick == yes ]]; then
  skip 'fuzzing' --quick
elif among cargo-fuzz "${missing[@]}"; then
  skip 'fuzzing' 'no cargo-fuzz'
else
  step 'fuzzing' bash scripts/fuzz.sh "$fuzz_seconds"
fi

export ECHOTEST_MISSING="${missing_tools[*]}"
step 'cargo test' run_tests
if ((${#missing_tools[@]})); then
  left_out+=("tests that need ${missing_tools[*]}")
fi
finish
