#!/usr/bin/env python3
"""The TCP ping exercise's client, as a student would write it from the
exercise's text: a new connection for each ping, the message in one `sendall`
without a line end, one `recv(1024)`, and `LOST` compared letter for letter.
Prints what the exercise's example prints. Knows nothing of echotest.

    seed_ping_client.py HOST PORT N [--timeout SECONDS]

A ping without a reply (timeout, refused, closed) is a lost one. When there was
no reply at all there are no round-trip times, and the line says so.
"""

import argparse
import datetime
import socket
import time


def ping(server_address, number, timeout):
    """The reply's text, and its round-trip time in milliseconds."""
    with socket.create_connection(server_address, timeout) as client_socket:
        message = f"ping {number} {datetime.datetime.now():%Y-%m-%d %H:%M:%S.%f}"
        send_time = time.perf_counter()
        client_socket.sendall(message.encode())
        response = client_socket.recv(1024).decode(errors="replace")
        return response, (time.perf_counter() - send_time) * 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int, metavar="N")
    parser.add_argument("--timeout", type=float, default=1.0)
    arguments = parser.parse_args()

    round_trips = []
    for number in range(1, arguments.count + 1):
        try:
            response, milliseconds = ping((arguments.host, arguments.port), number, arguments.timeout)
        except OSError:
            response = ""
        if response in ("", "LOST"):
            print(f"Packet {number} lost", flush=True)
            continue
        round_trips.append(milliseconds)
        print("Client Connection Successful..")
        print(f"Response received is: {response}")
        print(f"RTT (in milliseconds) of packet {number} is {milliseconds:.6f}", flush=True)

    if round_trips:
        print(f"Maximum RTT (in milliseconds) = {max(round_trips):.6f}")
        print(f"Minimum RTT (in milliseconds) = {min(round_trips):.6f}")
        print(f"Average RTT (in milliseconds) = {sum(round_trips) / len(round_trips):.6f}")
    else:
        print("No replies, so there are no round-trip times")
    lost = arguments.count - len(round_trips)
    print(f"Packet loss rate: {100 * lost / max(arguments.count, 1):f}%")


if __name__ == "__main__":
    main()
