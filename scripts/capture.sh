#!/usr/bin/env bash
# Captures an echo session with tcpdump while the client measures it, then
# explains the capture and compares it with what the client says.
set -euo pipefail

usage() {
  cat <<'EOT'
Usage: scripts/capture.sh HOST PORT [-- CLIENT OPTIONS]

Starts tcpdump on the interface that leads to HOST, runs
'echotest client HOST PORT' with the options after --, stops tcpdump, and runs
'echotest analyze' on the capture and the client's own file. The capture is left
beside that file as capture.pcap (capture_2.pcap, … if there is one).

  --binary FILE   echotest to run (default: found beside this checkout or in PATH)
  --snap BYTES    bytes kept of each packet (default 128: headers and some data)
  -h, --help      print this

Needs tcpdump, and the right to capture: root, or
  sudo setcap cap_net_raw,cap_net_admin=eip "$(command -v tcpdump)"

Exit status: that of the client if it is not 0, else that of the analysis; 2 if
nothing could be captured.
EOT
}

die() {
  printf 'capture.sh: %s\n' "$*" >&2
  exit 2
}

binary='' snap=128 host='' port=''
while (($#)); do
  case $1 in
    --binary | --snap)
      [[ -n ${2-} ]] || die "$1 needs a value"
      declare "${1#--}=$2"
      shift 2
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      break
      ;;
    -*) die "unknown argument: $1; try scripts/capture.sh --help" ;;
    *)
      if [[ -z $host ]]; then
        host=$1
      elif [[ -z $port ]]; then
        port=$1
      else
        die "unexpected argument: $1; the client's options stand after --"
      fi
      shift
      ;;
  esac
done
[[ -n $host && -n $port ]] || die 'HOST and PORT are needed; try scripts/capture.sh --help'
[[ $port =~ ^[0-9]+$ && $port -ge 1 && $port -le 65535 ]] || die "PORT \"$port\": accepted is 1 to 65535"
[[ $snap =~ ^[0-9]+$ && $snap -ge 68 && $snap -le 262144 ]] || die "--snap \"$snap\": accepted is 68 to 262144"
PATH=$PATH:/usr/sbin:/sbin

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
find_binary() {
  local candidate
  for candidate in "$top/target/release/echotest" "$top/dist/echotest-$(uname -m)" \
    "$(command -v echotest || true)"; do
    if [[ -n $candidate && -x $candidate ]]; then
      printf '%s' "$candidate"
      return
    fi
  done
  die 'no echotest found; build it with cargo build --release, or name it with --binary'
}
[[ -n $binary ]] || binary=$(find_binary)
[[ -x $binary ]] || die "--binary $binary: cannot be run"

if ! command -v tcpdump >/dev/null; then
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    printf 'installing tcpdump\n'
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends tcpdump >/dev/null ||
      die 'tcpdump could not be installed; try apt-get update first'
  else
    die 'tcpdump is not there; install it (Debian: apt install tcpdump)'
  fi
fi

# The client gets the address, so that both mean the same of the host's.
address=$host
address=${address#[} address=${address%]}
if ! [[ $address =~ ^[0-9.]+$ || $address == *:* ]]; then
  # getent's own status says no more than that it found nothing.
  address=$(getent ahosts "$address" | awk 'NR == 1 { print $1 }') || address=
  [[ -n $address ]] || die "cannot resolve $host"
fi
route=$(ip -o route get "${address%%%*}" 2>&1) || die "no route to $address: $route"
interface=lo
if [[ $route != local\ * && $route =~ \ dev\ ([^ ]+) ]]; then
  interface=${BASH_REMATCH[1]}
fi

# Where the client leaves its files.
logs=logs
previous=
for argument; do
  case $argument in
    --log-dir=*) logs=${argument#*=} ;;
    *) [[ $previous != --log-dir ]] || logs=$argument ;;
  esac
  previous=$argument
done
mkdir -p -- "$logs"
capture=$logs/capture.pcap
for ((number = 2; ; number++)); do
  [[ -e $capture ]] || break
  capture=$logs/capture_$number.pcap
done

scratch=$(mktemp -d)
tcpdump=
client=
# Called through the trap.
# shellcheck disable=SC2317,SC2329
cleanup() {
  [[ -z $client ]] || kill -TERM "$client" 2>/dev/null || true
  [[ -z $tcpdump ]] || kill -KILL "$tcpdump" 2>/dev/null || true
  rm -rf -- "$scratch"
}
trap cleanup EXIT
# Ctrl-C, or a request to end, ends the client with its summary; the analysis
# follows. In the background it would not heed the terminal's own signal.
# shellcheck disable=SC2317,SC2329
end_client() {
  interrupted=yes
  [[ -z $client ]] || kill -TERM "$client" 2>/dev/null || true
}
trap end_client INT TERM HUP

# tcpdump as root would give up its rights, and then could not write here.
user=()
if ((EUID == 0)); then
  user=(-Z root)
fi
touch "$scratch/before"
tcpdump -i "$interface" -s "$snap" -U --immediate-mode -B 16384 "${user[@]}" -w "$capture" \
  "(host ${address%%%*} and tcp port $port) or icmp or icmp6" 2>"$scratch/tcpdump" &
tcpdump=$!
for ((try = 0; ; try++)); do
  if grep -q 'listening on' "$scratch/tcpdump"; then
    break
  elif ! kill -0 "$tcpdump" 2>/dev/null || ((try >= 100)); then
    tcpdump=
    said=$(tail -n 1 "$scratch/tcpdump")
    rm -f -- "$capture"
    # Denied is told in several ways.
    if [[ ${said,,} == *permi* ]]; then
      die "tcpdump may not capture ($said); run this as root, or allow it:" \
        "sudo setcap cap_net_raw,cap_net_admin=eip $(command -v tcpdump)"
    fi
    die "tcpdump does not capture: $said"
  fi
  sleep 0.1
done
printf 'capturing on %s into %s\n' "$interface" "$capture"

"$binary" client "$address" "$port" "$@" &
client=$!
# A signal ends the wait and not yet the client.
interrupted=yes
while [[ -n $interrupted ]]; do
  interrupted='' status=0
  wait "$client" || status=$?
done
client=

# The last packets are on their way to the file.
sleep 0.3
kill -INT "$tcpdump" 2>/dev/null || true
wait "$tcpdump" || true
tcpdump=
dropped=$(sed -n 's/ packets dropped by kernel$//p' "$scratch/tcpdump")
if [[ ${dropped:-0} != 0 ]]; then
  printf 'note: the kernel dropped %s packets; the capture is not complete\n' "$dropped"
fi

timings=$(find "$logs" -maxdepth 1 -name '*_timings.csv' -newer "$scratch/before" | sort | tail -n 1)
printf '\n'
"$binary" analyze "$capture" ${timings:+--csv "$timings"} || status=$((status ? status : $?))
exit "$status"
