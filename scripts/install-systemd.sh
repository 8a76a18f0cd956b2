#!/usr/bin/env bash
# Installs the server as a systemd socket and service. systemd holds the port,
# so that the service itself needs neither root nor a capability, and so that
# no client is refused while it is restarted.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/service-common.sh"

usage() {
  cat <<'EOF'
Usage: scripts/install-systemd.sh [OPTIONS]

  --protocol NAME     echo, measure, ping or twamp (default echo)
  --port N            TCP port (default echo 7, measure 9900, ping 12001)
  --binary PATH       static binary to install (default dist/echotest-MACHINE)
  --prefix DIR        where bin/echotest goes (default /usr/local)
  --max-clients N     clients served at once (default 1024)
  --max-per-host N    the same for one source address (default 256)
  --open-firewall     open the port in ufw, firewalld or nftables, if active
  --client HOST[:PORT] [--name NAME] [-- OPTIONS]
                      instead: a client that measures this target for good, as
                      echotest-client@NAME (default: the host), with OPTIONS of
                      'echotest client'; files in /var/log/echotest/NAME
  --print-units DIR   write the unit files there and do nothing else
  --dry-run           say what would be done
  -h, --help          print this

Run again it changes what differs. scripts/uninstall.sh takes it away.
EOF
}

protocol=echo port='' binary='' prefix=/usr/local
max_clients=1024 max_per_host=256 firewall=no print_units=
target='' name='' client_options=()
while (($#)); do
  case $1 in
    --protocol | --port | --binary | --prefix | --max-clients | --max-per-host | --print-units)
      need_value "$1" "${2-}"
      option=${1#--}
      declare "${option//-/_}=$2"
      shift 2
      ;;
    --client | --name)
      need_value "$1" "${2-}"
      if [[ $1 == --client ]]; then target=$2; else name=$2; fi
      shift 2
      ;;
    --)
      shift
      client_options=("$@")
      break
      ;;
    --open-firewall) firewall=yes && shift ;;
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
check_number --max-clients "$max_clients" 1 1000000
check_number --max-per-host "$max_per_host" 1 1000000

unit=echotest-$protocol

# TWAMP reflects on UDP too: light senders on the same port, sessions on ports of
# their own, each with a thread. For those it needs a network, and to know
# whether the clock is synchronised it asks the kernel. The other protocols need
# nothing but the socket that they are given.
test_ports=18760-19960
threads=$max_clients
datagrams='# No UDP.'
network='PrivateNetwork=true
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
ProtectClock=true'
more_calls='# No further calls.'
if [[ $protocol == twamp ]]; then
  threads=$((max_clients + 1024))
  datagrams=ListenDatagram=$port
  network='RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6'
  more_calls='SystemCallFilter=adjtimex clock_adjtime'
fi

socket_unit() {
  cat <<EOF
[Unit]
Description=echotest $protocol server, port $port

[Socket]
ListenStream=$port
$datagrams
BindIPv6Only=both
Backlog=4096
NoDelay=true

[Install]
WantedBy=sockets.target
EOF
}

# What holds for servers and clients: a user of its own, no capability, nothing to
# write, and only the calls that serving and measuring take.
sandbox() {
  cat <<'EOF'
DynamicUser=true
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=true
PrivateDevices=true
DevicePolicy=closed
PrivateMounts=true
PrivateTmp=true
PrivateUsers=true
ProtectSystem=strict
ProtectHome=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=true
KeyringMode=private
LockPersonality=true
MemoryDenyWriteExecute=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @obsolete
SystemCallErrorNumber=EPERM
UMask=0077
EOF
}

# One thread a client, each with a stack and up to 256 KiB of buffer in use.
service_unit() {
  cat <<EOF
[Unit]
Description=echotest $protocol server
Requires=$unit.socket
After=$unit.socket

[Service]
Type=notify
ExecStart=$prefix/bin/echotest server $protocol --max-clients $max_clients --max-per-host $max_per_host
Restart=on-failure
RestartSec=100ms
TimeoutStopSec=10
WatchdogSec=30
TasksMax=$((threads + 16))
LimitNOFILE=$((threads + 64))
MemoryMax=$((64 + threads / 3 + 1))M
LimitMEMLOCK=0

# The port comes from systemd: no user of its own, no capability, no network
# beyond what the protocol takes, nothing to write, and only the calls that
# serving takes.
$network
$(sandbox)
$more_calls

[Install]
Also=$unit.socket
EOF
}

# Host and port of HOST, HOST:PORT, ADDRESS6 or [ADDRESS6]:PORT.
split_target() {
  case $1 in
    \[*\]:*) host=${1%]:*} host=${host#\[} target_port=${1##*]:} ;;
    *:*:*) host=$1 target_port=7 ;;
    *:*) host=${1%:*} target_port=${1##*:} ;;
    *) host=$1 target_port=7 ;;
  esac
  [[ $host =~ ^[A-Za-z0-9._:%-]+$ ]] || die 2 "--client \"$1\": accepted is HOST or HOST:PORT"
  check_number --client "$target_port" 1 65535
}

# What the instance is started with. systemd splits it at spaces.
client_settings() {
  printf 'TARGET=%s %s\n' "$host" "$target_port"
  printf 'OPTIONS=%s\n' "${client_options[*]}"
}

# One for all instances; each has its settings, its files and its user.
client_unit() {
  cat <<EOF
[Unit]
Description=echotest client: %i
Wants=network-online.target
After=network-online.target

[Service]
EnvironmentFile=/etc/echotest/client-%i.conf
ExecStart=$prefix/bin/echotest client \$TARGET --retry -q --log-dir \${LOGS_DIRECTORY} \$OPTIONS
ExecReload=/bin/kill -USR1 \$MAINPID
Restart=always
RestartSec=10
TimeoutStopSec=30
LogsDirectory=echotest/%i

# It connects and writes its files; no more.
$(sandbox)
RestrictAddressFamilies=AF_INET AF_INET6
# One host at a time: no multicast, and nothing of what is reserved.
IPAddressDeny=any
IPAddressAllow=0.0.0.0/1 128.0.0.0/2 192.0.0.0/3
IPAddressAllow=::/1 8000::/2 c000::/3 e000::/4 f000::/5 f800::/6 fc00::/7 fe00::/8
ProtectClock=true
MemoryMax=256M
TasksMax=64

[Install]
WantedBy=multi-user.target
EOF
}

install_client() {
  local instance=echotest-client@$name settings=/etc/echotest/client-$name.conf
  # Files of two targets in one directory would pass for one run's.
  if [[ -f $settings ]] && ! grep -qxF -- "TARGET=$host $target_port" "$settings"; then
    die 2 "$instance measures another target ($(sed -n 's/^TARGET=//p' "$settings")); choose another --name, or remove $settings"
  fi
  install_binary
  client_unit | write_file /etc/systemd/system/echotest-client@.service
  client_settings | write_file "$settings"
  act systemctl daemon-reload
  act systemctl --quiet enable "$instance"
  act systemctl restart "$instance"
  if [[ $dry_run == no ]]; then
    sleep 2
    systemctl --quiet is-active "$instance" ||
      die 1 "installed, but it does not run; see: journalctl -u $instance"
  fi
  printf 'measuring %s port %s; files: /var/log/echotest/%s; log: journalctl -u %s\n' \
    "$host" "$target_port" "$name" "$instance"
}

if [[ -n $target ]]; then
  split_target "$target"
  name=${name:-${host//[:%]/-}}
  [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die 2 "--name \"$name\": accepted are letters, digits, . _ and -"
  if [[ -n $print_units ]]; then
    mkdir -p -- "$print_units"
    client_unit >"$print_units/echotest-client@.service"
    exit 0
  fi
  need_root
  protocol='echo'
  find_binary "$binary"
  if [[ $dry_run == no && ! -d /run/systemd/system ]]; then
    die 2 'systemd does not run here; run echotest client by hand or from cron'
  fi
  install_client
  exit 0
fi

if [[ -n $print_units ]]; then
  mkdir -p -- "$print_units"
  socket_unit >"$print_units/$unit.socket"
  service_unit >"$print_units/$unit.service"
  exit 0
fi

need_root
find_binary "$binary"
if [[ $dry_run == no ]]; then
  [[ -d /run/systemd/system ]] ||
    die 2 'systemd does not run here; use scripts/install-xinetd.sh, or echotest server --daemon'
  if port_taken_by_other "$port" systemd; then
    die 2 "TCP port $port is taken by another server (see: ss -ltnp); nothing was changed. Choose another --port"
  fi
fi

install_binary
socket_unit | write_file "/etc/systemd/system/$unit.socket"
service_unit | write_file "/etc/systemd/system/$unit.service"
act systemctl daemon-reload
act systemctl --quiet enable "$unit.socket"
# The service first: a socket cannot be restarted under a running one.
act systemctl stop "$unit.service"
act systemctl restart "$unit.socket"
if [[ $firewall == yes ]]; then
  open_firewall "$port" tcp
  if [[ $protocol == twamp ]]; then
    open_firewall "$port" udp
    open_firewall "$test_ports" udp
  fi
fi
prove "$port"
act systemctl --no-pager --lines 0 status "$unit.socket" "$unit.service" || true
printf 'logs: journalctl -u %s\n' "$unit"
