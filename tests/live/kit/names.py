"""
names.py - a name server that says what the test tells it, and relays: loopback addresses that lead to a PostgreSQL.

pgsluice is pointed to it by `resolv_conf` (a file with `nameserver 127.0.0.1:PORT`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
import threading
from pathlib import Path
from typing import Iterator

from .place import HOST, Place

TYPES = {1: 4, 28: 6}
RCODES = {"NXDOMAIN": 3, "SERVFAIL": 2}


class NameServer(threading.Thread):
    """.zone: what each name is, with dots and in lower case: a list of addresses, or a word of RCODES, or "silence"."""

    def __init__(self, place: Place, ttl: int = 1) -> None:
        super().__init__(daemon=True)
        self.zone: dict[str, list[str] | str] = {}
        self.ttl = ttl
        self.asked: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, place.port()))
        self.conf: Path = place.write(place.make_dir("dns") / "resolv.conf",
                                      f"nameserver {HOST}:{self.socket.getsockname()[1]}\noptions timeout:1 attempts:2\n")

    def run(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                question, sender = self.socket.recvfrom(2000)
                answer = self.answer(question)
                if answer:
                    self.socket.sendto(answer, sender)

    def answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name, (kind,) = ".".join(labels), struct.unpack(">H", question[at + 1:at + 3])
        self.asked.append(name)
        known = self.zone.get(name, "NXDOMAIN")
        if known == "silence":
            return b""
        addresses = [] if isinstance(known, str) else [ipaddress.ip_address(each) for each in known]
        packed = [each.packed for each in addresses if each.version == TYPES.get(kind)]
        code = RCODES[known] if isinstance(known, str) else 0
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(packed), 0, 0) + question[12:at + 5]
        return head + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl, len(each)) + each for each in packed)

    def close(self) -> None:
        self.socket.close()


class Relay(threading.Thread):
    """Listens on host:port and passes everything on to `to`. .open: connections now; .count: ever."""

    def __init__(self, host: str, port: int, to: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.host, self.to = host, to
        self.listener = socket.create_server((host, port), backlog=64)
        self.count = 0
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.stopping = False

    @property
    def open(self) -> int:
        return len(self.pairs)

    def run(self) -> None:
        while not self.stopping:
            ends = {end: pair for pair in self.pairs for end in pair}
            with contextlib.suppress(OSError, ValueError):
                ready, _, _ = select.select([self.listener, *ends], [], [], 0.1)
                for each in ready:
                    if each is self.listener:
                        self.accept()
                    elif ends[each] in self.pairs:
                        self.pass_on(each, ends[each])

    def accept(self) -> None:
        client, _ = self.listener.accept()
        self.count += 1
        self.pairs.append((client, socket.create_connection(self.to)))

    def pass_on(self, source: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        try:
            data = source.recv(65536)
            pair[source is pair[0]].sendall(data)
        except OSError:
            data = b""
        if not data:
            self.pairs.remove(pair)
            for each in pair:
                each.close()

    def close(self) -> None:
        self.stopping = True
        self.join(10)
        self.listener.close()
        for pair in self.pairs:
            for each in pair:
                each.close()


@contextlib.contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """An address that never answers: its queue of connections is full, and whoever calls gets no word."""
    listener = socket.socket()
    callers: list[socket.socket] = []
    try:
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            callers.append(socket.socket())
            callers[-1].setblocking(False)
            callers[-1].connect_ex((host, port))
        yield
    finally:
        for each in [*callers, listener]:
            each.close()
