#!/usr/bin/env bash
# Installs the server, or xinetd's own echo, as an xinetd service.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/service-common.sh"

usage() {
  cat <<'EOF'
Usage: scripts/install-xinetd.sh [OPTIONS]

  --protocol NAME     echo, measure, ping or twamp (default echo)
  --port N            TCP port (default echo 7, measure 9900, ping 12001)
  --internal          xinetd's own echo instead of echotest; port 7 only
  --udp               with --internal: its UDP twin too. A UDP echo answers
                      forged senders and can be used to attack others
  --binary PATH       static binary to install (default dist/echotest-MACHINE)
  --prefix DIR        where bin/echotest goes (default /usr/local)
  --instances N       clients served at once (default 256)
  --per-source N      the same for one source address (default 64)
  --cps RATE          connections per second; beyond it the service rests for
                      ten seconds, for everyone (default 1000)
  --only-from NETS    clients that are let in, such as '10.0.0.0/8' (default all)
  --open-firewall     open the port in ufw, firewalld or nftables, if active
  --replace-inetd     let the package manager remove another inetd
  --print-service FILE  write the service file there, disabled, and do nothing else
  --dry-run           say what would be done
  -h, --help          print this

Run again it changes what differs. scripts/uninstall.sh takes it away.
EOF
}

protocol=echo port='' internal=no udp=no binary='' prefix=/usr/local
instances=256 per_source=64 cps=1000 only_from='' firewall=no replace=no
print_service='' disable=no
while (($#)); do
  case $1 in
    --protocol | --port | --binary | --prefix | --instances | --per-source | --cps | --only-from | --print-service)
      need_value "$1" "${2-}"
      name=${1#--}
      declare "${name//-/_}=$2"
      shift 2
      ;;
    --internal) internal=yes && shift ;;
    --udp) udp=yes && shift ;;
    --open-firewall) firewall=yes && shift ;;
    --replace-inetd) replace=yes && shift ;;
    --dry-run) dry_run=yes && shift ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die 2 "unknown argument: $1; try $program --help" ;;
  esac
done
check_protocol "$protocol"
port=${port:-$usual_port}
check_number --port "$port" 1 65535
check_number --instances "$instances" 1 1000000
check_number --per-source "$per_source" 1 1000000
check_number --cps "$cps" 1 1000000
if [[ $only_from == *[!0-9a-zA-Z.:/_\ -]* ]]; then
  die 2 "--only-from \"$only_from\": accepted are addresses and networks"
fi
if [[ $internal == yes && ($protocol != echo || $port != 7) ]]; then
  die 2 '--internal is the echo service on port 7; leave out --protocol and --port'
fi
if [[ $protocol == twamp ]]; then
  printf 'xinetd serves the control connection and its sessions; light senders on UDP are served under systemd alone (scripts/install-systemd.sh)\n'
fi
if [[ $udp == yes && $internal == no ]]; then
  die 2 '--udp goes with --internal'
fi

# --- Installing xinetd ---

other_inetd() {
  local package
  command -v dpkg-query >/dev/null || return 1
  for package in openbsd-inetd inetutils-inetd rlinetd; do
    # The format is dpkg-query's own and not the shell's.
    # shellcheck disable=SC2016
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]]; then
      printf '%s' "$package"
      return 0
    fi
  done
  return 1
}

install_xinetd() {
  local other none='this distribution has no xinetd package; use scripts/install-systemd.sh'
  command -v xinetd >/dev/null && return
  if other=$(other_inetd) && [[ $replace == no ]]; then
    die 2 "$other is installed and would be removed for xinetd; say --replace-inetd to allow it. Nothing was changed"
  fi
  if command -v apt-get >/dev/null; then
    act apt-get update -q
    act env DEBIAN_FRONTEND=noninteractive apt-get install -y -q xinetd || die 2 "$none"
  elif command -v dnf >/dev/null; then
    act dnf install -y -q xinetd || die 2 "$none"
  elif command -v yum >/dev/null; then
    act yum install -y -q xinetd || die 2 "$none"
  elif command -v zypper >/dev/null; then
    act zypper --non-interactive install xinetd || die 2 "$none"
  elif command -v apk >/dev/null; then
    act apk add xinetd || die 2 "$none"
  else
    die 2 'no package manager found (apt, dnf, yum, zypper, apk); install xinetd by hand'
  fi
}

# --- Its service ---

# TRAFFIC in log_on_success would switch the service off silently.
limits() {
  cat <<EOF
    disable         = $disable
    instances       = $instances
    per_source      = $per_source
    cps             = $cps 10
EOF
  [[ -z $only_from ]] || printf '    only_from       = %s\n' "$only_from"
}

server_service() {
  cat <<EOF
$mark: written by scripts/install-xinetd.sh
service echotest-$protocol
{
    type            = UNLISTED
    socket_type     = stream
    protocol        = tcp
    port            = $port
    wait            = no
    user            = nobody
    flags           = NODELAY KEEPALIVE IPv6
    server          = $prefix/bin/echotest
    server_args     = server $protocol --inetd
    log_on_success  = HOST PID EXIT DURATION
    log_on_failure  = HOST
$(limits)
}
EOF
}

# Without NODELAY anything above 1,024 bytes takes 40 ms longer.
internal_service() {
  cat <<EOF
$mark: written by scripts/install-xinetd.sh
service echo
{
    type            = INTERNAL
    id              = echo-stream
    socket_type     = stream
    protocol        = tcp
    user            = root
    wait            = no
    flags           = NODELAY IPv6
    log_on_failure  = HOST
$(limits)
}
EOF
  [[ $udp == no ]] || cat <<EOF

service echo
{
    type            = INTERNAL
    id              = echo-dgram
    socket_type     = dgram
    protocol        = udp
    user            = root
    wait            = yes
    flags           = IPv6
$(limits)
}
EOF
}

# xinetd's own sample would serve the same port a second time.
disable_samples() {
  local sample
  for sample in /etc/xinetd.d/echo /etc/xinetd.d/echo-udp; do
    [[ -f $sample ]] || continue
    if grep -Eq '^[[:space:]]*disable[[:space:]]*=[[:space:]]*no' "$sample"; then
      act sed -i 's/^\([[:space:]]*disable[[:space:]]*=[[:space:]]*\)no/\1yes/' "$sample"
      printf 'switched off %s\n' "$sample"
    fi
  done
}

restart_xinetd() {
  if [[ -d /run/systemd/system ]]; then
    act systemctl --quiet enable xinetd
    act systemctl restart xinetd
  elif command -v rc-service >/dev/null; then
    act rc-update add xinetd
    act rc-service xinetd restart
  else
    act service xinetd restart
  fi
}

if [[ -n $print_service ]]; then
  disable=yes
  server_service >"$print_service"
  exit 0
fi

need_root
if [[ $internal == no ]]; then
  find_binary "$binary"
fi
if [[ $dry_run == no ]] && port_taken_by_other "$port" xinetd; then
  die 2 "TCP port $port is taken by another server (see: ss -ltnp); nothing was changed. Choose another --port"
fi
if [[ $udp == yes ]]; then
  printf 'warning: a UDP echo service answers forged senders; let only your own networks reach it\n' >&2
fi
install_xinetd
# The proof needs the client also where xinetd echoes by itself.
if [[ $internal == yes ]]; then
  find_binary "$binary"
fi
install_binary
# A file for each protocol: one service does not take another's place.
file=/etc/xinetd.d/echotest
[[ $protocol == echo ]] || file+=-$protocol
if [[ $internal == yes ]]; then
  internal_service | write_file "$file"
else
  server_service | write_file "$file"
fi
disable_samples
add_service_names
restart_xinetd
if [[ $firewall == yes ]]; then
  open_firewall "$port" tcp
fi
prove "$port"
if [[ -d /run/systemd/system ]]; then
  act systemctl --no-pager --lines 0 status xinetd || true
fi
printf 'logs: journalctl -t xinetd -t echotest, or the syslog\n'
