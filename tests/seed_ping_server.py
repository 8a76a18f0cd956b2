#!/usr/bin/env python3
"""The TCP ping exercise's server, as a student would write it from the
exercise's text: one thread for each client, one `recv(1024)` for each message,
and one message in five answered with `LOST`. Knows nothing of echotest.

    seed_ping_server.py [PORT] [--loss CHANCE] [--host ADDRESS]

Port 0 (the default) takes a free one; the first line of output names it.
"""

import argparse
import random
import socket
import threading


def handle_client(client_socket, client_address, loss):
    with client_socket:
        while True:
            try:
                message = client_socket.recv(1024).decode(errors="replace")
            except OSError:
                return
            if not message:
                return
            print(f"Message sent by client = {message} from {client_address[:2]}", flush=True)
            if random.random() < loss:
                response = "LOST"
                print("Packet lost", flush=True)
            else:
                response = message.upper()
                print(f"Response sent back = {response}", flush=True)
            try:
                client_socket.sendall(response.encode())
            except OSError:
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--loss", type=float, default=0.2)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()

    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    server_socket = socket.create_server((arguments.host, arguments.port), family=family)
    host, port = server_socket.getsockname()[:2]
    print(f"Server Started Listening on {host}:{port}", flush=True)
    while True:
        client_socket, client_address = server_socket.accept()
        client_thread = threading.Thread(
            target=handle_client, args=(client_socket, client_address, arguments.loss), daemon=True
        )
        client_thread.start()


if __name__ == "__main__":
    main()
