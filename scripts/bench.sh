#!/usr/bin/env bash
# How fast, how exact and how small echotest is on this machine, against
# sockperf where there is a like for like, and against qperf, irtt, iperf3,
# xinetd, socat, tshark and plain Python where they are there. Both sides of both tools are pinned
# to one core, and the tools take turns: on small machines nothing else compares.
# Figures are medians over the rounds with [minimum..maximum]; a goal that is
# missed is printed as MISSED and is no failure of this script.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: scripts/bench.sh [--rounds N] [--seconds N] [--quick] [--binary PATH]

  --rounds N     rounds of each comparison (default 7)
  --seconds N    length of one measurement (default 5)
  --quick        a minute or two: 3 short rounds, a million packets
  --binary PATH  measure this binary instead of building the static one
  -h, --help     print this

As root on Debian or Ubuntu it installs sockperf if it is missing.
EOF
}

rounds=7
seconds=5
packets=10000000
idle_clients=10000
peer_seconds=2
pace_seconds=10
binary=
while (($#)); do
  case $1 in
    --rounds | --seconds | --binary)
      (($# > 1)) || {
        printf 'bench.sh: %s needs a value\n' "$1" >&2
        exit 2
      }
      declare "${1#--}=$2"
      shift 2
      ;;
    --quick)
      rounds=3 seconds=1 packets=1000000 pace_seconds=3 idle_clients=2000 peer_seconds=0.4
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      printf 'bench.sh: unknown argument: %s\nTry scripts/bench.sh --help.\n' "$1" >&2
      exit 2
      ;;
  esac
done

here=$(pwd -P)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
servers=()
cleanup() {
  ((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
  rm -rf -- "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- What is measured, and with what ---

need() {
  command -v "$1" >/dev/null && return
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    printf 'installing %s\n' "$2"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" >/dev/null
  else
    printf 'bench.sh: %s is missing: install the package %s\n' "$1" "$2" >&2
    exit 1
  fi
}

need python3 python3
need taskset util-linux
need sockperf sockperf
if [[ -n $binary ]]; then
  binary=$(cd -- "$here" && realpath -- "$binary")
else
  scripts/build-static.sh --target x86_64 --out "$scratch/dist" >"$scratch/build.log" 2>&1 || {
    cat "$scratch/build.log" >&2
    exit 1
  }
  binary=$scratch/dist/echotest-x86_64
fi

# Starts a command pinned to core 0 as a server that goes with this script.
serve() {
  taskset -c 0 "$@" >"$scratch/server.log" 2>&1 &
  servers+=($!)
}

# Starts our server and leaves its port in port and its process in server.
port=
server=
serve_ours() {
  serve "$binary" server --bind 127.0.0.1 --port 0 --max-clients 20000 --max-per-host 20000
  server=${servers[-1]}
  port=
  until [[ -n $port ]]; do
    sleep 0.05
    kill -0 "$server"
    port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\) .*/\1/p' "$scratch/server.log")
  done
}

# Reads figures from a JSON object by path: json FILE rtt_us.p50 ...
json() {
  python3 - "$@" <<'EOF'
import functools, json, sys
data = json.load(open(sys.argv[1]))
print(*(functools.reduce(dict.get, path.split("."), data) for path in sys.argv[2:]))
EOF
}

# Prints a line of the table: what, figures (one a round), unit, goal as a
# Python condition on x, the median.
figure() {
  python3 - "$@" <<'EOF'
import statistics, sys
what, values, unit, goal = sys.argv[1:5]
values = [float(value) for value in values.split()]
x = statistics.median(values)
spread = f"[{min(values):.4g}..{max(values):.4g}]" if len(values) > 1 else ""
verdict = "" if not goal else f"goal {goal}: {'ok' if eval(goal) else 'MISSED'}"
print(f"{what:46} {x:>10.4g} {unit:8} {spread:24} {verdict}")
EOF
}

# --- Against sockperf ---

ours_round() {
  taskset -c 0 "$binary" client 127.0.0.1 "$port" -q --frequency 0 --duration "$seconds" \
    --size "$1" --json --log-dir "$scratch/logs" >"$scratch/ours.json"
  rm -rf -- "$scratch/logs"
  json "$scratch/ours.json" rtt_us.p50 packets.received duration_s
}

sockperf_round() {
  taskset -c 0 sockperf ping-pong --tcp --full-rtt -i 127.0.0.1 -p "$sockperf_port" \
    -m "$1" -t "$seconds" >"$scratch/sockperf.txt" 2>&1
  python3 - "$scratch/sockperf.txt" <<'EOF'
import re, sys
text = open(sys.argv[1]).read()
valid = re.search(r"Valid Duration\] RunTime=([\d.]+) sec;.*ReceivedMessages=(\d+)", text)
p50 = re.search(r"percentile 50\.000 = +([\d.]+)", text)
print(p50[1], valid[2], valid[1])
EOF
}

compare_at() {
  local size=$1 round p50 received duration
  local ours_p50=() ours_rate=() their_p50=() their_rate=() p50_ratio=() rate_ratio=()
  for ((round = 0; round < rounds; round++)); do
    read -r p50 received duration < <(ours_round "$size")
    ours_p50+=("$p50")
    ours_rate+=("$(python3 -c "print($received / $duration)")")
    read -r p50 received duration < <(sockperf_round "$size")
    their_p50+=("$p50")
    their_rate+=("$(python3 -c "print($received / $duration)")")
    p50_ratio+=("$(python3 -c "print(${ours_p50[-1]} / ${their_p50[-1]})")")
    rate_ratio+=("$(python3 -c "print(${ours_rate[-1]} / ${their_rate[-1]})")")
  done
  figure "p50 RTT, $size bytes: echotest" "${ours_p50[*]}" us ''
  figure "p50 RTT, $size bytes: sockperf" "${their_p50[*]}" us ''
  figure "p50 RTT, $size bytes: ratio by round" "${p50_ratio[*]}" '' 'x <= 1.02'
  figure "packets per second, $size bytes: echotest" "${ours_rate[*]}" /s ''
  figure "packets per second, $size bytes: sockperf" "${their_rate[*]}" /s ''
  figure "packets per second, $size bytes: ratio by round" "${rate_ratio[*]}" '' 'x >= 0.98'
}

against_sockperf() {
  sockperf_port=$((20000 + RANDOM % 10000))
  serve sockperf server --tcp -i 127.0.0.1 -p "$sockperf_port"
  serve_ours
  sleep 0.5
  compare_at 64
  compare_at 1024
}

# --- Pacing ---

pacing() {
  local round lateness=() lateness99=() cpu=() drift=() p50 p99 used off figures
  for ((round = 0; round < rounds && round < 3; round++)); do
    figures=$(
      python3 - "$binary" "$port" "$pace_seconds" "$scratch/pace" <<'EOF'
import csv, glob, json, os, resource, shutil, subprocess, sys
binary, port, seconds, logs = sys.argv[1:]
count = int(seconds) * 1000
before = resource.getrusage(resource.RUSAGE_CHILDREN)
done = subprocess.run([binary, "client", "127.0.0.1", port, "-q", "-i", "0.001", "-c", str(count),
                       "--json", "--log-dir", logs], capture_output=True, text=True, check=True)
after = resource.getrusage(resource.RUSAGE_CHILDREN)
figures = json.loads(done.stdout)
sent = [int(row["send_time_ns"]) for row in csv.DictReader(open(glob.glob(logs + "/*.csv")[0]))]
shutil.rmtree(logs)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
drift = (sent[-1] - sent[0]) / 1e6 - (count - 1)
late = figures["send_lateness_us"]
print(late["p50"], late["p99"], 100 * cpu / figures["duration_s"], abs(drift))
EOF
    )
    read -r p50 p99 used off <<<"$figures"
    lateness+=("$p50")
    lateness99+=("$p99")
    cpu+=("$used")
    drift+=("$off")
  done
  figure "1 kHz: drift over $pace_seconds s" "${drift[*]}" ms 'x < 1'
  figure '1 kHz: send lateness p50' "${lateness[*]}" us 'x <= 60'
  figure "1 kHz: send lateness p99 (the machine's)" "${lateness99[*]}" us ''
  figure '1 kHz: processor use of the client' "${cpu[*]}" '% core' 'x <= 10'
}

# --- Memory and size ---

memory() {
  local figures
  figures=$(
    python3 - "$binary" "$port" "$packets" "$scratch/memory" "$server" <<'EOF'
import os, resource, shutil, socket, subprocess, sys, time
binary, port, packets, logs, server = sys.argv[1:]
def resident(field):
    text = open(f"/proc/{server}/status").read()
    return int(text.split(field + ":")[1].split()[0])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
client = subprocess.Popen(["taskset", "-c", "0", binary, "client", "127.0.0.1", port, "-q", "-i", "0",
                           "-c", packets, "--log-dir", logs], stdout=subprocess.DEVNULL)
peak = 0
while client.poll() is None:
    try:
        # Its own peak, not that of taskset before it became the client.
        text = open(f"/proc/{client.pid}/status").read()
        if "VmHWM" in text and open(f"/proc/{client.pid}/comm").read().startswith("echotest"):
            peak = int(text.split("VmHWM:")[1].split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    time.sleep(0.05)
shutil.rmtree(logs)
before = resident("VmRSS")
clients = []
for _ in range(1000):
    client = socket.create_connection(("127.0.0.1", int(port)))
    client.sendall(bytes(64))
    client.recv(64)
    clients.append(client)
idle = (resident("VmRSS") - before) / len(clients)
print(peak / 1024, idle, resident("VmHWM") / 1024)
EOF
  )
  read -r peak idle server_peak <<<"$figures"
  figure "client: peak memory over $packets packets" "$peak" MiB 'x <= 4'
  figure 'server: memory of an idle client' "$idle" KiB ''
  figure 'server: peak memory with 1,000 idle clients' "$server_peak" MiB ''
  figure 'size of the static binary' "$(python3 -c "import os; print(os.path.getsize('$binary') / 1e6)")" \
    MB 'x <= 1.2'
}

printf 'echotest %s, %s\n' "$("$binary" --version | cut -d' ' -f2)" \
  "$(git describe --always --dirty 2>/dev/null || echo 'no git')"
printf '%s, %s cores, Linux %s, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
  "$(nproc)" "$(uname -r)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
printf '%d rounds of %d s, medians [minimum..maximum]; both sides on core 0\n\n' "$rounds" "$seconds"
against_sockperf
pacing
memory
((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
servers=()
printf '\nbeside other tools, not pinned unless it says so\n'
python3 scripts/bench_peers.py "$binary" --rounds "$rounds" --seconds "$peer_seconds" --idle "$idle_clients"
