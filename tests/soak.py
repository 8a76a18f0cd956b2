#!/usr/bin/env python3
"""Honest clients of every protocol while strangers attack the servers.

    tests/soak.py [--binary FILE] [--seconds N]

Servers in one namespace, everybody else in another: honest clients at 100 Hz, first
alone, then beside attackers of each kind from other addresses. Prints a table and
what was broken of the promises: honest loss 0, p99 within three times that of quiet
times (5 ms are granted to a busy machine), memory, threads and descriptors back
where they were, and less than 2 MB of log a minute. Exit status: 0 all held, 1 one
did not, 77 without root.
"""

import argparse
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

SERVER = "10.204.0.1"
HONEST = "10.204.0.2"
ATTACKERS = [f"10.204.1.{number}" for number in range(1, 9)]
PORTS = {"echo": 7007, "measure": 9900, "ping": 12001, "twamp": 862}
GRANTED_US = 5000
LOG_A_MINUTE = 2_000_000


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class Lab:
    """Two namespaces and a link."""

    def __init__(self):
        self.names = [f"etsoak{os.getpid()}{side}" for side in "sc"]
        servers, clients = self.names
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "soak0", "netns", servers, "type", "veth",
            "peer", "name", "soak1", "netns", clients)
        run("ip", "-n", servers, "address", "add", f"{SERVER}/16", "dev", "soak0")
        for address in [HONEST, *ATTACKERS]:
            run("ip", "-n", clients, "address", "add", f"{address}/16", "dev", "soak1")
        run("ip", "-n", servers, "link", "set", "soak0", "up")
        run("ip", "-n", clients, "link", "set", "soak1", "up")

    def within(self, side, *command):
        return ["ip", "netns", "exec", self.names[side], *command]

    def close(self):
        for name in self.names:
            subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)


class Server:
    """One of ours, with its log in a file."""

    def __init__(self, lab, binary, protocol, directory):
        self.protocol = protocol
        self.log = f"{directory}/{protocol}.log"
        more = ["--loss", "0"] if protocol == "ping" else []
        command = lab.within(0, binary, "server", protocol, "--port", str(PORTS[protocol]),
                             "--bind", SERVER, *more)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        while b"listening" not in open(self.log, "rb").read():
            time.sleep(0.05)

    def state(self):
        """Resident memory in MB, threads, descriptors."""
        pid = self.process.pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        memory = int(fields["VmRSS"].split()[0]) / 1024
        return memory, int(fields["Threads"]), len(os.listdir(f"/proc/{pid}/fd"))


def honest(lab, binary, seconds):
    """Each protocol's loss in percent and p99 in us."""
    count = str(seconds * 100)
    paced = ["-c", count, "-i", "0.01", "--bind", HONEST, "--no-files", "--json"]
    commands = {
        "echo": ["client", SERVER, "7007", *paced],
        "ping": ["ping", SERVER, *paced],
        "twamp": ["twamp", SERVER, *paced],
        "light": ["twamp", SERVER, "--light", *paced],
        "measure": ["measure", SERVER, "--type", "rtt", "--size", "64", "--probes", "2000",
                    "--bind", HONEST, "--no-files", "--json"],
    }
    running = {name: subprocess.Popen(lab.within(1, binary, *command), text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
               for name, command in commands.items()}
    found = {}
    for name, process in running.items():
        text, _ = process.communicate(timeout=seconds + 60)
        object_ = json.loads(text)
        found[name] = (object_["packets"]["loss_percent"], object_["rtt_us"]["p99"])
    return found


# --- Attackers: each runs until it is told to stop, in the clients' namespace ---


def connect(address, port):
    one = socket.create_connection((SERVER, port), timeout=2, source_address=(address, 0))
    one.settimeout(0.2)
    return one


def hold_seats(address):
    """Opens connections and says nothing."""
    held = []
    for port in (7007, 9900, 12001, 862):
        try:
            for _ in range(80):
                held.append(connect(address, port))
        except OSError:
            pass
    time.sleep(0.5)


def open_and_leave(address):
    for _ in range(50):
        connect(address, random.choice((7007, 9900, 12001, 862))).close()


def never_read(address):
    """Sends to echo and takes nothing back."""
    held = []
    for _ in range(20):
        one = connect(address, 7007)
        one.setblocking(False)
        try:
            while True:
                one.send(b"x" * 65536)
        except OSError:
            held.append(one)
    time.sleep(0.5)


def large_messages(address):
    """Asks measure for the largest messages and sends a part of one."""
    held = []
    for _ in range(8):
        one = connect(address, 9900)
        one.sendall(b"s RTT 67108864 10 0\n")
        one.sendall(b"m 1 " + b"y" * 65536)
        held.append(one)
    time.sleep(0.5)


def flood_of_pings(address):
    one = connect(address, 12001)
    try:
        for number in range(2000):
            one.sendall(b"ping %d 2026-11-27 10:00:00.000000\n" % number)
            one.recv(65536)
    except OSError:
        pass


def garbage(address):
    for port in (7007, 9900, 12001, 862):
        try:
            one = connect(address, port)
            one.sendall(random.randbytes(4096))
            one.recv(4096)
        except OSError:
            pass


def sessions(address):
    """Asks for TWAMP sessions and goes."""
    one = connect(address, 862)
    one.recv(64)
    one.sendall(struct.pack("!I", 1) + bytes(160))
    one.recv(48)
    for port in range(40):
        request = bytearray(112)
        request[0], request[1] = 5, 4
        struct.pack_into("!HH", request, 12, 20000 + port, 0)
        one.sendall(request)
        one.recv(48)


def datagrams(address):
    """Test packets from many ports, and from ports that answer by themselves."""
    for port in [7, 13, 17, 19, 37, 53, 123, 161, *random.sample(range(20000, 60000), 40)]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            try:
                one.bind((address, port))
                for number in range(20):
                    one.sendto(struct.pack("!IQH", number, 1 << 60, 1) + bytes(30), (SERVER, 862))
            except OSError:
                pass


ATTACKS = [hold_seats, open_and_leave, never_read, large_messages, flood_of_pings, garbage,
           sessions, datagrams]


def attack():
    """All of them at once, each from an address of its own, until the end."""
    def on(kind, address):
        while True:
            try:
                kind(address)
            except OSError:
                time.sleep(0.05)
    for kind, address in zip(ATTACKS, ATTACKERS):
        threading.Thread(target=on, args=(kind, address), daemon=True).start()
    signal.pause()


def main():
    if sys.argv[1:] == ["attack"]:
        attack()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--binary", default=f"{here}/../target/release/echotest")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("soak.py: needs root", file=sys.stderr)
        return 77
    binary = os.path.abspath(options.binary)
    lab = Lab()
    try:
        with tempfile.TemporaryDirectory() as directory:
            return soak(lab, binary, options.seconds, directory)
    finally:
        lab.close()


def soak(lab, binary, seconds, directory):
    servers = [Server(lab, binary, protocol, directory) for protocol in PORTS]
    attackers = None
    try:
        quiet = honest(lab, binary, seconds)
        before = {server.protocol: server.state() for server in servers}
        logged = {server.protocol: os.path.getsize(server.log) for server in servers}
        attackers = subprocess.Popen(lab.within(1, sys.executable, __file__, "attack"))
        time.sleep(1)
        began = time.monotonic()
        loud = honest(lab, binary, seconds)
        attackers.kill()
        attackers.wait()
        minutes = (time.monotonic() - began + 1) / 60
        time.sleep(3)
        after = {server.protocol: server.state() for server in servers}
        logs = {server.protocol: (os.path.getsize(server.log) - logged[server.protocol]) / minutes
                for server in servers}
        alive = [server.protocol for server in servers if server.process.poll() is None]
    finally:
        for process in [*(server.process for server in servers), attackers]:
            if process is not None:
                process.kill()
                process.wait()
    return show(quiet, loud, before, after, logs, alive)


def show(quiet, loud, before, after, logs, alive):
    broken = []
    print(f"{'honest':10}{'loss':>8}{'p99 quiet':>14}{'p99 attacked':>14}")
    for name, (loss, p99) in loud.items():
        usual = quiet[name][1]
        print(f"{name:10}{loss:7.2f}%{usual:11.1f} us{p99 or 0:11.1f} us")
        if loss != 0 or p99 is None:
            broken.append(f"{name}: honest packets were lost")
        elif p99 > max(3 * usual, usual + GRANTED_US):
            broken.append(f"{name}: p99 {p99:.0f} us beside {usual:.0f} us in quiet times")
    print(f"{'server':10}{'MB':>16}{'threads':>14}{'descriptors':>14}{'log a minute':>16}")
    for name, one in before.items():
        two = after[name]
        columns = [f"{one[0]:.1f} → {two[0]:.1f}", *(f"{a} → {b}" for a, b in zip(one[1:], two[1:]))]
        print(f"{name:10}{columns[0]:>16}{columns[1]:>14}{columns[2]:>14}{logs[name]:14.0f} B")
        if two[0] > one[0] + 32 or two[1] > one[1] + 4 or two[2] > one[2] + 4:
            broken.append(f"{name}: does not come back to rest")
        if logs[name] > LOG_A_MINUTE:
            broken.append(f"{name}: {logs[name]:.0f} bytes of log a minute")
        if name not in alive:
            broken.append(f"{name}: it has ended")
    for line in broken:
        print(f"BROKEN {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
