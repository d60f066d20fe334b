"""
relay.py - between pgsluice and a real server: passes every message on, until it is told to break off at an exact place.

It counts messages from the moment in which it was armed. Whatever broke off, it broke off for both sides: the server ends the
session as it does when its client is gone, so what had not been committed is rolled back.
"""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass

from .place import HOST


@dataclass
class Cut:
    """
    Of a message of this letter, the `count`th from now on. `side` says who sends it: F (to the server) or B (from there).
    unseen: it is not passed on. half: half of it is. passed: all of it is, and nothing behind it.
    """

    letter: bytes
    side: str = "F"
    how: str = "unseen"
    count: int = 1


class Relay:
    """Listens at `port`, and passes on to `target`, without TLS."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.connections = 0
        self._cut: Cut | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._listener = socket.create_server((HOST, port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def arm(self, cut: Cut) -> None:
        self._done.clear()
        self._cut = Cut(cut.letter, cut.side, cut.how, cut.count)

    def wait(self) -> None:
        """It has broken off."""
        assert self._done.wait(30), "no such message came"

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection((HOST, self.target), 30)
            far.settimeout(None)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for side, source, sink in (("F", near, far), ("B", far, near)):
                threading.Thread(target=self._pass, args=(side, source, sink), daemon=True).start()

    def _pass(self, side: str, source: socket.socket, sink: socket.socket) -> None:
        buffer = b""
        has_begun = side == "B"  # the startup packet has no letter
        try:
            while True:
                more = source.recv(65536)
                if not more:
                    break
                buffer += more
                while len(buffer) >= 5:
                    size = struct.unpack_from("!i", buffer, 1 if has_begun else 0)[0] + (1 if has_begun else 0)
                    if len(buffer) < size:
                        break
                    one, buffer = buffer[:size], buffer[size:]
                    if has_begun and self._breaks(side, one, sink):
                        return
                    sink.sendall(one)
                    has_begun = True
        except OSError:
            pass
        finally:
            for each in (source, sink):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _breaks(self, side: str, one: bytes, sink: socket.socket) -> bool:
        with self._lock:
            cut = self._cut
            if cut is None or cut.side != side or one[:1] != cut.letter:
                return False
            cut.count -= 1
            if cut.count > 0:
                return False
            self._cut = None
        part = {"unseen": b"", "half": one[:max(5, len(one) // 2)], "passed": one}[cut.how]
        sink.sendall(part)
        self._done.set()
        return True

