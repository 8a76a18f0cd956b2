#!/usr/bin/env python3
"""Measures echotest beside other tools that do the same, for scripts/bench.sh.

    bench_peers.py BINARY [--rounds N] [--seconds N] [--idle N]

Each comparison is a function below. The tools take turns within a round, and
what counts is the median of the rounds' ratios: absolute figures of a shared
machine are worth little. A tool that is not there is named and left out.
"""

import argparse
import collections
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

PYTHON_ECHO = """
import socket, sys, threading
def serve(one):
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(65536); view = memoryview(buffer)
    with one:
        while count := one.recv_into(buffer):
            one.sendall(view[:count])
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

PYTHON_CLIENT = """
import csv, datetime, socket, sys, tempfile, time
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
packet = bytes(64); count = 0; end = time.monotonic() + float(sys.argv[2])
rows = csv.writer(tempfile.TemporaryFile("w"))
while time.monotonic() < end:
    sent = time.time_ns(); one.sendall(packet); back = b""
    while len(back) < 64:
        back += one.recv(64 - len(back))
    assert back == packet
    now = time.time_ns(); count += 1
    at = datetime.datetime.fromtimestamp(sent / 1e9, datetime.timezone.utc).isoformat()
    rows.writerow((count, at, sent, now, f"{(now - sent) / 1e3:.3f}"))
print(count / float(sys.argv[2]))
"""

XINETD = """
service echo
{{
    type = INTERNAL UNLISTED
    id = echo-stream
    socket_type = stream
    protocol = tcp
    user = root
    wait = no
    port = {port}
    bind = 127.0.0.1
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 100000 1
    flags = NODELAY
}}
"""


class Bench:
    """The binary, the patience, and the table's lines."""

    def __init__(self, options):
        self.binary = options.binary
        self.rounds = options.rounds
        self.seconds = options.seconds
        self.idle = options.idle
        self.left_out = []

    def have(self, tool):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return True
        self.left_out.append(tool)
        return False

    def line(self, what, values, unit, goal=None):
        """A line of the table: the median, the spread, and whether the goal is met."""
        value = statistics.median(values)
        spread = f"[{min(values):.4g}..{max(values):.4g}]" if len(values) > 1 else ""
        verdict = ""
        if goal:
            good = value <= goal[1] if goal[0] == "<=" else value >= goal[1]
            verdict = f"goal {goal[0]} {goal[1]}: {'ok' if good else 'MISSED'}"
        print(f"{what:46} {value:>10.4g} {unit:8} {spread:24} {verdict}", flush=True)

    def compare(self, what, unit, tools, goals):
        """Runs the tools in turns; ours is the first. `goals` are for ours over theirs."""
        found = collections.defaultdict(list)
        for _ in range(self.rounds):
            for name, measure in tools.items():
                found[name].append(measure())
        ours = next(iter(tools))
        for name, values in found.items():
            self.line(f"{what}: {name}", values, unit)
        for name, goal in goals.items():
            if name in found:
                ratios = [a / b for a, b in zip(found[ours], found[name])]
                self.line(f"{what}: ratio to {name}", ratios, "", goal)

    def json(self, *arguments, pin=None):
        command = ["taskset", "-c", pin] if pin else []
        with tempfile.TemporaryDirectory() as logs:
            files = [] if "--no-files" in arguments else ["--log-dir", logs]
            command += [self.binary, *arguments, "-q", "--json", *files]
            done = subprocess.run(command, capture_output=True, text=True)
        if not done.stdout:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@contextlib.contextmanager
def server(*command, port, udp=False, pin=None):
    """A server that listens, for as long as it is needed."""
    command = (["taskset", "-c", pin] if pin else []) + [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if udp:
                time.sleep(0.5)
                break
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def echo_servers(bench, pin=None):
    """Every echo server that is there, by name, ours first."""
    with contextlib.ExitStack() as stack:
        ports = {}

        def start(name, *command):
            port = free_port()
            command = [part if part != "PORT" else port for part in command]
            stack.enter_context(server(*command, port=port, pin=pin))
            ports[name] = port

        start("echotest", bench.binary, "server", "-p", "PORT", "--bind", "127.0.0.1", "-q",
              "--max-clients", "20000", "--max-per-host", "20000")
        start("python", "python3", "-c", PYTHON_ECHO, "PORT")
        if bench.have("socat"):
            port = free_port()
            stack.enter_context(server("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=1024,nodelay",
                                       "PIPE", port=port))
            ports["socat"] = port
        if bench.have("xinetd") and os.geteuid() == 0:
            port = free_port()
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".conf"))
            file.write(XINETD.format(port=port))
            file.flush()
            stack.enter_context(server("xinetd", "-dontfork", "-f", file.name, "-pidfile",
                                       f"{file.name}.pid", port=port))
            ports["xinetd"] = port
        yield ports


def bulk(port, connections, seconds):
    """Gbit/s that come back over so many connections. Nothing is copied on this
    side, as its work would be a part of every figure: what is sent are the pages
    of one file in memory, and what comes is counted and dropped by the kernel."""
    done = [0] * connections
    stop = threading.Event()
    block = 1 << 20
    pages = os.memfd_create("bulk")
    os.truncate(pages, block)

    streams = [socket.create_connection(("127.0.0.1", port)) for _ in done]

    def write(stream):
        with contextlib.suppress(OSError):
            while not stop.is_set():
                os.sendfile(stream.fileno(), pages, 0, block)

    def read(stream, place):
        buffer = bytearray(block)
        with contextlib.suppress(OSError):
            while (count := stream.recv_into(buffer, block, socket.MSG_TRUNC)) and not stop.is_set():
                done[place] += count

    threads = [threading.Thread(target=write, args=(stream,)) for stream in streams]
    threads += [threading.Thread(target=read, args=(stream, place)) for place, stream in enumerate(streams)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    took = time.monotonic() - began
    total = sum(done)
    for stream in streams:
        # Not every server can be waited for: socat locks up on its own pipe.
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for stream in streams:
        stream.close()
    os.close(pages)
    return total * 8 / took / 1e9


def iperf_bidir(streams, seconds):
    """Gbit/s of the slower direction over so many connections each way."""
    port = free_port()
    with server("iperf3", "-s", "-p", port, "-1", port=0, udp=True):
        done = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "--bidir", "-J", "-P", str(streams),
                               "-t", str(max(1, int(seconds)))], capture_output=True, text=True)
    end = json.loads(done.stdout)["end"]
    return min(end["sum_received"]["bits_per_second"],
               end["sum_received_bidir_reverse"]["bits_per_second"]) / 1e9


def connections(port, seconds):
    """Connections a second: connect, echo 64 bytes, close."""
    packet, count, end = bytes(64), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(packet)
            left = 64
            while left:
                left -= len(one.recv(left))
        count += 1
    return count / seconds


def rate(bench):
    """Packets a second, the CSV being written, against a plain Python client."""
    with echo_servers(bench, pin="0") as ports:
        port = str(ports["echotest"])

        def ours(*more):
            figures = bench.json("client", "127.0.0.1", port, "-i", "0", "-w", str(bench.seconds), *more, pin="0")
            return figures["packets"]["received"] / figures["duration_s"]

        def python():
            done = subprocess.run(["taskset", "-c", "0", "python3", "-c", PYTHON_CLIENT, str(ports["python"]),
                                   str(bench.seconds)], capture_output=True, text=True, check=True)
            return float(done.stdout)

        bench.compare("packets per second", "/s", {"echotest": ours, "Python pair": python},
                      {"Python pair": (">=", 1.4)})
        bench.compare("cost of kernel stamps", "/s", {"with": lambda: ours("--timestamps", "kernel"),
                                                      "without": ours}, {"without": (">=", 0.9)})


def latency(bench):
    """Busy polling on both ends, a core each, against sockperf's blocking."""
    if not bench.have("sockperf") or os.cpu_count() < 2:
        return
    ours, theirs = free_port(), free_port()
    with server(bench.binary, "server", "-p", ours, "--bind", "127.0.0.1", "-q", "--busy-poll", port=ours, pin="0"), \
            server("sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", theirs, port=theirs, pin="0"):

        def busy():
            return bench.json("client", "127.0.0.1", str(ours), "-i", "0", "-w", str(bench.seconds), "--busy-poll",
                              "--no-files", pin="1")["rtt_us"]["p50"]

        def blocking():
            done = subprocess.run(["taskset", "-c", "1", "sockperf", "ping-pong", "--tcp", "--full-rtt", "-i",
                                   "127.0.0.1", "-p", str(theirs), "-m", "64", "-t", str(max(1, int(bench.seconds)))],
                                  capture_output=True, text=True)
            return float(re.search(r"percentile 50\.000 = +([\d.]+)", done.stdout)[1])

        bench.compare("p50 RTT, a core each", "us", {"echotest --busy-poll": busy, "sockperf, blocking": blocking},
                      {"sockperf, blocking": ("<=", 0.6)})
        if bench.have("qperf"):
            port = free_port()
            with server("qperf", "-lp", port, port=port, udp=True, pin="0"):
                def qperf():
                    done = subprocess.run(["taskset", "-c", "1", "qperf", "127.0.0.1", "-lp", str(port), "-t",
                                           str(max(1, int(bench.seconds))), "-m", "64", "tcp_lat"],
                                          capture_output=True, text=True)
                    found = re.search(r"latency += +([\d.]+) (us|ms)", done.stdout)
                    # Half a round trip.
                    return 2 * float(found[1]) * (1 if found[2] == "us" else 1000)

                plain = free_port()
                with server(bench.binary, "server", "-p", plain, "--bind", "127.0.0.1", "-q", port=plain, pin="0"):
                    bench.compare("mean RTT, a core each", "us",
                                  {"echotest": lambda: bench.json("client", "127.0.0.1", str(plain), "-i", "0", "-w",
                                                                  str(bench.seconds), "--no-files",
                                                                  pin="1")["rtt_us"]["mean"],
                                   "qperf tcp_lat": qperf}, {"qperf tcp_lat": ("<=", 1.05)})


def pacing(bench):
    """How exactly packets leave at 1 kHz."""
    def late(*more):
        figures = bench.json("loopback", "-i", "0.001", "-c", str(int(1000 * bench.seconds)), "--no-files", *more)
        return figures["send_lateness_us"]["p50"]

    bench.line("1 kHz: send lateness p50", [late() for _ in range(bench.rounds)], "us", ("<=", 60))
    bench.line("1 kHz: the same, --precise", [late("--precise") for _ in range(bench.rounds)], "us", ("<=", 2))


def throughput(bench):
    """Bulk echo and connections a second."""
    with echo_servers(bench) as ports:
        for count, name in ((1, "one connection"), (8, "eight connections")):
            tools = {tool: (lambda port=port: bulk(port, count, bench.seconds)) for tool, port in ports.items()}
            goals = {"python": (">=", 1.2), "socat": (">=", 3), "xinetd": (">=", 3)}
            if bench.have("iperf3"):
                tools["iperf3 --bidir"] = lambda: iperf_bidir(count, bench.seconds)
                goals["iperf3 --bidir"] = (">=", 0.7)
            bench.compare(f"bulk echo, {name}", "Gbit/s", tools, goals)
        tools = {tool: (lambda port=port: connections(port, bench.seconds)) for tool, port in ports.items()
                 if tool != "xinetd"}
        bench.compare("connections per second", "/s", tools, {"python": (">=", 1.3), "socat": (">=", 3)})


def idle_clients(bench):
    """What clients that say nothing cost, and whether it is given back."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    with server(bench.binary, "server", "-p", port, "--bind", "127.0.0.1", "-q", "--max-clients", "20000",
                "--max-per-host", "20000", port=port) as process:
        def resident():
            text = open(f"/proc/{process.pid}/status").read()
            return int(text.split("VmRSS:")[1].split()[0])

        before, clients = resident(), []
        for _ in range(bench.idle):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(bytes(64))
            client.recv(64)
            clients.append(client)
        each = (resident() - before) / bench.idle
        for client in clients:
            client.close()
        time.sleep(2)
        bench.line(f"memory of an idle client, of {bench.idle}", [each], "KiB", ("<=", 14))
        bench.line("memory when they have gone", [resident() / 1024], "MiB", ("<=", 2))


def twamp(bench):
    """The reflector's own time, and round trips beside irtt's."""
    port, irtt = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(server(bench.binary, "server", "twamp", "-p", port, "--bind", "127.0.0.1", "-q", port=port))
        found = []

        def ours():
            figures = bench.json("twamp", "127.0.0.1", str(port), "-i", "0.002", "-c", str(int(500 * bench.seconds)),
                                 "--no-files")
            found.append(figures["twamp"]["reflector_us"]["p50"])
            return figures["rtt_us"]["p50"]

        tools = {"echotest twamp": ours}
        if bench.have("irtt"):
            stack.enter_context(server("irtt", "server", "-i", "1ms", "-b", f"127.0.0.1:{irtt}", port=0, udp=True))

            def theirs():
                done = subprocess.run(["irtt", "client", "-i", "2ms", "-d", f"{bench.seconds}s", "-o", "-", "-Q",
                                       f"127.0.0.1:{irtt}"], capture_output=True, text=True)
                # It may say something before.
                return json.loads(done.stdout[done.stdout.index("{"):])["stats"]["rtt"]["median"] / 1e3

            tools["irtt"] = theirs
        bench.compare("p50 RTT over UDP", "us", tools, {"irtt": ("<=", 1)})
        bench.line("reflector processing p50", found, "us", ("<=", 20))


def captures(bench):
    """How fast a capture is read."""
    if not bench.have("tcpdump") or not bench.have("tshark") or os.geteuid() != 0:
        return
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/capture.pcap"
        port = free_port()
        with server(bench.binary, "server", "-p", port, "--bind", "127.0.0.1", "-q", port=port):
            tcpdump = subprocess.Popen(["tcpdump", "-i", "lo", "-B", "65536", "-Z", "root", "-w", file, "tcp", "port",
                                        str(port)], stderr=subprocess.PIPE, text=True)
            while "listening on" not in tcpdump.stderr.readline():
                pass
            bench.json("client", "127.0.0.1", str(port), "-i", "0", "-c", "200000", "-s", "1024", "--no-files")
            time.sleep(1)
            tcpdump.terminate()
            tcpdump.wait()
        size = os.path.getsize(file)

        def timed(*command):
            began = time.monotonic()
            subprocess.run([*command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            return size / 1e6 / (time.monotonic() - began)

        # So much that starting a program is little of it.
        bench.compare("capture read", "MB/s", {"echotest analyze": lambda: timed(bench.binary, "analyze", file),
                                               "tshark": lambda: timed("tshark", "-q", "-z", "conv,tcp", "-r", file)},
                      {"tshark": (">=", 20)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--idle", type=int, default=10_000)
    bench = Bench(parser.parse_args())
    for measure in (rate, latency, pacing, throughput, twamp, captures, idle_clients):
        measure(bench)
    if bench.left_out:
        print("left out for want of:", ", ".join(sorted(set(bench.left_out))))


if __name__ == "__main__":
    main()
