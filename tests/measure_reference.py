#!/usr/bin/env python3
"""The measurement protocol, written from the exercise's text alone: a second
opinion on what goes over the wire. Knows nothing of echotest.

    measure_reference.py server [--style plain|pieces|bare]
    measure_reference.py client PORT TYPE SIZE PROBES DELAY

The server prints its port, serves for ever, and logs what it was set up with.
Styles: `pieces` sends replies in single bytes, `bare` without a final newline
and as `200 Ok: Ready`. The client prints each reply; `ok` at the end.
"""

import socket
import sys
import threading
import time


def lines(connection):
    """Whole lines, without their newline, for as long as there are any."""
    text = b""
    while data := connection.recv(65536):
        text += data
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            yield line


class Server:
    def __init__(self, style):
        self.style = style

    def say(self, connection, text):
        if self.style == "bare":
            connection.sendall(text.replace("OK: Ready", "Ok: Ready").encode())
        elif self.style == "pieces":
            for byte in (text + "\n").encode():
                connection.sendall(bytes([byte]))
                time.sleep(0.0005)
        else:
            connection.sendall((text + "\n").encode())

    def serve(self, connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            incoming = lines(connection)
            fields = next(incoming, b"").decode().split(" ")
            try:
                phase, kind, size, probes, delay = fields
                size, probes, delay = int(size), int(probes), float(delay)
                if phase != "s" or kind not in ("RTT", "TTPUT") or size < 1 or probes < 10:
                    raise ValueError(fields)
            except ValueError:
                return self.say(connection, "404 ERROR: Invalid Connection Setup Message")
            print(f"setup: type {kind}, size {size}, probes {probes}, delay {delay}", flush=True)
            self.say(connection, "200 OK: Ready")
            self.measure(connection, incoming, size, probes, delay)

    def measure(self, connection, incoming, size, probes, delay):
        expected = 1
        for line in incoming:
            if line.rstrip() == b"t":
                return self.say(connection, "200 OK: Closing Connection")
            payload, _, number = line[2:].rpartition(b" ")
            good = line[:2] == b"m " and len(payload) == size and number == b"%d" % expected
            if not good or expected > probes:
                return self.say(connection, "404 ERROR: Invalid Measurement Message")
            expected += 1
            time.sleep(delay)
            connection.sendall(line + b"\n")

    def run(self):
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()


def client(port, kind, size, probes, delay):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as connection:
        replies = lines(connection)

        def ask(message):
            connection.sendall(message.encode() + b"\n")
            reply = next(replies).decode()
            print(reply[:60], flush=True)
            return reply

        if ask(f"s {kind} {size} {probes} {delay}") != "200 OK: Ready":
            return
        for number in range(1, int(probes) + 1):
            message = "m " + "x" * int(size) + f" {number}"
            if ask(message) != message:
                return
        if ask("t") == "200 OK: Closing Connection" and connection.recv(1) == b"":
            print("ok")


if __name__ == "__main__":
    if sys.argv[1] == "server":
        Server(sys.argv[3] if len(sys.argv) > 3 else "plain").run()
    else:
        client(*sys.argv[2:])
