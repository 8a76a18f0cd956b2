#!/usr/bin/env python3
"""Causes injected into single packets against causes told, as a matrix.

    tests/truth_matrix.py [--binary FILE] [--incidents N] [--kinds KIND,…]
                          [--rtts 1,20,100] [--intervals 50,200] [--jobs N]

Each incident is injected alone, over a path between two namespaces
(tests/path.py) or into one of the two programs; what the client's CSV tells of
the packet that it slowed most and that has a cause is counted. Packets that were held up behind it
share its cause and are not counted. Prints the matrix, and which kinds miss the
promise: at least 90 % right and at most 1 % wrong. Exit status: 0 all keep it,
1 one does not, 77 without root or /dev/net/tun.
"""

import argparse
import collections
import concurrent.futures
import csv
import glob
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOLD = ["outbound_loss", "inbound_loss", "window", "peer", "here_sending", "here_receiving",
        "path", "unknown"]
NETWORK = {"outbound_loss", "inbound_loss", "path", "window"}
HOST = {"here_sending", "here_receiving", "peer"}
STOP = 0.15  # how long a program stands still at least, in seconds
HOLD = 0.06  # and how long packets are held back

# What is injected: the causes that are right. All others but "unknown" are wrong.
KINDS = {
    "loss out": {"outbound_loss"},
    "loss back": {"inbound_loss"},
    "loss both ways": {"outbound_loss", "inbound_loss"},
    "held back out": {"path"},
    "held back on return": {"path"},
    "server stopped": {"peer"},
    "client stopped": {"here_sending", "here_receiving"},
    "copies": set(),
    "nothing": set(),
}


class Path:
    """A lab of one path, with its server."""

    def __init__(self, binary, rtt, number):
        command = [sys.executable, f"{HERE}/path.py", "--delay", f"{rtt / 2}ms",
                   "--name", f"ettm{number}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        words = self.process.stdout.readline().split()
        if len(words) != 3:
            raise SystemExit(self.process.wait() or 1)
        _, self.near, self.far = words
        self.server = subprocess.Popen(self.within(self.far, binary, "server", "--port", "7007",
                                                   "--bind", "10.201.0.2"),
                                       stderr=subprocess.PIPE, text=True)
        self.server.stderr.readline()

    @staticmethod
    def within(namespace, *command):
        return ["ip", "netns", "exec", namespace, *command]

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", f"{command}: {answer}"

    def close(self):
        self.server.kill()
        self.server.wait()
        self.process.stdin.close()
        self.process.wait()


def stop(process, interval):
    """So long that a packet falls into it early: what waits for less than the peer's
    delayed acknowledgement, 40 ms, cannot be told from the path."""
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(max(STOP, interval / 1000 + 0.1))
    os.kill(process.pid, signal.SIGCONT)


def inject(kind, path, client, interval):
    if kind == "loss out":
        path.tell("drop ab 1")
    elif kind == "loss back":
        path.tell("drop ba 1")
    elif kind == "loss both ways":
        path.tell("drop ab 1")
        path.tell("drop ba 1")
    elif kind == "held back out":
        path.tell(f"hold ab {HOLD}")
    elif kind == "held back on return":
        path.tell(f"hold ba {HOLD}")
    elif kind == "server stopped":
        stop(path.server, interval)
    elif kind == "client stopped":
        stop(client, interval)
    elif kind == "copies":
        path.tell("twice ab 1")
        path.tell("twice ba 1")


def told(directory, times):
    """For each time of an injection the cause of the slowest packet that has one,
    among those that it can have slowed; "unknown" only where nothing else is told."""
    (name,) = glob.glob(f"{directory}/*_timings.csv")
    with open(name, newline="", encoding="utf-8") as file:
        rows = [(int(row["send_time_ns"]) / 1e9, float(row["rtt_us"] or 0) / 1e6, row["cause"])
                for row in csv.DictReader(file)]
    found = []
    for begin, end in times:
        causes = [(rtt, cause) for sent, rtt, cause in rows
                  if cause and sent <= end and sent + rtt >= begin]
        known = [one for one in causes if one[1] != "unknown"] or causes
        found.append(max(known)[1] if known else None)
    return found


def job(arguments):
    """So many incidents of one kind at one round trip and interval."""
    binary, kind, rtt, interval, incidents, number = arguments
    path = Path(binary, rtt, number)
    counts = collections.Counter()
    try:
        with tempfile.TemporaryDirectory() as directory:
            command = [binary, "client", "10.201.0.2", "7007", "-i", f"{interval}ms", "--explain",
                       "--slow", f"{rtt + max(5, rtt / 4)}ms", "--log-dir", directory, "--json"]
            client = subprocess.Popen(path.within(path.near, *command), text=True,
                                      stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
            time.sleep(1.0 + 20 * max(interval, rtt) / 1000)
            times = []
            for _ in range(incidents):
                begin = time.time()
                inject(kind, path, client, interval)
                # Until a retransmission by the timer and what it held up is over.
                time.sleep(1.2 + (3 * rtt + 4 * interval) / 1000)
                times.append((begin, time.time()))
            client.send_signal(signal.SIGINT)
            summary, _ = client.communicate(timeout=60)
            counts.update(cause or "nothing" for cause in told(directory, times))
            counts["pauses"] = summary.count('"kind":"pause"')
    finally:
        path.close()
    return kind, counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=f"{HERE}/../target/release/echotest")
    parser.add_argument("--incidents", type=int, default=300, help="of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rtts", default="1,20,100", help="in milliseconds")
    parser.add_argument("--intervals", default="5,20,50,200", help="in milliseconds")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--cells", action="store_true", help="each round trip and interval, too")
    options = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("truth_matrix.py: needs root and /dev/net/tun", file=sys.stderr)
        return 77
    rtts, intervals = ([float(text) for text in given.split(",")]
                       for given in (options.rtts, options.intervals))
    kinds = options.kinds.split(",")
    grid = [(rtt, interval) for rtt in rtts for interval in intervals]
    each = max(1, -(-options.incidents // len(grid)))
    binary = os.path.abspath(options.binary)
    jobs = [(binary, kind, rtt, interval, each)
            for kind in kinds for rtt, interval in grid]
    jobs = [(*one, number) for number, one in enumerate(jobs)]
    counts = {kind: collections.Counter() for kind in kinds}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for (_, _, rtt, interval, *_), (kind, found) in zip(jobs, pool.map(job, jobs)):
            counts[kind].update(found)
            if options.cells:
                print(f"{kind}, {rtt:g} ms, every {interval:g} ms: {dict(found)}", flush=True)
    return show(counts)


def show(counts):
    """Prints the matrix; 1 if a kind misses the promise."""
    print(f"kernel {platform.release()}, {os.cpu_count()} processors")
    short = ["out", "back", "window", "peer", "sending", "receiving", "path", "unknown", "none"]
    print(f"{'injected':20}" + "".join(f"{name:>10}" for name in short) + f"{'right':>8}{'wrong':>8}")
    missed = 0
    for kind, found in counts.items():
        pauses = found.pop("pauses", 0)
        total = sum(found.values())
        right = KINDS[kind]
        if right:
            good = sum(found[cause] for cause in right)
            bad = total - good - found["unknown"] - found["nothing"]
            if kind == "client stopped":
                # What falls due meanwhile is skipped; then the event alone tells it.
                good += min(found["nothing"], pauses)
        else:
            # Nothing was slowed. What this machine, which is both hosts, did is no lie.
            good = found["nothing"] + found["unknown"] + sum(found[cause] for cause in HOST)
            bad = sum(found[cause] for cause in NETWORK)
        line = "".join(f"{found[cause]:10}" for cause in [*TOLD, "nothing"])
        share = [100 * number / max(total, 1) for number in (good, bad)]
        kept = share[0] >= 90 and share[1] <= 1
        missed += not kept
        print(f"{kind:20}{line}{share[0]:7.1f}%{share[1]:7.1f}%{'' if kept else '  MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
