#!/usr/bin/env bash
# Installs, reboots and removes the service on a real booted system: a Debian
# tree made with debootstrap and booted with systemd-nspawn in a network
# namespace of its own; the clients stand outside. Everything goes at the end.
#
# What stands in single quotes is for the shell inside:
# shellcheck disable=SC2016
#
# Exit status: 0 all steps held; 1 one did not; 77 this machine cannot boot one.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: tests/e2e-install.sh [--tree DIR] [--keep-tree]

  --tree DIR    use this Debian tree, or make it there (default: a new one)
  --keep-tree   leave the tree for the next run
  -h, --help    print this
EOF
}

tree='' keep=no
while (($#)); do
  case $1 in
    --tree)
      tree=$2
      shift 2
      ;;
    --keep-tree) keep=yes && shift ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
done

cannot() {
  printf 'e2e-install.sh: cannot boot a system here: %s\n' "$*" >&2
  exit 77
}

((EUID == 0)) || cannot 'needs root'
for tool in debootstrap systemd-nspawn ip nsenter; do
  command -v "$tool" >/dev/null || cannot "$tool is missing"
done

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
scratch=$(mktemp -d)
tree=${tree:-$scratch/tree}
name=et-e2e-$$
link=ete$$
address=10.203.0.2
machine_pid=

cleanup() {
  stop_machine
  ip link delete "$link" 2>/dev/null || true
  ip netns delete "$name" 2>/dev/null || true
  [[ $keep == yes && $tree == "$scratch"* ]] && printf 'the tree stays in %s\n' "$tree" && return
  [[ $keep == yes ]] || [[ $tree != "$scratch"* ]] || rm -rf -- "$tree"
  rm -rf -- "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '== %s\n' "$*"; }

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# --- The machine ---

make_tree() {
  [[ -d $tree/usr ]] && return
  step 'making a Debian tree'
  debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,iproute2,nftables,procps,xinetd bookworm "$tree" >"$scratch/debootstrap.log" 2>&1 ||
    cannot "debootstrap failed: $(tail -n 1 "$scratch/debootstrap.log")"
}

make_network() {
  ip netns add "$name"
  ip link add "$link" type veth peer name host0 netns "$name"
  ip address add 10.203.0.1/24 dev "$link"
  ip link set "$link" up
  ip -n "$name" address add "$address/24" dev host0
  ip -n "$name" link set host0 up
  ip -n "$name" link set lo up
}

# Boots the tree. What is written there stays, as on a real host.
boot() {
  systemd-nspawn -q -D "$tree" --register=no --keep-unit \
    --network-namespace-path="/run/netns/$name" --capability=all \
    --system-call-filter='bpf perf_event_open' --console=read-only -b \
    >"$scratch/console" 2>&1 &
  machine_pid=$!
  local try leader=
  for ((try = 0; try < 300; try++)); do
    kill -0 "$machine_pid" 2>/dev/null || cannot "systemd-nspawn ended: $(tail -n 1 "$scratch/console")"
    leader=$(pgrep -P "$machine_pid" | head -n 1) || true
    if [[ -n $leader ]]; then
      inside_pid=$leader
      if inside systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; then
        return
      fi
    fi
    sleep 0.2
  done
  cannot 'the system did not come up in a minute'
}

inside() {
  nsenter -t "$inside_pid" -a -- "$@"
}

stop_machine() {
  [[ -n $machine_pid ]] || return 0
  # SIGRTMIN+4 is systemd's request to power off.
  kill -s RTMIN+4 "$inside_pid" 2>/dev/null || true
  for _ in {1..100}; do
    kill -0 "$machine_pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$machine_pid" 2>/dev/null || true
  wait "$machine_pid" 2>/dev/null || true
  machine_pid=
}

reboot_machine() {
  step 'rebooting'
  stop_machine
  boot
}

# --- What must hold ---

binary=${ECHOTEST_STATIC_X86_64:-}
build() {
  [[ -n $binary ]] && return
  step 'building the static binary'
  "$top/scripts/build-static.sh" --target "$(uname -m)" --out "$scratch/dist" >"$scratch/build.log" 2>&1 ||
    fail "the build: $(tail -n 1 "$scratch/build.log")"
  binary=$scratch/dist/echotest-$(uname -m)
}

answers() {
  "$binary" client "$address" "$1" --count 3 --frequency 0.05 --no-files --timeout 3 \
    >"$scratch/client" 2>&1 || fail "$2: $(tail -n 2 "$scratch/client")"
  printf '   %s\n' "$2"
}

# Everything that an installation could have left.
snapshot() {
  inside bash -c '
    find /etc /usr/local /var/lib/echotest-install /var/log -xdev -not -path "/etc/.updated" \
      -not -path "/var/log/*" 2>/dev/null | sort
    md5sum /etc/services /etc/passwd /etc/group 2>/dev/null
    nft list ruleset 2>/dev/null
    ss -Hltn | awk "{ print \$4 }" | sort'
}

is_as_before() {
  snapshot >"$scratch/after"
  diff -u "$scratch/before" "$scratch/after" >"$scratch/left" ||
    fail "something is left behind: $(cat "$scratch/left")"
  printf '   nothing is left\n'
}

copy_in() {
  mkdir -p "$tree/root/echotest/scripts" "$tree/root/echotest/dist"
  cp "$top"/scripts/*.sh "$tree/root/echotest/scripts/"
  cp "$binary" "$tree/root/echotest/dist/echotest-$(uname -m)"
}

check_systemd() {
  step 'install-systemd.sh'
  inside /root/echotest/scripts/install-systemd.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  grep -q '^proved: ' "$scratch/out" || fail 'it proved nothing'
  answers 7 'answers from outside'
  inside /root/echotest/scripts/install-systemd.sh >"$scratch/out" 2>&1 || fail "twice: $(cat "$scratch/out")"
  answers 7 'answers after the second run'
  burst
  no_connection_is_refused
  a_crowd
  reboot_machine
  answers 7 'answers after a reboot'
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  is_as_before
}

burst() {
  python3 - "$address" <<'EOF' || fail 'a burst of connections'
import socket, sys
for _ in range(400):
    with socket.create_connection((sys.argv[1], 7), timeout=5) as one:
        one.sendall(b"x")
        assert one.recv(1) == b"x"
EOF
  [[ $(inside systemctl is-active echotest-echo.socket) == active ]] || fail 'the burst stopped the socket'
  printf '   400 connections in a row leave the unit up\n'
}

# Connects in a loop while the service is killed and started again.
no_connection_is_refused() {
  python3 - "$address" >"$scratch/loop" 2>&1 <<'EOF' &
import socket, sys, time
end = time.monotonic() + 4
count = 0
while time.monotonic() < end:
    with socket.create_connection((sys.argv[1], 7), timeout=10) as one:
        count += 1
    time.sleep(0.002)
print(count)
EOF
  local loop=$!
  sleep 1
  inside systemctl kill -s KILL echotest-echo.service
  sleep 1.2
  inside systemctl restart echotest-echo.service
  wait "$loop" || fail "a connection was refused while the service restarted: $(tail -n 1 "$scratch/loop")"
  answers 7 "$(cat "$scratch/loop") connections, none refused, while the service was killed and restarted"
}

# 5,000 clients with the unit's limits raised to that, and one more.
a_crowd() {
  inside /root/echotest/scripts/install-systemd.sh --max-clients 5000 --max-per-host 5000 \
    >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  python3 - "$address" <<'EOF' || fail 'a crowd of 5,000'
import resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
crowd = []
for number in range(5000):
    one = socket.create_connection((sys.argv[1], 7), timeout=20)
    one.sendall(number.to_bytes(4, "big"))
    crowd.append(one)
for number, one in enumerate(crowd):
    assert one.recv(4) == number.to_bytes(4, "big"), number
for _ in range(50):
    late = socket.create_connection((sys.argv[1], 7), timeout=20)
    try:
        assert late.recv(1) == b"", "the 5,001st was served"
    except ConnectionResetError:
        pass
EOF
  local lines
  lines=$(inside journalctl -u echotest-echo --no-pager -q | grep -c refused) || true
  ((lines >= 1 && lines <= 5)) || fail "50 refusals made $lines lines in the log"
  printf '   5,000 clients at once, 50 more are refused in %s lines of log\n' "$lines"
}

# Its sandbox is another: test sessions need sockets of their own.
check_other_protocols() {
  local protocol
  step 'install-systemd.sh, the other protocols'
  for protocol in measure ping twamp; do
    inside /root/echotest/scripts/install-systemd.sh --protocol "$protocol" >"$scratch/out" 2>&1 ||
      fail "$protocol: $(cat "$scratch/out")"
    grep -q '^proved: ' "$scratch/out" || fail "$protocol: it proved nothing"
  done
  "$binary" measure "$address" --type rtt --size 64 --no-files >/dev/null || fail 'measure from outside'
  "$binary" ping "$address" -c 20 -i 0.01 --no-files >/dev/null || fail 'ping from outside'
  "$binary" twamp "$address" -c 20 -i 0.01 --max-loss 0 --no-files >/dev/null || fail 'twamp from outside'
  "$binary" twamp "$address" --light -c 20 -i 0.01 --max-loss 0 --no-files >/dev/null ||
    fail 'light twamp from outside'
  printf '   measure, ping, twamp and light twamp answer from outside\n'
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  is_as_before
}

# A client of the service beside it, over a reboot.
check_client() {
  step 'install-systemd.sh --client'
  inside /root/echotest/scripts/install-systemd.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  inside /root/echotest/scripts/install-systemd.sh --client 127.0.0.1 --name here -- -i 0.05 >"$scratch/out" 2>&1 ||
    fail "$(cat "$scratch/out")"
  reboot_machine
  sleep 3
  inside systemctl reload echotest-client@here || fail 'it cannot be reloaded'
  sleep 1
  inside /usr/local/bin/echotest report /var/log/echotest/here >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  (($(inside bash -c 'ls /var/log/echotest/here/*_timings.csv' | wc -l) >= 2)) || fail 'no run after the reboot'
  printf '   it measures again after a reboot\n'
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  inside bash -c 'ls /var/log/echotest/here/*_timings.csv' >/dev/null || fail 'what was measured is gone'
  is_as_before
}

check_firewall() {
  step 'opening and closing the firewall'
  inside nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy accept; }; add rule inet filter input tcp dport 7 drop'
  inside /root/echotest/scripts/install-systemd.sh >"$scratch/out" 2>&1 || true
  if "$binary" client "$address" 7 --count 1 --no-files --timeout 0.5 >/dev/null 2>&1; then
    fail 'the firewall of this test lets everything through'
  fi
  inside /root/echotest/scripts/install-systemd.sh --open-firewall >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  grep -q 'opened 7/tcp in nftables' "$scratch/out" || fail "$(cat "$scratch/out")"
  answers 7 'answers through the opened firewall'
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  if inside nft list ruleset | grep -q echotest; then
    fail 'its firewall rule is left behind'
  fi
  inside nft delete table inet filter
  is_as_before
}

check_taken_port() {
  step 'a port that is taken'
  inside bash -c 'exec -a squatter /root/echotest/dist/echotest-$(uname -m) server --port 7 --daemon --pid-file /run/squatter.pid'
  if inside /root/echotest/scripts/install-systemd.sh >"$scratch/out" 2>&1; then
    fail 'it installed over another server'
  fi
  grep -q 'taken by another server' "$scratch/out" || fail "$(cat "$scratch/out")"
  inside bash -c 'kill $(cat /run/squatter.pid)'
  sleep 0.5
  is_as_before
}

check_xinetd() {
  step 'install-xinetd.sh'
  if ! inside bash -c 'command -v xinetd' >/dev/null; then
    printf '   left out: xinetd is not in the tree\n'
    return
  fi
  inside /root/echotest/scripts/install-xinetd.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  grep -q '^proved: ' "$scratch/out" || fail 'it proved nothing'
  answers 7 'answers from outside'
  inside journalctl --no-pager -q -t echotest -n 5 >"$scratch/journal"
  grep -Eq 'echotest\[[0-9]+\]: 10\.203\.0\.1:[0-9]+ echo: 192 bytes' "$scratch/journal" ||
    fail "the session is not in the system's log: $(cat "$scratch/journal")"
  printf "   the system's log names the client\n"
  inside /root/echotest/scripts/install-xinetd.sh >"$scratch/out" 2>&1 || fail "twice: $(cat "$scratch/out")"
  reboot_machine
  answers 7 'answers after a reboot'
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  inside /root/echotest/scripts/install-xinetd.sh --internal >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  answers 7 "xinetd's own echo answers"
  inside /root/echotest/scripts/uninstall.sh >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  is_as_before
}

# What the package holds besides.
package_is_gone() {
  if inside bash -c 'ls -d /usr/bin/echotest /usr/lib/systemd/system/echotest* /usr/share/*/echotest* \
    /usr/share/man/man1/echotest* /var/lib/dpkg/info/echotest*' >"$scratch/left" 2>/dev/null || [[ -s $scratch/left ]]; then
    fail "the package left $(tr '\n' ' ' <"$scratch/left")"
  fi
}

check_package() {
  step 'the Debian package'
  if ! command -v dpkg-deb >/dev/null; then
    printf '   left out: no dpkg-deb\n'
    return
  fi
  "$top/scripts/build-deb.sh" --binary "$binary" --out "$scratch/deb" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  cp "$scratch"/deb/echotest_*.deb "$tree/root/echotest/package.deb"
  inside dpkg -i /root/echotest/package.deb >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  [[ $(inside systemctl is-enabled echotest-echo.socket) == disabled ]] || fail 'it enables its units'
  if "$binary" client "$address" 7 --count 1 --no-files --timeout 1 >/dev/null 2>&1; then
    fail 'it serves unasked'
  fi
  printf '   installed, and nothing serves\n'
  inside systemctl enable --now --quiet echotest-echo.socket || fail 'its socket cannot be enabled'
  answers 7 'answers once its socket is enabled'
  inside dpkg -i /root/echotest/package.deb >"$scratch/out" 2>&1 || fail "again: $(cat "$scratch/out")"
  answers 7 'answers after it was installed over itself'
  reboot_machine
  answers 7 'answers after a reboot'
  inside dpkg -r echotest >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  if "$binary" client "$address" 7 --count 1 --no-files --timeout 1 >/dev/null 2>&1; then
    fail 'it serves although it is removed'
  fi
  inside dpkg --purge echotest >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  package_is_gone
  is_as_before
}

make_tree
make_network
build
copy_in
boot
# What a run that failed may have left in a tree that was kept.
inside /root/echotest/scripts/uninstall.sh >/dev/null
inside dpkg --purge echotest >/dev/null 2>&1 || true
inside bash -c '! nft list table inet filter >/dev/null 2>&1 || nft delete table inet filter'
snapshot >"$scratch/before"
check_taken_port
check_other_protocols
check_client
check_firewall
check_systemd
check_package
check_xinetd
printf 'all steps held\n'
