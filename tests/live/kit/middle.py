"""
middle.py - somebody in the middle, who ends TLS on both of his sides and so can read and change everything.

He has a certificate of his own. Who does not check certificates does not notice him; who binds SCRAM to them does.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from typing import Callable

from .place import HOST
from .wire import SSL_REQUEST


class Middle:
    """Listens at `port`, and passes on to `target`. `alter` sees each piece that comes back from there."""

    def __init__(self, port: int, target: int, context: ssl.SSLContext,
                 alter: Callable[[bytes], bytes] = lambda piece: piece) -> None:
        self.port, self.target, self.context, self.alter = port, target, context, alter
        self.passed = 0  # connections whose TLS he ended on both sides
        self._listener = socket.create_server((HOST, port), backlog=16)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Middle":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(connection,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        try:
            with near, socket.create_connection((HOST, self.target), 30) as far:
                if near.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
                    return
                far.sendall(SSL_REQUEST)
                if far.recv(1) != b"S":
                    return
                near.sendall(b"S")
                trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
                with self.context.wrap_socket(near, server_side=True) as a, trusting.wrap_socket(far) as b:
                    self.passed += 1
                    self._relay(a, b)
        except OSError:
            pass

    def _relay(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        """Until one of them ends. In one thread: a TLS session must not be used by two."""
        ways = {near: (far, lambda piece: piece), far: (near, self.alter)}
        while True:
            ready = [each for each in ways if each.pending()] or select.select(list(ways), [], [])[0]
            for source in ready:
                sink, alter = ways[source]
                source.setblocking(False)
                try:
                    piece = source.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                finally:
                    source.settimeout(30)
                if not piece:
                    return
                sink.sendall(alter(piece))


def without_plus(piece: bytes) -> bytes:
    """The offer of channel binding is taken away."""
    both, one = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", b"SCRAM-SHA-256\0\0"
    if both not in piece:
        return piece
    head = len(piece[:piece.index(both)]) - 8  # R, length, 10
    length = int.from_bytes(piece[head:head + 4], "big") - len(both) + len(one)
    return piece[:head] + length.to_bytes(4, "big") + piece[head + 4:].replace(both, one)
