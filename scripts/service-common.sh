#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154
# The sourcing scripts read what looks unused here (usual_port), and set what
# looks unset (protocol, prefix).
#
# What the install and uninstall scripts share. To be sourced, not run.
set -euo pipefail

dry_run=no
program=${0##*/}

# Ends with a message and status $1.
die() {
  local status=$1
  shift
  printf '%s: %s\n' "$program" "$*" >&2
  exit "$status"
}

# Does a command, or only says so.
act() {
  if [[ $dry_run == yes ]]; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

# Writes standard input to file $1, if it differs from what is there.
write_file() {
  local file=$1 text
  text=$(cat)
  if [[ $dry_run == yes ]]; then
    printf 'would write %s:\n' "$file"
    printf '%s\n' "$text" | sed 's/^/    /'
  elif [[ -f $file && $(<"$file") == "$text" ]]; then
    printf '%s is as it should be\n' "$file"
  else
    mkdir -p -- "${file%/*}"
    # Whole or not at all, also when this is interrupted.
    printf '%s\n' "$text" >"$file.new"
    chmod 644 -- "$file.new"
    mv -- "$file.new" "$file"
    printf 'wrote %s\n' "$file"
  fi
}

need_root() {
  if [[ $dry_run == no ]] && ((EUID != 0)); then
    die 2 'needs root: run it with sudo, or look first with --dry-run'
  fi
}

# The value of option $1 is $2, or the caller forgot it.
need_value() {
  [[ -n ${2-} ]] || die 2 "$1 needs a value; try $program --help"
}

check_number() {
  local name=$1 value=$2 least=$3 most=$4
  if ! [[ $value =~ ^[0-9]{1,9}$ ]] || ((10#$value < least || 10#$value > most)); then
    die 2 "$name \"$value\": accepted is a whole number from $least to $most"
  fi
}

check_protocol() {
  case $1 in
    echo) usual_port=7 ;;
    measure) usual_port=9900 ;;
    ping) usual_port=12001 ;;
    twamp) usual_port=862 ;;
    *) die 2 "--protocol \"$1\": accepted is echo, measure, ping or twamp" ;;
  esac
}

# Finds the static binary that is to be installed: $1, or what was built here.
find_binary() {
  local given=$1 top machine
  top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
  machine=$(uname -m)
  source_binary=${given:-$top/dist/echotest-$machine}
  if [[ ! -f $source_binary ]]; then
    [[ -z $given && $dry_run == yes ]] && return
    die 2 "no binary at $source_binary: build it with scripts/build-static.sh, or name one with --binary"
  fi
  "$source_binary" --version >/dev/null 2>&1 ||
    die 2 "$source_binary does not run here; --binary names another"
  "$source_binary" help server 2>/dev/null | grep -qw -- "$protocol" ||
    die 2 "$source_binary knows no protocol $protocol"
}

install_binary() {
  local target=$prefix/bin/echotest
  if [[ $dry_run == no && -f $target ]] && cmp -s -- "$source_binary" "$target"; then
    printf '%s is as it should be\n' "$target"
  else
    act mkdir -p -- "$prefix/bin"
    # A running binary cannot be overwritten; it can be replaced.
    act install -m 755 -- "$source_binary" "$target.new"
    act mv -- "$target.new" "$target"
    [[ $dry_run == yes ]] || printf 'installed %s\n' "$target"
  fi
}

# Whether something that is not ours listens on TCP port $1. $2 is what our
# listener is called.
port_taken_by_other() {
  local line
  command -v ss >/dev/null || return 1
  line=$(ss -Hltnp "sport = :$1" 2>/dev/null) || return 1
  [[ -n $line && $line != *"\"$2\""* ]]
}

# Marks the lines that are ours in files that are not.
mark='# echotest'

add_service_names() {
  local protocol_name line
  for protocol_name in tcp udp; do
    if ! grep -Eqs "^echo[[:space:]]+7/$protocol_name" /etc/services; then
      line=$(printf 'echo\t\t7/%s\t\t\t%s' "$protocol_name" "$mark")
      if [[ $dry_run == yes ]]; then
        printf 'would add to /etc/services: %s\n' "$line"
      else
        printf '%s\n' "$line" >>/etc/services
        printf 'added echo 7/%s to /etc/services\n' "$protocol_name"
      fi
    fi
  done
}

# Opens port $1, or range LOW-HIGH, of transport $2 (tcp or udp) in whichever
# firewall is active, and notes in the state directory what was done, so that it
# can be undone.
state=/var/lib/echotest-install
open_firewall() {
  local ports=$1 transport=$2
  if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
    act ufw allow "${ports/-/:}/$transport" comment echotest
    note_firewall ufw "$ports/$transport"
  elif command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
    act firewall-cmd --quiet --permanent --add-port "$ports/$transport"
    act firewall-cmd --quiet --add-port "$ports/$transport"
    note_firewall firewalld "$ports/$transport"
  elif command -v nft >/dev/null && nft list chain inet filter input >/dev/null 2>&1; then
    if ! nft list chain inet filter input |
      grep -q "$transport dport $ports accept comment \"echotest\""; then
      act nft insert rule inet filter input "$transport" dport "$ports" accept comment '"echotest"'
    fi
    note_firewall nftables "$ports/$transport"
    printf 'the nftables rule lasts until the next boot; add it to /etc/nftables.conf to keep it\n'
  else
    printf 'no active firewall found (ufw, firewalld, nftables inet filter input); nothing opened\n'
  fi
}

note_firewall() {
  local line="$1 $2"
  printf 'opened %s in %s\n' "$2" "$1"
  [[ $dry_run == yes ]] && return
  mkdir -p -- "$state"
  grep -qsxF -- "$line" "$state/firewall" || printf '%s\n' "$line" >>"$state/firewall"
}

# An active unit proves nothing: only an answer does. $1 is the port.
prove() {
  local port=$1 client=(client 127.0.0.1 "$1" --count 3 --frequency 0.1 --no-files)
  case $protocol in
    echo) ;;
    measure) client=(measure 127.0.0.1 "$port" --type rtt --size 64 --probes 10 --no-files) ;;
    *) client=("$protocol" 127.0.0.1 "$port" -c 3 --no-files) ;;
  esac
  if [[ $dry_run == yes ]]; then
    printf 'would prove it: %s %s\n' "$prefix/bin/echotest" "${client[*]}"
    return
  fi
  local try
  for try in 1 2 3 4 5; do
    if "$prefix/bin/echotest" "${client[@]}" >"$state.proof" 2>&1; then
      cat -- "$state.proof"
      rm -f -- "$state.proof"
      printf 'proved: the %s service answers on port %s\n' "$protocol" "$port"
      return
    fi
    sleep 1
  done
  cat -- "$state.proof" >&2
  rm -f -- "$state.proof"
  die 1 "installed, but nothing answers on port $port after $try tries; see the log"
}
