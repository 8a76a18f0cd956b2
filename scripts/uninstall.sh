#!/usr/bin/env bash
# Takes away everything that install-systemd.sh and install-xinetd.sh made:
# units, xinetd's file, lines in /etc/services, firewall rules, the binary.
# xinetd itself stays unless told otherwise: others may use it.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/service-common.sh"

usage() {
  cat <<'EOF'
Usage: scripts/uninstall.sh [--prefix DIR] [--purge-xinetd] [--purge-data]
                            [--dry-run]

  --prefix DIR     where bin/echotest was put (default /usr/local)
  --purge-xinetd   remove the xinetd package too
  --purge-data     remove what clients measured (/var/log/echotest), too
  --dry-run        say what would be done
  -h, --help       print this
EOF
}

prefix=/usr/local purge=no purge_data=no
while (($#)); do
  case $1 in
    --prefix)
      need_value "$1" "${2-}"
      prefix=$2
      shift 2
      ;;
    --purge-xinetd) purge=yes && shift ;;
    --purge-data) purge_data=yes && shift ;;
    --dry-run) dry_run=yes && shift ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die 2 "unknown argument: $1; try $program --help" ;;
  esac
done
need_root

remove_units() {
  local file unit found=no
  for file in /etc/systemd/system/echotest-{echo,measure,ping,twamp}.{socket,service}; do
    [[ -f $file ]] || continue
    found=yes
    unit=${file##*/}
    if [[ -d /run/systemd/system ]]; then
      act systemctl --quiet disable --now "$unit" || true
      act systemctl --quiet reset-failed "$unit" 2>/dev/null || true
    fi
    act rm -f -- "$file"
  done
  if [[ $found == yes && -d /run/systemd/system ]]; then
    act systemctl daemon-reload
  fi
}

remove_clients() {
  local file name unit=/etc/systemd/system/echotest-client@.service
  for file in /etc/echotest/client-*.conf; do
    [[ -f $file ]] || continue
    name=${file##*/client-}
    name=${name%.conf}
    if [[ -d /run/systemd/system ]]; then
      act systemctl --quiet disable --now "echotest-client@$name" || true
    fi
    act rm -f -- "$file"
    if [[ $purge_data == yes ]]; then
      act rm -rf -- "/var/log/echotest/$name" "/var/log/private/echotest/$name"
    else
      printf 'what %s measured stays in /var/log/echotest/%s; --purge-data removes it\n' "$name" "$name"
    fi
  done
  if [[ -d /etc/echotest ]]; then
    act rmdir --ignore-fail-on-non-empty -- /etc/echotest
  fi
  [[ -f $unit ]] || return 0
  act rm -f -- "$unit"
  [[ ! -d /run/systemd/system ]] || act systemctl daemon-reload
}

# What the Debian package has brought is the package's: apt removes it.
of_package() {
  command -v dpkg-query >/dev/null && dpkg-query -S "$1" >/dev/null 2>&1
}

remove_xinetd_service() {
  local file found=no
  for file in /etc/xinetd.d/echotest{,-measure,-ping,-twamp}; do
    [[ -f $file ]] || continue
    if of_package "$file"; then
      printf 'left in place: %s belongs to the package echotest (apt remove echotest)\n' "$file"
      continue
    fi
    found=yes
    act rm -f -- "$file"
  done
  [[ $found == yes ]] || return 0
  if [[ -d /run/systemd/system ]]; then
    act systemctl try-restart xinetd || true
  elif command -v rc-service >/dev/null; then
    act rc-service xinetd restart || true
  elif command -v service >/dev/null; then
    act service xinetd restart || true
  fi
}

purge_xinetd() {
  if command -v apt-get >/dev/null; then
    act env DEBIAN_FRONTEND=noninteractive apt-get purge -y -q xinetd
  elif command -v dnf >/dev/null; then
    act dnf remove -y -q xinetd
  elif command -v yum >/dev/null; then
    act yum remove -y -q xinetd
  elif command -v zypper >/dev/null; then
    act zypper --non-interactive remove xinetd
  elif command -v apk >/dev/null; then
    act apk del xinetd
  fi
}

close_firewall() {
  local kind port ports transport handle
  [[ -f $state/firewall ]] || return 0
  while read -r kind port; do
    ports=${port%/*} transport=${port#*/}
    case $kind in
      ufw) act ufw delete allow "${ports/-/:}/$transport" || true ;;
      firewalld)
        act firewall-cmd --quiet --permanent --remove-port "$port" || true
        act firewall-cmd --quiet --remove-port "$port" || true
        ;;
      nftables)
        handle=$(nft -a list chain inet filter input 2>/dev/null |
          sed -n "s/.*$transport dport $ports accept comment \"echotest\" # handle //p" | head -n 1)
        [[ -z $handle ]] || act nft delete rule inet filter input handle "$handle" || true
        ;;
    esac
  done <"$state/firewall"
}

remove_units
remove_clients
remove_xinetd_service
[[ $purge == no ]] || purge_xinetd
close_firewall
if grep -qs "$mark\$" /etc/services; then
  act sed -i "/$mark\$/d" /etc/services
fi
act rm -f -- "$prefix/bin/echotest" "$prefix/bin/echotest.new"
act rm -rf -- "$state"
printf 'echotest is removed\n'
