#!/usr/bin/env python3
"""The exercise's own client as it is printed, with only its evident typing
errors mended (indentation, split and doubled lines, a missing try). It sends
each message in one go, reads once, counts from 0, puts no space after the `m`,
ignores the payload size that it announced, and compares replies as text with
another spelling than its own specification's. Kept so that what our server
makes of such a client is written down in a test."""

import socket
import sys
import time

host = sys.argv[1]
port = int(sys.argv[2])
data_payload = 1000
m_type = "RTT"
number_of_probes = "10"
server_delay = "0.5"

servsock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
serv_address = (host, port)
print("Connecting to %s port %s" % serv_address)
servsock.connect(serv_address)
csp_send_string = "s " + m_type + " " + str(data_payload) + " " + number_of_probes + " " + server_delay + "\n"
servsock.sendall(csp_send_string.encode())
data = servsock.recv(data_payload)
message = data.decode()
# The one thing that a caller may change: taking the specified spelling as well,
# to see how the rest would go on.
if message == "200 Ok: Ready" or (len(sys.argv) > 3 and message.strip() == "200 OK: Ready"):
    print("200 Ok: Ready")
    rtt_array = []
    for probe_seq_number in range(int(number_of_probes)):
        MP_MESSAGE = "m" + "Hello_World_welcome_to_lit " + str(probe_seq_number) + "\n"
        send_time = time.time()
        servsock.sendall(MP_MESSAGE.encode())
        check = servsock.recv(data_payload)
        recv_time = time.time()
        rtt_array.append(round(recv_time - send_time, 10))
        print(check.decode())
    print(sum(rtt_array) / len(rtt_array))
    servsock.sendall("t \n".encode())
    print(servsock.recv(data_payload).decode())
else:
    print("not ready: %r" % message)
