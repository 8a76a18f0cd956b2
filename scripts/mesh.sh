#!/usr/bin/env bash
# Measures every pair of hosts in both directions, from one seat over plain
# SSH: copies the static binary to each, starts an echo server there, runs a
# client on each towards every other, and gathers what they wrote.
#
# Nothing stays on the hosts. A server, its files and the clients beside it end
# with the SSH session that started them, whose standard input this script holds
# open: also when it is killed outright. With --install it is for ever instead, as
# services; --collect gathers what those say of each day.
set -euo pipefail

program=${0##*/}

usage() {
  cat <<'EOT'
Usage: scripts/mesh.sh HOSTS [OPTIONS]

HOSTS is a file with a host on each line, # begins a comment:

    NAME ADDRESS [SSH-TARGET]

The others measure it at ADDRESS; it is reached as SSH-TARGET (default ADDRESS).

  --seconds N         measure each pair this long (default 60)
  --frequency SECS    time from one packet to the next (default 0.1)
  --size BYTES        payload of each packet (default 64)
  --flows N           connections of each pair at once (default 1); bad ones among
                      equal paths are named with their ports
  --skip-unreachable  go on without a host that cannot be set up
  --parallel N        pairs at once, never two with one host (default: as many as
                      there are hosts for; 1 measures one pair after another)
  --port N            TCP port of the servers (default: a free one on each)
  --out DIR           where the results go (default mesh-YYYYMMDD_HHMMSS)
  --binary PATH       binary to copy (default dist/echotest-MACHINE, by host)
  --remote-dir DIR    where on the hosts its directory is made (default /tmp)
  --ssh COMMAND       what reaches a host: COMMAND SSH-TARGET REMOTE-COMMAND
                      (default ssh -o BatchMode=yes -o ConnectTimeout=10
                      -o ServerAliveInterval=15)
  --install           for ever: an echo server on each host and a client for each
                      other one, as services under systemd (scripts/
                      install-systemd.sh; needs root or sudo there). Again with
                      another list it changes what differs
  --collect           bring the lines a day of such services together in DIR
                      (default mesh-daily), and print the matrices of a day
  --day YYYY-MM-DD    which day, in UTC (default: yesterday)
  --keep N            with --install: days whose packets stay (default 30)
  --open-firewall     with --install: as install-systemd.sh does
  -h, --help          print this

Prints a matrix of p50, p99 and loss. DIR holds it as matrix.txt and index.html,
and FROM-to-TO.csv and .json of each pair.

Exit status: 0 every pair was measured; 1 one was not; 2 bad usage, or a host
could not be set up.
EOT
}

die() {
  local status=$1
  shift
  printf '%s: %s\n' "$program" "$*" >&2
  exit "$status"
}

# The value of option $1 is $2, and must look like $3.
check() {
  [[ $2 =~ ^($3)$ ]] || die 2 "$1 \"$2\" is not accepted; try $program --help"
}

hosts='' mode=once day='' keep=30 firewall=''
seconds=60 frequency=0.1 size=64 flows=1 skip_unreachable=no parallel=0 port=0 out='' binary='' remote_dir=/tmp
ssh_command='ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15'
while (($#)); do
  case $1 in
    --skip-unreachable) skip_unreachable=yes && shift ;;
    --install | --collect)
      [[ $mode == once || --$mode == "$1" ]] || die 2 '--install and --collect exclude each other'
      mode=${1#--} && shift
      ;;
    --open-firewall) firewall=' --open-firewall' && shift ;;
    --day | --keep | --seconds | --frequency | --size | --flows | --parallel | --port | --out | --binary | --remote-dir)
      [[ -n ${2-} ]] || die 2 "$1 needs a value; try $program --help"
      name=${1#--}
      declare "${name//-/_}=$2"
      shift 2
      ;;
    --ssh)
      [[ -n ${2-} ]] || die 2 "--ssh needs a value; try $program --help"
      ssh_command=$2
      shift 2
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) die 2 "unknown argument: $1; try $program --help" ;;
    *)
      [[ -z $hosts ]] || die 2 "unexpected argument: $1; try $program --help"
      hosts=$1
      shift
      ;;
  esac
done
[[ -n $hosts ]] || die 2 "a file of hosts is needed; try $program --help"
[[ -r $hosts ]] || die 2 "cannot read $hosts"
check --seconds "$seconds" '[1-9][0-9]{0,6}'
check --frequency "$frequency" '[0-9]{1,6}([.][0-9]{1,9})?|[0-9]{1,6}(us|ms|s)'
check --size "$size" '[1-9][0-9]{0,8}[KM]?'
check --flows "$flows" '[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-6]'
check --parallel "$parallel" '[0-9]{1,4}'
check --port "$port" '[0-9]{1,5}'
check --keep "$keep" '[1-9][0-9]{0,5}'
check --day "$day" '|[0-9]{4}-[0-9]{2}-[0-9]{2}'
[[ -z $day || $mode == collect ]] || die 2 '--day: it goes with --collect'
check --remote-dir "$remote_dir" '/[A-Za-z0-9._/-]*'
read -ra ssh <<<"$ssh_command"
top=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

# --- The hosts ---

names=() addresses=() targets=()
read_hosts() {
  local line number=0 words known
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    [[ $line != $'\xef\xbb\xbf'* ]] ||
      die 2 "$hosts:$number: begins with a byte order mark; save it as UTF-8 without one"
    [[ $line != *$'\r' ]] ||
      die 2 "$hosts:$number: ends as Windows ends lines (CRLF); mend it with: sed -i 's/\\r\$//' $hosts"
    read -ra words <<<"${line%%#*}"
    ((${#words[@]})) || continue
    ((${#words[@]} == 2 || ${#words[@]} == 3)) ||
      die 2 "$hosts:$number: expected NAME ADDRESS [SSH-TARGET]"
    # All of them become parts of file names, commands and a page.
    [[ ${words[0]} =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] ||
      die 2 "$hosts:$number: the name \"${words[0]}\": accepted are letters, digits and . _ -"
    [[ ${words[1]} =~ ^[A-Za-z0-9:][A-Za-z0-9.:%-]*$ ]] ||
      die 2 "$hosts:$number: the address \"${words[1]}\" is neither an address nor a host name"
    [[ ${words[2]-} != -* ]] || die 2 "$hosts:$number: the SSH target \"${words[2]}\" begins with -"
    for known in "${names[@]}"; do
      [[ $known != "${words[0]}" ]] || die 2 "$hosts:$number: $known is there twice"
    done
    names+=("${words[0]}")
    addresses+=("${words[1]}")
    targets+=("${words[2]:-${words[1]}}")
  done <"$hosts"
  ((${#names[@]} >= 2)) || die 2 "$hosts: at least two hosts are needed"
}
read_hosts
count=${#names[@]}

# --- Cleaning up ---

scratch=$(mktemp -d)
feeders=() sessions=() jobs=()

cleanup() {
  trap '' HUP INT TERM
  local pid try alive
  for pid in "${jobs[@]}" "${feeders[@]}"; do
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
  done
  # Without its input each session ends its server, takes its files away and
  # comes back; one that cannot be reached any more is not waited for.
  for ((try = 0; try < 100; try++)); do
    alive=no
    for pid in "${sessions[@]}"; do
      if kill -0 "$pid" 2>/dev/null; then alive=yes; fi
    done
    [[ $alive == yes ]] || break
    sleep 0.1
  done
  for pid in "${sessions[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  wait
  rm -rf -- "$scratch"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Servers ---

# What runs on a host, as $1 bytes of binary come in: no single quotes, for it
# stands between them, so that any login shell will do.
remote_session() {
  cat <<EOT | tr '\n' ' '
umask 077;
d=\$(mktemp -d $remote_dir/echotest-mesh.XXXXXX) || exit 2;
p=;
end() { kill \$p \$(cat \$d/*.pid 2>/dev/null) 2>/dev/null; wait; rm -rf \$d; };
trap end EXIT;
trap "exit 1" HUP INT TERM PIPE;
head -c $1 >\$d/echotest && chmod 700 \$d/echotest || exit 2;
echo mesh-dir \$d;
\$d/echotest server --port $port 2>&1 & p=\$!;
cat >/dev/null
EOT
}

# The input of a session: the binary $1, then nothing, for as long as this
# script lives.
feed() {
  cat -- "$1"
  while kill -0 $$ 2>/dev/null; do
    sleep 0.5
  done
}

# Hosts that the rest goes on without.
gone=()

# Host $1 cannot be set up, as the other words say: with --skip-unreachable the
# others are measured all the same.
give_up() {
  local host=$1
  shift
  [[ $skip_unreachable == yes ]] || die 2 "$*"
  printf '%s: %s; left out\n' "$program" "$*" >&2
  gone[host]=1
}

binary_for() {
  local machine
  if [[ -n $binary ]]; then
    printf '%s' "$binary"
    return
  fi
  machine=$("${ssh[@]}" "$1" 'uname -m' </dev/null) || return 1
  printf '%s' "$top/dist/echotest-${machine##*$'\n'}"
}

start_session() {
  local host=$1 file bytes
  if ! file=$(binary_for "${targets[host]}"); then
    give_up "$host" "cannot reach ${targets[host]}"
    return
  fi
  [[ -f $file ]] || die 2 "no binary at $file for ${names[host]}: build it with scripts/build-static.sh"
  bytes=$(wc -c <"$file")
  mkfifo "$scratch/$host.in"
  # Before anybody looks into them: the session itself makes them only when its
  # input has both ends.
  : >"$scratch/$host.out"
  : >"$scratch/$host.err"
  "${ssh[@]}" "${targets[host]}" "exec sh -c '$(remote_session "$((bytes))")'" \
    <"$scratch/$host.in" >"$scratch/$host.out" 2>"$scratch/$host.err" &
  sessions[host]=$!
  feed "$file" >"$scratch/$host.in" 2>/dev/null &
  feeders[host]=$!
}

dirs=() ports=()
await_server() {
  local host=$1 try text
  [[ -z ${gone[host]-} ]] || return 0
  for ((try = 0; try < 300; try++)); do
    text=$(<"$scratch/$host.out")
    if [[ $text =~ listening\ on\ [^\ ]*:([0-9]+)\  ]]; then
      ports[host]=${BASH_REMATCH[1]}
      [[ $text =~ mesh-dir\ ([A-Za-z0-9._/-]+) ]] || die 2 "${names[host]}: $text"
      dirs[host]=${BASH_REMATCH[1]}
      return
    fi
    if ! kill -0 "${sessions[host]}" 2>/dev/null; then
      give_up "$host" "${names[host]}: no server: $(tail -n 1 "$scratch/$host.err" "$scratch/$host.out" 2>/dev/null | tr '\n' ' ')"
      return
    fi
    sleep 0.1
  done
  give_up "$host" "${names[host]}: no server came up in 30 s: ${text##*$'\n'}"
}

# --- Measuring ---

# Runs a client on host $1 towards host $2. Its JSON line and its CSV come back
# over standard output, in this order.
measure() {
  local from=$1 to=$2 base dir=${dirs[$1]} remote
  base=$scratch/$from-$to
  remote="d=$dir/to$to; mkdir \$d || exit 2; \
$dir/echotest client ${addresses[to]} ${ports[to]} -w $seconds -i $frequency -s $size --flows $flows --json --log-dir \$d & \
echo \$! >\$d.pid; wait \$!; s=\$?; cat \$d/*_timings.csv 2>/dev/null; rm -rf \$d \$d.pid; exit \$s"
  "${ssh[@]}" "${targets[from]}" "exec sh -c '$remote'" </dev/null >"$base.out" 2>"$base.err" || true
  local file=$out/${names[from]}-to-${names[to]}
  # Whatever a login shell says comes before.
  sed -n '/^{"version"/{p;q}' "$base.out" >"$base.json"
  if [[ -s $base.json ]]; then
    mv -- "$base.json" "$file.json"
    awk 'found; /^\{"version"/ { found = 1 }' "$base.out" >"$file.csv"
  fi
  rm -f -- "$base.out"
}

# An earlier run's figures must not stand for a pair that fails now.
forget_pairs() {
  local from to
  for from in "${names[@]}"; do
    for to in "${names[@]}"; do
      rm -f -- "$out/$from-to-$to".{json,csv,html}
    done
  done
}

# The pairs that are left, as "from to"; host by host in turns, so that the
# first ones have no host in common.
pairs=()
make_pairs() {
  local step from to
  for ((step = 1; step < count; step++)); do
    for ((from = 0; from < count; from++)); do
      to=$(((from + step) % count))
      if [[ -z ${gone[from]-}${gone[to]-} ]]; then
        pairs+=("$from $to")
      fi
    done
  done
}

# Starts what can be started; pairs that share a host with one under way wait.
measure_all() {
  local most=${parallel#0} total=${#pairs[@]} begun=0 job waiting pair from to
  local -A busy=() ends=()
  ((${most:-0} > 0)) || most=$count
  while ((${#pairs[@]} || ${#jobs[@]})); do
    waiting=()
    for pair in "${pairs[@]}"; do
      read -r from to <<<"$pair"
      if ((${#jobs[@]} >= most)) || [[ -n ${busy[$from]-} || -n ${busy[$to]-} ]]; then
        waiting+=("$pair")
        continue
      fi
      begun=$((begun + 1))
      printf 'measuring %s to %s (%d of %d)\n' "${names[from]}" "${names[to]}" "$begun" "$total"
      measure "$from" "$to" &
      jobs[$!]=$!
      ends[$!]=$pair
      busy[$from]=1 busy[$to]=1
    done
    pairs=("${waiting[@]}")
    sleep 0.1
    for job in "${jobs[@]}"; do
      kill -0 "$job" 2>/dev/null && continue
      read -r from to <<<"${ends[$job]}"
      unset "busy[$from]" "busy[$to]" "jobs[$job]"
    done
  done
}

# --- Results ---

# A line for each pair: from, to, p50, p99 (both in us) and loss in percent, or
# a dash for each. Lines of pairs that failed go to standard error too.
figures() {
  local from to json p50 p99 loss
  for ((from = 0; from < count; from++)); do
    for ((to = 0; to < count; to++)); do
      ((from != to)) || continue
      json='' p50=- p99=- loss=-
      if [[ -f $out/${names[from]}-to-${names[to]}.json ]]; then
        json=$(<"$out/${names[from]}-to-${names[to]}.json")
      fi
      [[ $json =~ \"rtt_us\":\{[^}]*\"p50\":([0-9.]+) ]] && p50=${BASH_REMATCH[1]}
      [[ $json =~ \"rtt_us\":\{[^}]*\"p99\":([0-9.]+) ]] && p99=${BASH_REMATCH[1]}
      [[ $json =~ \"loss_percent\":([0-9.]+) ]] && loss=${BASH_REMATCH[1]}
      printf '%s %s %s %s %s\n' "${names[from]}" "${names[to]}" "$p50" "$p99" "$loss"
      if [[ $p50 == - && -z ${gone[from]-}${gone[to]-} ]]; then
        printf '%s: %s to %s: no reply: %s\n' "$program" "${names[from]}" "${names[to]}" \
          "$(tail -n 1 "$scratch/$from-$to.err" 2>/dev/null)" >&2
      fi
    done
  done
}

# Reads figures and prints one table for each of p50, p99 and loss, as text or
# ($1 is html) as part of a page, in which a deeper shade is a larger value, on
# a logarithmic scale. $2: pages of single pairs are there.
tables() {
  awk -v kind="$1" -v pages="$2" '
    function unit() { return largest < 10000 ? "us" : "ms" }
    function shown(value, m) {
      if (value == "-" || value == "") return "-"
      if (m == 3) return sprintf("%.2f", value)
      return largest < 10000 ? sprintf("%.1f", value) : sprintf("%.3f", value / 1000)
    }
    function shade(value, m) {
      if (value == "-" || (m == 3 && value == 0)) return 0
      if (m == 3) return 0.15 + 0.6 * (value > 10 ? 1 : value / 10)
      if (high[m] <= low[m] * 1.0001) return 0.2
      return 0.05 + 0.65 * log(value / low[m]) / log(high[m] / low[m])
    }
    {
      if (!($1 in seen)) { seen[$1] = 1; name[++n] = $1 }
      for (m = 1; m <= 3; m++) {
        value = $(m + 2)
        cell[$1, $2, m] = value
        if (m == 3 || value == "-") continue
        if (value + 0 > high[m]) high[m] = value + 0
        if (!(m in low) || value + 0 < low[m]) low[m] = value + 0
        if (value + 0 > largest) largest = value + 0
      }
    }
    END {
      for (m = 1; m <= 3; m++) {
        title = m == 3 ? "loss in %" : (m == 1 ? "p50" : "p99") " round-trip time in " unit()
        if (kind == "html") html(title); else text(title)
      }
    }
    function text(title,   i, j, width, line) {
      width = 10
      for (i = 1; i <= n; i++) if (length(name[i]) > width) width = length(name[i])
      if (m > 1) print ""
      printf "%s\n%-*s", title, width, "from \\ to"
      for (j = 1; j <= n; j++) printf "  %*s", width, name[j]
      print ""
      for (i = 1; i <= n; i++) {
        printf "%-*s", width, name[i]
        for (j = 1; j <= n; j++) printf "  %*s", width, (i == j ? "." : shown(cell[name[i], name[j], m], m))
        print ""
      }
    }
    function html(title,   i, j, value, file) {
      printf "<table>\n<caption>%s</caption>\n<tr><th scope=\"col\">from \\ to</th>", title
      for (j = 1; j <= n; j++) printf "<th scope=\"col\">%s</th>", name[j]
      print "</tr>"
      for (i = 1; i <= n; i++) {
        printf "<tr><th scope=\"row\">%s</th>", name[i]
        for (j = 1; j <= n; j++) {
          value = cell[name[i], name[j], m]
          if (i == j) { printf "<td class=\"self\">·</td>"; continue }
          if (value == "-") { printf "<td class=\"none\">no reply</td>"; continue }
          file = name[i] "-to-" name[j] (pages == "yes" ? ".html" : ".csv")
          printf "<td style=\"background:rgb(221 85 20 / %.2f)\"><a href=\"%s\">%s</a></td>", shade(value, m), file, shown(value, m)
        }
        print "</tr>"
      }
      print "</table>"
    }'
}

# Of several flows of a pair the worst, and those that are unlike the others.
flows_of_pairs() {
  local json pair
  for json in "$out"/*-to-*.json; do
    [[ -f $json ]] || continue
    pair=${json##*/} pair=${pair%.json}
    awk -v pair="${pair/-to-/ to }" '
      function number(text, key) {
        return match(text, "\"" key "\":[0-9.]+") ? substr(text, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0
      }
      {
        sub(/.*"flows":\[/, "")
        flows = split($0, flow, /\{"flow":/)
        for (i = 2; i <= flows; i++) {
          port = number(flow[i], "local_port")
          p99 = number(flow[i], "p99")
          if (p99 > worst) { worst = p99; at = port }
          if (flow[i] ~ /"outlier":true/) bad = bad (bad == "" ? "" : ", ") port
        }
        printf "%s: the worst of %d flows has p99 %.1f us (source port %d)%s\n", pair, flows - 1, worst, at, bad == "" ? "" : "; unlike the others: " bad
      }' "$json"
  done
}

page() {
  local pages=$1 begun=$2 host
  cat <<EOT
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>echotest mesh of $count hosts</title>
<style>
:root { color-scheme: light dark; --line: #0003; --dim: #0009; }
@media (prefers-color-scheme: dark) { :root { --line: #fff3; --dim: #fff9; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
p { color: var(--dim); }
table { border-collapse: collapse; margin: 2rem 0; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { border: 1px solid var(--line); padding: .35rem .8rem; text-align: right; }
th { font-weight: 500; }
th[scope=row] { text-align: left; }
td a { color: inherit; text-decoration: none; }
td a:hover, td a:focus { text-decoration: underline; }
.self { color: var(--dim); text-align: center; }
.none { font-style: italic; text-align: center; }
ul { columns: 20rem auto; padding-left: 1.2rem; }
@media print { td { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
</style>
</head>
<body>
<h1>Round trips between $count hosts</h1>
<p>$begun. Each pair for $seconds s, a packet of $size bytes every $frequency s. The host of the row
measures, the host of the column echoes. A deeper shade is a larger value, on a logarithmic scale;
each cell leads to its packets.</p>
EOT
  tables html "$pages"
  printf '<h2>Hosts</h2>\n<ul>\n'
  for ((host = 0; host < count; host++)); do
    printf '<li>%s: %s</li>\n' "${names[host]}" "${addresses[host]}"
  done
  printf '</ul>\n</body>\n</html>\n'
}

# Where the binary can, a page for each pair.
pair_pages() {
  local local_binary=${binary:-$top/dist/echotest-$(uname -m)} csv
  "$local_binary" help report 2>/dev/null | grep -q -- --html || return 1
  for csv in "$out"/*-to-*.csv; do
    [[ -f $csv ]] || continue
    "$local_binary" report "$csv" --html "${csv%.csv}.html" >/dev/null 2>&1 || return 1
  done
}

# shellcheck source-path=SCRIPTDIR
. "$top/scripts/mesh-service.sh"
if [[ $mode == install ]]; then
  ((port > 0)) || port=7
  install_all
  exit
fi
if [[ $mode == collect ]]; then
  out=${out:-mesh-daily}
  day=${day:-$(date -u -d yesterday +%Y-%m-%d)}
  mkdir -p -- "$out" || die 2 "cannot create $out; choose another with --out"
  collect_all
  exit
fi

begun=$(date -u +%Y-%m-%dT%H:%M:%SZ)
out=${out:-mesh-$(date -u +%Y%m%d_%H%M%S)}
mkdir -p -- "$out" || die 2 "cannot create $out; choose another with --out"
for ((host = 0; host < count; host++)); do
  start_session "$host"
done
for ((host = 0; host < count; host++)); do
  await_server "$host"
done
((count - ${#gone[@]} >= 2)) || die 2 'fewer than two hosts are left'
make_pairs
forget_pairs
measure_all
figures >"$scratch/figures"
{
  tables text no <"$scratch/figures"
  if ((flows > 1)); then
    printf '\n'
    flows_of_pairs
  fi
} | tee "$out/matrix.txt"
pages=no
if pair_pages; then
  pages=yes
fi
page "$pages" "$begun" <"$scratch/figures" >"$out/index.html"
printf '\nin %s: matrix.txt, index.html, and CSV and JSON of each pair\n' "$out"
if grep -q ' - ' "$scratch/figures"; then
  exit 1
fi
