#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2034,SC2154
# The sourcing script sets and reads what looks unset or unused here, and what does
# not expand here is for a shell on a host.
#
# mesh.sh for ever: each host serves, and measures each other one as a service,
# echotest-client@mesh-NAME. To be sourced by mesh.sh, not run.

# What host $1 is to do, as a script that runs there beside its files. All words
# in it have been checked.
host_script() {
  local host=$1 peer address
  cat <<'EOT'
set -eu
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
# What an earlier list of hosts left.
for conf in /etc/echotest/client-mesh-*.conf; do
  [ -f "$conf" ] || continue
  name=${conf##*/client-} name=${name%.conf}
EOT
  printf '  case $name in'
  for ((peer = 0; peer < count; peer++)); do
    ((peer == host)) || printf ' mesh-%s) ;;' "${names[peer]}"
  done
  cat <<'EOT'
 *)
    $sudo systemctl --quiet disable --now "echotest-client@$name" || true
    $sudo rm -f -- "$conf"
    echo "$name is measured no more"
    ;;
  esac
done
EOT
  local installer='$sudo bash ./install-systemd.sh --binary ./echotest'
  printf '%s --port %s%s\n' "$installer" "$port" "$firewall"
  for ((peer = 0; peer < count; peer++)); do
    ((peer != host)) || continue
    address=${addresses[peer]}
    # A host that has moved keeps its name.
    printf 'conf=/etc/echotest/client-mesh-%s.conf\n' "${names[peer]}"
    printf 'grep -qsxF "TARGET=%s %s" $conf || $sudo rm -f -- $conf\n' "$address" "$port"
    [[ $address != *:* ]] || address="[$address]"
    printf '%s --client "%s:%s" --name mesh-%s -- -i %s -s %s --flows %s --rotate 1d --keep %s\n' \
      "$installer" "$address" "$port" "${names[peer]}" "$frequency" "$size" "$flows" "$keep"
  done
}

# Sets up host $1; what it says goes to its file.
install_host() {
  local host=$1 file place=$scratch/install-$1 remote
  file=$(binary_for "${targets[host]}") || return 1
  [[ -f $file ]] || {
    printf 'no binary at %s: build it with scripts/build-static.sh\n' "$file"
    return 1
  }
  mkdir -- "$place"
  cp -- "$file" "$place/echotest"
  cp -- "$top"/scripts/{install-systemd,service-common}.sh "$place"
  host_script "$host" >"$place/host.sh"
  remote="d=\$(mktemp -d $remote_dir/echotest-mesh.XXXXXX) || exit 2; \
tar -xf - -C \$d && cd \$d && sh ./host.sh 2>&1; s=\$?; cd /; rm -rf \$d; exit \$s"
  tar -cf - -C "$place" . | "${ssh[@]}" "${targets[host]}" "exec sh -c '$remote'"
}

install_all() {
  local host failed=0
  for ((host = 0; host < count; host++)); do
    install_host "$host" >"$scratch/$host.said" 2>&1 &
    jobs[host]=$!
  done
  for ((host = 0; host < count; host++)); do
    if wait "${jobs[host]}"; then
      printf '%s: serves on port %s and measures %d others\n' "${names[host]}" "$port" "$((count - 1))"
    else
      failed=1
      printf '%s: %s: not set up: %s\n' "$program" "${names[host]}" \
        "$(tail -n 1 "$scratch/$host.said")" >&2
    fi
  done
  jobs=()
  ((failed == 0)) || return 2
  printf 'a line a day and pair from midnight UTC on; see: %s %s --collect\n' "$program" "$hosts"
}

# The daily lines of host $1, each peer's behind a line with its name.
fetch_lines() {
  local remote='sudo=; test "$(id -u)" = 0 || sudo="sudo -n"; '
  remote+='$sudo sh -c "for d in /var/log/echotest/mesh-*; do '
  remote+='echo mesh-peer \${d##*/mesh-}; cat \$d/*_daily.jsonl 2>/dev/null; done; echo mesh-end"'
  "${ssh[@]}" "${targets[$1]}" "exec sh -c '$remote'" </dev/null
}

# Puts what host $1 has into a file for each pair; only a whole answer takes the
# place of what was collected earlier.
collect_host() {
  local host=$1 from=${names[$1]} peer
  fetch_lines "$host" >"$scratch/$host.lines" 2>"$scratch/$host.err" || true
  if [[ $(tail -n 1 "$scratch/$host.lines") != mesh-end ]]; then
    printf '%s: %s: nothing collected: %s\n' "$program" "$from" \
      "$(tail -n 1 "$scratch/$host.err")" >&2
    return 1
  fi
  for peer in "${names[@]}"; do
    awk -v peer="$peer" '
      /^mesh-/ { wanted = $0 == "mesh-peer " peer; next }
      wanted && /^\{"version"/ && /\}$/
    ' "$scratch/$host.lines" >"$scratch/pair"
    if [[ -s $scratch/pair ]]; then
      mv -- "$scratch/pair" "$out/$from-to-$peer.jsonl"
    fi
  done
}

# A line for each pair, as figures gives it, from the lines that begin on $day; of
# several (a client was started again) the one with most replies stands for the
# percentiles, and the loss is of all. Troubles go to $scratch/troubles.
figures_of_day() {
  local from to file
  : >"$scratch/troubles"
  for from in "${names[@]}"; do
    for to in "${names[@]}"; do
      [[ $from != "$to" ]] || continue
      file=$out/$from-to-$to.jsonl
      [[ -f $file ]] || file=/dev/null
      awk -v from="$from" -v to="$to" -v day="$day" -v troubles="$scratch/troubles" '
        # The first number behind a key after a place that is found by its text.
        function number(text, place, key,   at) {
          at = index(text, place)
          if (!at) return "-"
          text = substr(text, at)
          if (!match(text, "\"" key "\":[0-9.]+")) return "-"
          return substr(text, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
        }
        index($0, "\"start\":\"" day "T") {
          lines++
          sent += number($0, "\"packets\":{", "sent")
          gone += number($0, "\"packets\":{", "lost") + number($0, "\"packets\":{", "corrupt")
          received = number($0, "\"packets\":{", "received") + 0
          outage += number($0, "\"connections\":{", "outage_s")
          drops += number($0, "\"connections\":{", "drops")
          stalls += gsub(/\{"kind":"stall"/, "&")
          outages += gsub(/\{"kind":"outage"/, "&")
          if (received > most) {
            most = received
            p50 = number($0, "\"rtt_us\":{", "p50")
            p99 = number($0, "\"rtt_us\":{", "p99")
          }
        }
        END {
          print from, to, most ? p50 : "-", most ? p99 : "-", sent ? sprintf("%.4f", 100 * gone / sent) : "-"
          if (outages + stalls + drops)
            printf "%s to %s: outages %d (%.1f s in all), stalls %d, drops %d\n", from, to, outages, outage, stalls, drops >> troubles
          if (lines > 1)
            printf "%s to %s: %d lines that day; p50 and p99 are of the longest\n", from, to, lines >> troubles
        }' "$file"
    done
  done
}

collect_all() {
  local host failed=0
  for ((host = 0; host < count; host++)); do
    collect_host "$host" || failed=1
  done
  figures_of_day >"$scratch/figures"
  {
    printf '%s UTC\n\n' "$day"
    tables text no <"$scratch/figures"
    if [[ -s $scratch/troubles ]]; then
      printf '\n'
      cat -- "$scratch/troubles"
    fi
  } | tee "$out/$day.txt"
  printf '\nin %s: %s.txt, and the lines of each pair\n' "$out" "$day"
  if grep -q ' - ' "$scratch/figures"; then
    return 1
  fi
  ((failed == 0)) || return 2
}
