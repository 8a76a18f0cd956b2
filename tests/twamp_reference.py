#!/usr/bin/env python3
"""TWAMP (RFC 5357, unauthenticated mode), TWAMP Light and STAMP (RFC 8762, with
the TLVs of RFC 8972), written from the standards' layouts alone: a second
opinion on what goes over the wire. Knows nothing of echotest.

    twamp_reference.py server [--bind ADDRESS] [--port 0] [--quirk NAME[=N]]...
    twamp_reference.py client HOST PORT [--count N] [--sessions K] ...
    twamp_reference.py light-reflector [--bind ADDRESS] [--port 0] [--stateless]
        [--wrong-clock PPM] [--answer-tlvs]
    twamp_reference.py light-sender HOST PORT [--stamp] [--tlv TYPE:HEX] ...
    twamp_reference.py tinytwamp-client HOST PORT

The two that serve print `listening PORT`, then one JSON line for each thing
that happens; a line with a `deviation` says what the peer did wrong. The two
that send print one JSON line for each session and each reply, then a summary;
at the first deviation they say on standard error what it is and exit with 1.

Quirks of the server, each one seen in an implementation in the field:
  pad               replies are 27 bytes longer than what came
  pieces            control messages go out one byte at a time
  modes             the greeting offers modes 1, 2, 4 and 0x20
  no-open-mode      the greeting offers mode 2 only
  mode-zero         the greeting offers nothing
  other-port        another receiver port than the one asked for
  accept-4 accept-5 Accept-Session refuses with this code
  server-start-1    Server-Start refuses with 1
  close-after-greeting, close-after-setup
                    the control connection ends there
  close-early       it ends right after Start-Ack, and packets are still reflected
  zero-address      anyone's packets are reflected, whatever the request said
  short-38          replies of 38 bytes
  swap-times        the receive and the send time change places
  nanos-fraction    nanoseconds where the fraction of a second belongs
  duplicate         each reply twice
  reorder           each pair of replies the wrong way round
  drop-inbound=N    each Nth packet is numbered, and its reply not sent
  drop-outbound=N   each Nth packet is overlooked
  slow=MS           each packet is held this long, and its times say so
  wrong-clock=PPM   the clock of the test session is 3 s ahead and gains so much; what
                    it should have said is printed
"""

import argparse
import datetime
import ipaddress
import json
import os
import socket
import struct
import sys
import threading
import time

# Control messages. `x` is a byte that must be zero when sent.
GREETING = struct.Struct("!12sI16s16sI12s")
SET_UP = struct.Struct("!I80s64s16s")
SERVER_START = struct.Struct("!15sB16sQ8s")
REQUEST = struct.Struct("!BBBBIIHH16s16s16sIQQI8s16s")
ACCEPT_SESSION = struct.Struct("!BBH16s12s16s")
START = struct.Struct("!B15s16s")
STOP = struct.Struct("!BBHI8s16s")
# Test packets, without their padding.
SENDER = struct.Struct("!IQH")
REFLECTOR = struct.Struct("!IQHHQIQHHB")
STAMP_SENDER = struct.Struct("!IQHH28s")
STAMP_REFLECTOR = struct.Struct("!IQHHQIQHHB3s")
TLV = struct.Struct("!BBH")

assert [layout.size for layout in (GREETING, SET_UP, SERVER_START, REQUEST)] == [64, 164, 48, 112]
assert [layout.size for layout in (ACCEPT_SESSION, START, STOP)] == [48, 32, 32]
assert [layout.size for layout in (SENDER, REFLECTOR, STAMP_SENDER, STAMP_REFLECTOR)] == [14, 41, 44, 44]
assert struct.calcsize("!12s") == 12 and struct.calcsize("!12sI16s16s") == 48  # modes, count
assert struct.calcsize("!15s") == 15 and struct.calcsize("!15sB") == 16  # accept, server IV
assert struct.calcsize("!15sB16s") == 32  # start time
assert struct.calcsize("!BBBBII") == 12 and struct.calcsize("!BBBBIIHH") == 16  # ports, addresses
assert struct.calcsize("!BBBBIIHH16s16s") == 48  # SID
assert struct.calcsize("!BBBBIIHH16s16s16s") == 64  # padding length
assert struct.calcsize("!BBBBIIHH16s16s16sI") == 68  # start time
assert struct.calcsize("!BBBBIIHH16s16s16sIQ") == 76  # timeout
assert struct.calcsize("!BBBBIIHH16s16s16sIQQ") == 84  # type-P
assert struct.calcsize("!BBBBIIHH16s16s16sIQQI8s") == 96  # HMAC
assert struct.calcsize("!BBH") == 4 and struct.calcsize("!BBH16s12s") == 32  # SID, HMAC
assert struct.calcsize("!IQHH") == 16 and struct.calcsize("!IQHHQ") == 24  # T2, sender sequence
assert struct.calcsize("!IQHHQI") == 28 and struct.calcsize("!IQHHQIQHH") == 40  # T1, sender TTL

SINCE_1900 = 2_208_988_800
SECOND = 1_000_000_000
ERROR_ESTIMATE = 22 << 8 | 1  # not synchronised, NTP format, 1 * 2^(22 - 32) s
IP_RECVTTL = getattr(socket, "IP_RECVTTL", 12)
ZERO = bytes(128)
UNRECOGNISED, MALFORMED, EXTRA_PADDING = 0x80, 0x40, 1


class Deviation(Exception):
    """The peer did something that the standard does not allow."""


def expect(good, message):
    if not good:
        raise Deviation(message)


def say(**fields):
    # One write for each line: several threads say something.
    print(json.dumps(fields) + "\n", end="", flush=True)


def ntp(nanoseconds, fraction_in_nanoseconds=False):
    seconds, rest = divmod(nanoseconds, SECOND)
    fraction = rest if fraction_in_nanoseconds else (rest << 32) // SECOND
    return (seconds + SINCE_1900) << 32 | fraction


def from_ntp(timestamp):
    return (((timestamp >> 32) - SINCE_1900) * SECOND) + ((timestamp & 0xFFFFFFFF) * SECOND >> 32)


BEGAN = time.time_ns()


def clock(nanoseconds, ppm):
    """What a clock says that nobody has set; without `ppm`, one that is right."""
    return nanoseconds if ppm is None else nanoseconds + 3 * SECOND + (nanoseconds - BEGAN) * ppm // 1_000_000


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def sixteen(address):
    return socket.inet_pton(family_of(address), address).ljust(16, b"\0")


def readable(address, version):
    return str(ipaddress.ip_address(address if version == 6 else address[:4]))


def receive(connection, layout):
    """One control message; `None` where the peer has closed before it."""
    text = b""
    while len(text) < layout.size:
        more = connection.recv(layout.size - len(text))
        if not more:
            expect(not text, f"the connection ended after {len(text)} of {layout.size} bytes")
            return None
        text += more
    return layout.unpack(text)


def send(connection, message, pieces):
    if not pieces:
        return connection.sendall(message)
    for byte in message:
        connection.sendall(bytes([byte]))
        time.sleep(0.0005)


def test_socket(address, port=0, ttl=255):
    """A UDP socket that sends with this TTL and tells the TTL of what comes."""
    endpoint = socket.socket(family_of(address), socket.SOCK_DGRAM)
    if endpoint.family == socket.AF_INET6:
        endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        endpoint.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        endpoint.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    try:
        endpoint.bind((address, port))
    except OSError:
        endpoint.close()
        raise
    return endpoint


def receive_packet(endpoint):
    """Bytes, time of receipt, TTL, and the address and port they came from."""
    packet, ancillary, _, source = endpoint.recvmsg(65535, 256)
    now = time.time_ns()
    ttl = 255
    for level, kind, value in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
            ttl = struct.unpack("i", value[:4])[0]
    return packet, now, ttl, source[:2]


# The control server and its reflectors.


class Reflector:
    """One test session's far end."""

    def __init__(self, endpoint, quirks, sid):
        self.endpoint, self.quirks, self.sid = endpoint, quirks, sid
        self.peer = None  # (address, port) that may send here; a port of 0 is any
        self.until = float("inf")
        self.came = self.sequence = self.refused = 0
        self.held = None
        self.started = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with self.endpoint:
            self.endpoint.settimeout(0.05)
            while time.monotonic() < self.until:
                try:
                    packet, received, ttl, source = receive_packet(self.endpoint)
                except TimeoutError:
                    self.let_go()
                    continue
                if self.agreed(source):
                    self.reflect(packet, received, ttl, source)
                else:
                    self.refused += 1
            time.sleep(self.quirks.get("slow", 0) / 1000)
        say(event="ended", sid=self.sid.hex(), came=self.came, refused=self.refused)

    def agreed(self, source):
        if not self.started.is_set():
            return False
        if "zero-address" in self.quirks or self.peer is None:
            return True
        return source[0] == self.peer[0] and self.peer[1] in (0, source[1])

    def every(self, quirk):
        return quirk in self.quirks and self.came % self.quirks[quirk] == 0

    def reflect(self, packet, received, ttl, source):
        self.came += 1
        if self.every("drop-outbound"):
            return
        if len(packet) < SENDER.size:
            return say(deviation=f"a test packet of {len(packet)} bytes", sid=self.sid.hex())
        sequence, self.sequence = self.sequence, self.sequence + 1
        self.look_at(packet, ttl, source)
        if self.every("drop-inbound"):
            return
        job = (packet, received, ttl, source, sequence)
        if "slow" in self.quirks:
            threading.Timer(self.quirks["slow"] / 1000, self.answer, job).start()
        elif "reorder" in self.quirks and self.held is None:
            self.held = job
        else:
            self.answer(*job)
            self.let_go()

    def look_at(self, packet, ttl, source):
        sequence, sent, estimate = SENDER.unpack_from(packet)
        say(event="packet", sid=self.sid.hex(), sequence=sequence, length=len(packet), ttl=ttl, port=source[1])
        if not estimate & 0xFF:
            say(deviation="an error estimate with a zero multiplier", sid=self.sid.hex())
        if abs(from_ntp(sent) - time.time_ns()) > 3600 * SECOND:
            say(deviation=f"a send time of {from_ntp(sent) / SECOND:f}", sid=self.sid.hex())

    def let_go(self):
        if self.held:
            job, self.held = self.held, None
            self.answer(*job)

    def answer(self, packet, received, ttl, source, sequence):
        sender = SENDER.unpack_from(packet)
        odd = "nanos-fraction" in self.quirks
        ppm, sent = self.quirks.get("wrong-clock"), time.time_ns()
        if ppm is not None:
            say(event="times", sequence=sequence, received=received, sent=sent)
        before, after = ntp(clock(received, ppm), odd), ntp(clock(sent, ppm), odd)
        if "swap-times" in self.quirks:
            before, after = after, before
        reply = REFLECTOR.pack(sequence, after, ERROR_ESTIMATE, 0, before, *sender, 0, ttl)
        reply = reply.ljust(len(packet) + 27 * ("pad" in self.quirks), b"\0")
        if "short-38" in self.quirks:
            reply = reply[:38]
        for _ in range(1 + ("duplicate" in self.quirks)):
            self.endpoint.sendto(reply, source)


class ControlServer:
    """One control connection."""

    def __init__(self, connection, quirks):
        self.connection, self.quirks = connection, quirks
        self.address = connection.getsockname()[0]
        self.sessions = []

    def send(self, message):
        send(self.connection, message, "pieces" in self.quirks)

    def run(self):
        with self.connection:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self.set_up():
                    self.commands()
            except Deviation as deviation:
                say(deviation=str(deviation))
            except OSError as error:
                say(event="broken", reason=str(error))
        say(event="closed")
        if "close-early" not in self.quirks:
            self.end_sessions(0)

    def set_up(self):
        modes = 1
        for quirk, offered in (("modes", 0x27), ("no-open-mode", 2), ("mode-zero", 0)):
            modes = offered if quirk in self.quirks else modes
        self.send(GREETING.pack(ZERO[:12], modes, os.urandom(16), os.urandom(16), 1024, ZERO[:12]))
        if modes == 0 or "close-after-greeting" in self.quirks:
            return False
        message = receive(self.connection, SET_UP)
        if message is None:
            return False
        say(event="set-up", mode=message[0])
        if message[0] == 0 or "close-after-setup" in self.quirks:
            return False
        refused = message[0] != 1 or "server-start-1" in self.quirks
        if not modes & message[0]:
            say(deviation=f"mode {message[0]} was not offered")
        self.send(SERVER_START.pack(ZERO[:15], refused, os.urandom(16), ntp(time.time_ns()), ZERO[:8]))
        return not refused

    def commands(self):
        # A command is at least 32 bytes; only a request has more.
        while True:
            head = receive(self.connection, struct.Struct("!32s"))
            if head is None:
                return
            command = head[0][0]
            if command in (1, 5, 6):
                self.request(head[0], command)
            elif command == 2:
                self.start(head[0])
                if "close-early" in self.quirks:
                    return
            elif command == 3:
                self.stop(head[0])
            else:
                raise Deviation(f"command {command}")

    def request(self, head, command):
        rest = receive(self.connection, struct.Struct("!80s"))
        expect(rest, "the connection ended in a request")
        fields = REQUEST.unpack(head + rest[0])
        if command != 5:
            say(deviation=f"command {command} is not supported here")
            return self.accept(3, 0, ZERO[:16])
        self.check_request(fields)
        for quirk, code in (("accept-4", 4), ("accept-5", 5)):
            if quirk in self.quirks:
                return self.accept(code, 0, ZERO[:16])
        self.open_session(fields)

    def check_request(self, fields):
        version, sid = fields[1], fields[10]
        wrong = {
            "IP version": version != (6 if ":" in self.address else 4),
            "Conf-Sender": fields[2],
            "Conf-Receiver": fields[3],
            "slots": fields[4],
            "packets": fields[5],
            "SID": any(sid),
            "MBZ": any(fields[15]),
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            say(deviation=f"{name} in Request-TW-Session")
        say(
            event="request",
            sender=readable(fields[8], version),
            sender_port=fields[6],
            receiver=readable(fields[9], version),
            receiver_port=fields[7],
            padding=fields[11],
            start=fields[12],
            timeout=fields[13] / 2**32,
            type_p=fields[14],
        )

    def open_session(self, fields):
        asked = 0 if "other-port" in self.quirks else fields[7]
        try:
            endpoint = test_socket(self.address, asked)
        except OSError:
            endpoint = test_socket(self.address)
        sid = os.urandom(4) + struct.pack("!Q", ntp(time.time_ns())) + os.urandom(4)
        session = Reflector(endpoint, self.quirks, sid)
        source = readable(fields[8], fields[1]) if any(fields[8]) else self.connection.getpeername()[0]
        session.peer = (source, fields[6])
        session.timeout = fields[13] / 2**32
        self.sessions.append(session)
        self.accept(0, endpoint.getsockname()[1], sid)

    def accept(self, code, port, sid):
        say(event="accept", code=code, port=port, sid=sid.hex())
        self.send(ACCEPT_SESSION.pack(code, 0, port, sid, ZERO[:12], ZERO[:16]))

    def start(self, message):
        _, zero, _ = START.unpack(message)
        if any(zero):
            say(deviation="MBZ in Start-Sessions")
        say(event="start", sessions=len(self.sessions))
        for session in self.sessions:
            session.started.set()
        self.send(START.pack(0, ZERO[:15], ZERO[:16]))

    def stop(self, message):
        _, accept, zero, count, more_zero, _ = STOP.unpack(message)
        if zero or any(more_zero):
            say(deviation="MBZ in Stop-Sessions")
        say(event="stop", accept=accept, count=count, sessions=len(self.sessions))
        self.end_sessions(None)

    def end_sessions(self, wait):
        for session in self.sessions:
            session.until = time.monotonic() + (session.timeout if wait is None else wait)
        self.sessions = []


def server(arguments):
    listener = socket.create_server((arguments.bind, arguments.port), family=family_of(arguments.bind))
    print(f"listening {listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=ControlServer(connection, arguments.quirks).run, daemon=True).start()


# The control client and its sender.


class Sender:
    """The near end of a session: sends, and keeps what comes back."""

    def __init__(self, number, endpoint, ttl, on_loopback):
        self.number, self.endpoint, self.ttl, self.on_loopback = number, endpoint, ttl, on_loopback
        self.sent = []  # packets
        self.came = []  # what `receive_packet` gives
        self.done = False

    def connect(self, address, port):
        self.endpoint.connect((address, port))
        self.endpoint.settimeout(0.02)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while not self.done:
            try:
                self.came.append(receive_packet(self.endpoint))
            except (TimeoutError, ConnectionRefusedError):
                pass

    def send(self, rest):
        """`rest` is what follows the sender's fourteen bytes."""
        packet = SENDER.pack(len(self.sent), ntp(time.time_ns()), ERROR_ESTIMATE) + rest
        self.sent.append(packet)
        try:
            self.endpoint.send(packet)
        except ConnectionRefusedError:
            self.endpoint.send(packet)

    def finish(self, timeout):
        end = time.monotonic() + timeout
        while time.monotonic() < end and len(self.came) < len(self.sent):
            time.sleep(0.005)
        time.sleep(0.05)  # for duplicates
        self.done = True


def run_senders(senders, arguments, rest):
    start = time.monotonic()
    for number in range(arguments.count):
        time.sleep(max(0, start + number * arguments.interval - time.monotonic()))
        for sender in senders:
            sender.send(rest)
    for sender in senders:
        sender.finish(arguments.timeout)


def check_reply(sender, reply, lengths, ssid):
    """What the reply says, by name, once all of it has been looked at."""
    packet, received, reply_ttl, _ = reply
    expect(len(packet) >= REFLECTOR.size, f"a reply of {len(packet)} bytes is too short")
    sequence, t3, estimate, zero, t2, number, t1, sender_estimate, more_zero, ttl = REFLECTOR.unpack_from(packet)
    expect(number < len(sender.sent), f"sender sequence {number} was never sent")
    where = f"in the reply to packet {number}"
    sent = SENDER.unpack_from(sender.sent[number])
    expect(t1 == sent[1], f"sender timestamp {t1:016x} instead of {sent[1]:016x} {where}")
    expect(sender_estimate == sent[2], f"sender error estimate {sender_estimate:04x} {where}")
    expect(zero == ssid, f"{zero:#06x} instead of {ssid:#06x} after the error estimate {where}")
    expect(more_zero == 0, f"MBZ before the TTL is {more_zero:#06x} {where}")
    expect(estimate & 0xFF, f"an error estimate with a zero multiplier {where}")
    expect(not estimate & 0x4000, f"an error estimate with the Z bit {where}")
    expect(len(packet) in lengths, f"{len(packet)} bytes instead of {sorted(lengths)} {where}")
    expect(ttl == sender.ttl or (not sender.on_loopback and 0 < ttl < 256), f"sender TTL {ttl} {where}")
    expect(sequence <= number, f"reflector sequence {sequence} {where}")
    return {
        "session": sender.number,
        "sequence": number,
        "reflector_sequence": sequence,
        "t1": from_ntp(t1),
        "t2": from_ntp(t2),
        "t3": from_ntp(t3),
        "t4": received,
        "round_trip": (received - from_ntp(t1)) - (from_ntp(t3) - from_ntp(t2)),
        "ttl": ttl,
        "reply_ttl": reply_ttl,
        "length": len(packet),
        "synchronised": bool(estimate & 0x8000),
    }


def check_times(sender, line):
    where = f"in the reply to packet {line['sequence']}"
    expect(line["t2"] <= line["t3"], f"T2 is after T3 {where}")
    if sender.on_loopback:
        slack = 1000
        expect(line["t1"] <= line["t2"] + slack, f"T2 is before T1 on one clock {where}")
        expect(line["t3"] <= line["t4"] + slack, f"T3 is after T4 on one clock {where}")
    expect(sender.on_loopback is False or line["reply_ttl"] == 255, f"the reply left with TTL {line['reply_ttl']}")


def check_session(sender, tolerant, lengths, stateless=False, ssid=0, look=lambda line, packet: None):
    """Prints each reply; gives what the summary needs."""
    seen, numbers, round_trips, duplicates, late = set(), set(), [], 0, 0
    for reply in list(sender.came):
        line = check_reply(sender, reply, lengths, ssid)
        look(line, reply[0])
        say(**line)
        if line["sequence"] in seen:
            expect(tolerant, f"a second reply to packet {line['sequence']}")
            duplicates += 1
            continue
        if not tolerant:
            check_times(sender, line)
            expect(line["sequence"] == len(seen), f"packet {line['sequence']} where {len(seen)} was to come")
        if stateless:
            expect(line["reflector_sequence"] == line["sequence"], "a stateless reflector copies the sequence")
        expect(line["reflector_sequence"] not in numbers, f"reflector sequence {line['reflector_sequence']} again")
        late += bool(seen) and line["sequence"] < max(seen)
        seen.add(line["sequence"])
        numbers.add(line["reflector_sequence"])
        round_trips.append(line["round_trip"])
    lost = len(sender.sent) - len(seen)
    expect(tolerant or not lost, f"{lost} of {len(sender.sent)} packets without a reply")
    lost_inbound = max(numbers, default=-1) + 1 - len(numbers)
    return {
        "session": sender.number,
        "sent": len(sender.sent),
        "received": len(seen),
        "lost": lost,
        "lost_inbound": lost_inbound,
        "duplicates": duplicates,
        "out_of_order": late,
        "round_trip_min": min(round_trips, default=None),
        "round_trip_max": max(round_trips, default=None),
    }


class ControlClient:
    def __init__(self, arguments):
        self.arguments = arguments
        self.connection = socket.create_connection((arguments.host, arguments.port), 10)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.connection.getsockname()[0]
        self.peer = self.connection.getpeername()[0]
        self.on_loopback = self.address == self.peer or ipaddress.ip_address(self.peer).is_loopback
        self.sids = set()
        self.summary = []

    def send(self, message):
        send(self.connection, message, self.arguments.pieces)

    def receive(self, layout, name):
        try:
            fields = receive(self.connection, layout)
        except TimeoutError:
            raise Deviation(f"no {name} within ten seconds") from None
        expect(fields is not None, f"the connection ended before {name}")
        return fields

    def set_up(self):
        _, modes, challenge, _, count, zero = self.receive(GREETING, "the Greeting")
        expect(modes, "the server offers no mode at all")
        expect(modes & 1, f"the server does not offer mode 1 (modes {modes:#x})")
        expect(any(challenge), "a challenge of zeros")
        expect(count >= 1024 and count & (count - 1) == 0, f"a count of {count}")
        expect(not any(zero), "MBZ in the Greeting")
        self.send(SET_UP.pack(self.arguments.mode, ZERO[:80], ZERO[:64], ZERO[:16]))
        zero, accept, _, started, more_zero = self.receive(SERVER_START, "Server-Start")
        expect(not any(zero) and not any(more_zero), "MBZ in Server-Start")
        expect(accept == 0, f"Server-Start accept {accept}")
        age = time.time_ns() - from_ntp(started)
        expect(not self.on_loopback or -SECOND < age, f"a start time {-age / SECOND:f} s from now")

    def open_session(self, number):
        arguments = self.arguments
        endpoint = test_socket(self.address, ttl=arguments.ttl)
        sender = Sender(number, endpoint, arguments.ttl, self.on_loopback)
        addresses = [ZERO[:16]] * 2 if arguments.zero_address else [sixteen(self.address), sixteen(self.peer)]
        asked = arguments.ask_port + number if arguments.ask_port else free_port(self.address)
        self.send(
            REQUEST.pack(
                arguments.command,
                6 if ":" in self.address else 4,
                *(0, 0, 0, 0),
                endpoint.getsockname()[1],
                asked,
                *addresses,
                ZERO[:16],
                arguments.padding,
                ntp(time.time_ns()),
                int(arguments.timeout * 2**32),
                0,
                ZERO[:8],
                ZERO[:16],
            )
        )
        port = self.accepted(number, asked)
        sender.connect(self.peer, port)
        return sender

    def accepted(self, number, asked):
        accept, zero, port, sid, more_zero, _ = self.receive(ACCEPT_SESSION, "Accept-Session")
        expect(zero == 0 and not any(more_zero), "MBZ in Accept-Session")
        expect(accept == 0, f"Accept-Session accept {accept}")
        expect(port, "Accept-Session with port 0")
        expect(any(sid) and sid not in self.sids, f"SID {sid.hex()} is zero or was there before")
        self.sids.add(sid)
        say(session=number, asked_port=asked, port=port, sid=sid.hex())
        return port

    def start(self):
        self.send(START.pack(2, ZERO[:15], ZERO[:16]))
        accept, zero, _ = self.receive(START, "Start-Ack")
        expect(not any(zero), "MBZ in Start-Ack")
        expect(accept == 0, f"Start-Ack accept {accept}")

    def stop(self, sessions):
        count = sessions
        if self.arguments.stop_count_zero:
            count = 0
        elif self.arguments.stop_count_swapped:
            count = int.from_bytes(sessions.to_bytes(4, "little"), "big")
        try:
            self.send(STOP.pack(3, 0, 0, count, ZERO[:8], ZERO[:16]))
        except OSError as error:
            expect(self.arguments.tolerant, f"Stop-Sessions could not be sent: {error}")

    def round(self, first):
        arguments = self.arguments
        senders = [self.open_session(first + number) for number in range(arguments.sessions)]
        rest = (os.urandom if arguments.random_padding else bytes)(arguments.padding)
        if arguments.silence:
            self.expect_silence(senders, rest, "before Start-Sessions", 0.3)
        self.start()
        run_senders(senders, arguments, rest)
        self.stop(len(senders))
        size = SENDER.size + arguments.padding
        lengths = {max(REFLECTOR.size, size)} | ({REFLECTOR.size, size + 27} if arguments.tolerant else set())
        for sender in senders:
            self.summary.append(check_session(sender, arguments.tolerant, lengths))
        if arguments.silence:
            time.sleep(arguments.timeout + 0.5)
            self.expect_silence(senders, rest, "after Stop-Sessions and its wait", 0.3)

    def expect_silence(self, senders, rest, when, wait):
        for sender in senders:
            had = len(sender.came)
            packet = SENDER.pack(len(sender.sent), ntp(time.time_ns()), ERROR_ESTIMATE) + rest
            sender.endpoint.settimeout(wait)
            try:
                sender.endpoint.send(packet)
                if sender.done:
                    sender.came.append(receive_packet(sender.endpoint))
                else:
                    time.sleep(wait)
            except (TimeoutError, ConnectionRefusedError):
                pass
            expect(len(sender.came) == had, f"a reply {when}")

    def run(self):
        with self.connection:
            self.set_up()
            self.round(0)
            if self.arguments.second_round:
                self.round(self.arguments.sessions)
        say(summary=self.summary)


def free_port(address):
    with test_socket(address) as endpoint:
        return endpoint.getsockname()[1]


def client(arguments):
    ControlClient(arguments).run()


# Without control: TWAMP Light and STAMP.


def tlvs_of(text):
    """Offset, flags, type and value of each TLV; a malformed one has no value."""
    offset = 0
    while offset < len(text):
        if len(text) - offset < TLV.size:
            yield offset, text[offset], None, None
            return
        flags, kind, length = TLV.unpack_from(text, offset)
        whole = offset + TLV.size + length <= len(text)
        yield offset, flags, kind, text[offset + TLV.size : offset + TLV.size + length] if whole else None
        if not whole:
            return
        offset += TLV.size + length


def reflected_tlvs(text):
    """The TLVs as a reflector that knows no more than Extra Padding sends them back."""
    back = bytearray(text)
    for offset, _, kind, value in tlvs_of(text):
        flags = 0 if kind == EXTRA_PADDING else UNRECOGNISED
        back[offset] = flags if value is not None else flags | MALFORMED
    return bytes(back)


def address_tlv(kind, address):
    return TLV.pack(0, kind, 16) + sixteen(address)[:16]


def answered_tlvs(text, packet, source, local, came, last):
    """The TLVs as a reflector sends them back that knows all of RFC 8972 but one: it
    flags access reports as malformed and of failed integrity."""
    back = b""
    for _, _, kind, value in tlvs_of(text):
        flags = MALFORMED | 0x20 if kind == 6 else 0
        if kind == 2:
            expect(value == bytes(4) + b"".join(TLV.pack(UNRECOGNISED, k, 16) + bytes(16) for k in (7, 4)), "location")
            value = struct.pack("!HH", local[1], source[1]) + address_tlv(8, source[0]) + address_tlv(5, local[0])
        elif kind == 3:
            expect(value == bytes(4), "timestamp information")
            value = bytes([5, 2, 5, 2])  # a free-running clock, stamps by software
        elif kind == 4:
            expect(len(value) == 4 and not any(value[1:]), "class of service")
            value = struct.pack("!I", value[0] >> 2 << 26 | 10 << 20 | 1 << 18 | 1 << 16)
        elif kind == 5:
            expect(len(value) == 12 and not any(value[4:]), "direct measurement")
            value = value[:4] + struct.pack("!II", came, came - 1)
        elif kind == 6:
            expect(value == bytes([0x20, 1, 0, 0]), "access report")
        elif kind == 7:
            expect(value == bytes(16), "follow-up telemetry")
            value = struct.pack("!IQB3s", *last, 2, ZERO[:3])
        else:
            expect(kind == EXTRA_PADDING and not any(value), f"TLV {kind}")
        back += TLV.pack(flags, kind, len(value)) + value
    return back


def light_reflector(arguments):
    endpoint = test_socket(arguments.bind, arguments.port)
    print(f"listening {endpoint.getsockname()[1]}", flush=True)
    sequences = {}
    came, last = 0, (0, 0)
    while True:
        packet, received, ttl, source = receive_packet(endpoint)
        if len(packet) < SENDER.size:
            say(deviation=f"a test packet of {len(packet)} bytes")
            continue
        # The sender of a STAMP packet leaves these zero; padding may be anything.
        stamp = len(packet) >= STAMP_SENDER.size and not any(packet[16:44])
        ssid = struct.unpack_from("!H", packet, 14)[0] if stamp else 0
        sender = SENDER.unpack_from(packet)
        sequence = sender[0]
        if not arguments.stateless:
            sequence = sequences.get((source, ssid), 0)
            sequences[source, ssid] = sequence + 1
        rest = packet[44:] if stamp else b""
        has_tlvs = stamp and rest[:1] and rest[0] & UNRECOGNISED
        found = [f"{kind}:{(value or b'').hex()}" for _, _, kind, value in tlvs_of(rest)] if has_tlvs else []
        say(event="packet", sequence=sender[0], length=len(packet), ttl=ttl, ssid=ssid, port=source[1], tlvs=found)
        came += 1
        if has_tlvs and arguments.answer_tlvs:
            rest = answered_tlvs(rest, packet, source, endpoint.getsockname(), came, last)
        elif has_tlvs:
            rest = reflected_tlvs(rest)
        ppm, sent = arguments.wrong_clock, time.time_ns()
        if ppm is not None:
            say(event="times", sequence=sequence, received=received, sent=sent)
        before, after = ntp(clock(received, ppm)), ntp(clock(sent, ppm))
        last = (sequence, after)
        reply = REFLECTOR.pack(sequence, after, ERROR_ESTIMATE, ssid, before, *sender, 0, ttl)
        reply = reply.ljust(min(max(len(packet), 41), 44), b"\0") + rest
        endpoint.sendto(reply.ljust(len(packet), b"\0"), source)


def rest_of_packet(arguments):
    """What follows the sender's fourteen bytes: padding, or STAMP's own fields."""
    if not arguments.stamp:
        size = (arguments.length or REFLECTOR.size) - SENDER.size
        return (os.urandom if arguments.random_padding else bytes)(size)
    rest = struct.pack("!H28s", arguments.ssid, ZERO[:28])
    for kind, value in arguments.tlv:
        rest += TLV.pack(UNRECOGNISED, kind, len(value)) + value
    size = (arguments.length or 0) - SENDER.size
    if size >= len(rest) + TLV.size:
        padding = size - len(rest) - TLV.size
        rest += TLV.pack(UNRECOGNISED, EXTRA_PADDING, padding) + bytes(padding)
    return rest


def check_stamp(rest):
    """Looks at what only a STAMP reply has, and adds its TLVs to the line."""
    sent = list(tlvs_of(rest[30:]))

    def look(line, packet):
        where = f"in the reply to packet {line['sequence']}"
        expect(not any(packet[41:44]), f"MBZ after the TTL is {packet[41:44].hex()} {where}")
        came = list(tlvs_of(packet[44:]))
        expect([tlv[2:] for tlv in came] == [tlv[2:] for tlv in sent], f"other TLVs than were sent {where}")
        expect(not any(tlv[1] & ~UNRECOGNISED for tlv in came), f"TLV flags beyond U {where}")
        line["tlvs"] = [{"type": tlv[2], "unrecognised": bool(tlv[1] & UNRECOGNISED)} for tlv in came]

    return look


def light_sender(arguments):
    family, _, _, _, address = socket.getaddrinfo(arguments.host, arguments.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        local = probe.getsockname()[0]
    endpoint = test_socket(local, ttl=arguments.ttl)
    sender = Sender(0, endpoint, arguments.ttl, local == address[0])
    sender.on_loopback |= ipaddress.ip_address(address[0]).is_loopback
    sender.connect(*address[:2])
    rest = rest_of_packet(arguments)
    run_senders([sender], arguments, rest)
    size = SENDER.size + len(rest)
    # A STAMP reflector cannot tell a short sender from its own kind, and has its own minimum.
    lengths = {max(44, size)} if arguments.stamp else {max(41, size), max(44, size)}
    extra = {"ssid": arguments.ssid, "look": check_stamp(rest)} if arguments.stamp else {}
    summary = check_session(sender, arguments.tolerant, lengths, arguments.stateless, **extra)
    say(summary=[summary])


def tinytwamp_client(arguments):
    family, _, _, _, address = socket.getaddrinfo(arguments.host, arguments.port, type=socket.SOCK_DGRAM)[0]
    now = datetime.datetime.now(datetime.timezone.utc)
    messages = ["TWAMP test message", f"Timestamp: {now:%Y-%m-%dT%H:%M:%SZ}", "Round-trip time: 20ms"]
    silent = 0
    with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
        endpoint.settimeout(arguments.timeout)
        endpoint.connect(address)
        for message in messages:
            try:
                endpoint.send(message.encode())
                reply = endpoint.recv(1024)
                print(f"{message!r}: {len(reply)} bytes {reply!r}", flush=True)
            except (TimeoutError, ConnectionRefusedError) as error:
                print(f"{message!r}: no reply ({type(error).__name__})", flush=True)
                silent += message != messages[-1]
    expect(not silent, f"{silent} of the first two messages without a reply")


# The command line.

QUIRKS = """pad pieces modes no-open-mode mode-zero other-port accept-4 accept-5 server-start-1
close-after-greeting close-after-setup close-early zero-address short-38 swap-times nanos-fraction
duplicate reorder""".split()
QUIRKS_WITH_NUMBER = ["drop-inbound", "drop-outbound", "slow", "wrong-clock"]


def quirk(text):
    name, _, number = text.partition("=")
    if name in QUIRKS and not number:
        return name, True
    if name in QUIRKS_WITH_NUMBER and number.isdigit() and int(number) > 0:
        return name, int(number)
    raise argparse.ArgumentTypeError(f"no such quirk: {text}")


def tlv(text):
    kind, _, value = text.partition(":")
    return int(kind, 0), bytes.fromhex(value)


def add_sending(command):
    command.add_argument("host")
    command.add_argument("port", type=int)
    command.add_argument("--count", type=int, default=10, metavar="N")
    command.add_argument("--interval", type=float, default=0.01, metavar="SECONDS")
    command.add_argument("--timeout", type=float, default=1.0, metavar="SECONDS", help="wait for the last replies")
    command.add_argument("--ttl", type=int, default=255)
    command.add_argument("--random-padding", action="store_true")
    command.add_argument(
        "--tolerant",
        action="store_true",
        help="loss, duplicates, order, times that cannot be true and other lengths are not deviations",
    )


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("server")
    command.set_defaults(run=server)
    command.add_argument("--quirk", dest="quirks", type=quirk, action="append", default=[])

    command = commands.add_parser("client")
    command.set_defaults(run=client)
    add_sending(command)
    command.add_argument("--padding", type=int, default=27, metavar="BYTES")
    command.add_argument("--sessions", type=int, default=1, metavar="K")
    command.add_argument("--ask-port", type=int, metavar="P", help="the next session asks for P + 1")
    command.add_argument("--mode", type=int, default=1, help="what Set-Up-Response chooses")
    command.add_argument("--command", type=int, default=5, help="the request's command number")
    for name in ("zero-address", "stop-count-zero", "stop-count-swapped", "second-round", "pieces"):
        command.add_argument(f"--{name}", action="store_true")
    command.add_argument("--silence", action="store_true", help="no reply before Start-Sessions and after the wait")

    command = commands.add_parser("light-reflector")
    command.set_defaults(run=light_reflector)
    command.add_argument("--stateless", action="store_true")
    command.add_argument("--wrong-clock", type=int, metavar="PPM")
    command.add_argument("--answer-tlvs", action="store_true")
    for name in ("server", "light-reflector"):
        commands.choices[name].add_argument("--bind", default="127.0.0.1", metavar="ADDRESS")
        commands.choices[name].add_argument("--port", type=int, default=0)

    command = commands.add_parser("light-sender")
    command.set_defaults(run=light_sender)
    add_sending(command)
    command.add_argument("--stamp", action="store_true")
    command.add_argument("--stateless", action="store_true", help="the reflector is to copy the sequence")
    command.add_argument("--length", type=int, metavar="BYTES", help="of the whole packet")
    command.add_argument("--ssid", type=lambda text: int(text, 0), default=0, metavar="N")
    command.add_argument("--tlv", type=tlv, action="append", default=[], metavar="TYPE:HEX")

    command = commands.add_parser("tinytwamp-client")
    command.set_defaults(run=tinytwamp_client)
    command.add_argument("host")
    command.add_argument("port", type=int)
    command.add_argument("--timeout", type=float, default=1.0)
    arguments = parser.parse_args()
    arguments.quirks = dict(getattr(arguments, "quirks", []))
    return arguments


def main():
    arguments = parse()
    try:
        arguments.run(arguments)
    except Deviation as deviation:
        sys.exit(f"deviation: {deviation}")
    except OSError as error:
        sys.exit(f"failed: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
