"""
wire.py - protocol 3.0 by hand: a client that can say anything, at any pace, and hears every message.

Source: PostgreSQL 15, 55.2 Message Flow and 55.7 Message Formats.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
from typing import Any

from .place import HOST
from .postgres import PASSWORD

TIMEOUT = 30.0  # seconds
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)

Message = tuple[bytes, bytes]


def message(letter: bytes, body: bytes = b"") -> bytes:
    return letter + struct.pack("!i", 4 + len(body)) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def startup(minor: int = 0, **parameters: str) -> bytes:
    body = struct.pack("!HH", 3, minor) + b"".join(text(k) + text(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!i", 4 + len(body)) + body


def cancel(pid: int, key: bytes) -> bytes:
    return struct.pack("!iii", 12 + len(key), 80877102, pid) + key


def query(sql: str) -> bytes:
    return message(b"Q", text(sql))


def parse(name: str, sql: str, types: tuple[int, ...] = ()) -> bytes:
    return message(b"P", text(name) + text(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(portal: str = "", statement: str = "", values: tuple[bytes | None, ...] = (), formats: tuple[int, ...] = ()) -> bytes:
    body = text(portal) + text(statement) + struct.pack(f"!h{len(formats)}hh", len(formats), *formats, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"B", body + struct.pack("!h", 0))


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", kind.encode() + text(name))


def execute(portal: str = "", limit: int = 0) -> bytes:
    return message(b"E", text(portal) + struct.pack("!i", limit))


def close(kind: str, name: str = "") -> bytes:
    return message(b"C", kind.encode() + text(name))


def function_call(oid: int, *values: bytes) -> bytes:
    body = struct.pack("!ihh", oid, 0, len(values))
    body += b"".join(struct.pack("!i", len(value)) + value for value in values)
    return message(b"F", body + struct.pack("!h", 0))


SYNC = message(b"S")
FLUSH = message(b"H")
TERMINATE = message(b"X")
COPY_DONE = message(b"c")


def fields(body: bytes) -> dict[str, str]:
    """Of an ErrorResponse or NoticeResponse, by their letters: C is the SQLSTATE, M the text."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def row(body: bytes) -> list[bytes | None]:
    """The values of a DataRow."""
    count, at, values = struct.unpack_from("!h", body)[0], 2, []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size])
        at += max(size, 0)
    return values


def letters(messages: list[Message]) -> str:
    return b"".join(letter for letter, _ in messages).decode()


class Closed(Exception):
    """The other side ended the connection."""


class Wire:
    """A client. Everything that comes is kept in .heard, so that an assertion can show it."""

    def __init__(self, port: int, host: str = HOST, unix: str = "", source: str = "") -> None:
        if unix:
            self.socket: socket.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT)
            self.socket.connect(unix)
        else:
            self.socket = socket.create_connection((host, port), TIMEOUT, (source, 0) if source else None)
        self.port = port
        self.heard: list[Message] = []
        self.parameters: dict[str, str] = {}
        self.pid, self.key = 0, b""
        self._left = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def abort(self) -> None:
        """As a client that crashes: the other side gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, *data: bytes) -> "Wire":
        self.socket.sendall(b"".join(data))
        return self

    def exactly(self, count: int) -> bytes:
        while len(self._left) < count:
            try:
                more = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                raise Closed(f"the connection was closed after {letters(self.heard)!r}")
            self._left += more
        found, self._left = self._left[:count], self._left[count:]
        return found

    def next(self) -> Message:
        head = self.exactly(5)
        size = struct.unpack("!i", head[1:])[0]
        found = (head[:1], self.exactly(size - 4))
        self.heard.append(found)
        if found[0] == b"S":
            name, value = found[1].split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()
        return found

    def until(self, *wanted: bytes) -> list[Message]:
        """The messages up to the first one of these letters, which is the last of the list."""
        found = [self.next()]
        while found[-1][0] not in wanted:
            found.append(self.next())
        return found

    def ready(self) -> list[Message]:
        return self.until(b"Z")

    def ask(self, sql: str) -> list[list[bytes | None]]:
        """The rows of one simple query that must not fail."""
        answer = self.send(query(sql)).ready()
        errors = [fields(body) for letter, body in answer if letter == b"E"]
        assert not errors, errors
        return [row(body) for letter, body in answer if letter == b"D"]

    def error(self) -> dict[str, str]:
        """The fields of the error with which the next answer ends."""
        return [fields(body) for letter, body in self.ready() if letter == b"E"][-1]

    def closed(self) -> list[Message]:
        """Everything that still comes before the other side ends the connection, which it must."""
        found = []
        while True:
            try:
                found.append(self.next())
            except Closed:
                return found

    def refused(self) -> dict[str, str]:
        """The fields of the FATAL error with which the other side ends the connection."""
        answer = self.closed()
        errors = [fields(body) for letter, body in answer if letter == b"E"]
        assert errors, f"closed without an error, after {letters(self.heard)!r}"
        return errors[-1]

    def tls(self, context: ssl.SSLContext | None = None, name: str = "localhost") -> "Wire":
        """SSLRequest and handshake; nothing is verified unless the context says so."""
        self.send(SSL_REQUEST)
        assert self.exactly(1) == b"S"
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        return self

    def login(self, user: str = "app", database: str = "app", password: str = PASSWORD, minor: int = 0,
              **parameters: str) -> "Wire":
        """All of it, up to ReadyForQuery."""
        self.send(startup(minor, user=user, database=database, **parameters))
        while True:
            letter, body = self.next()
            if letter == b"R":
                self._answer(body, user, password)
            elif letter == b"K":
                self.pid, self.key = struct.unpack("!i", body[:4])[0], body[4:]
            elif letter == b"E":
                raise AssertionError(fields(body))
            elif letter == b"Z":
                return self

    def _answer(self, body: bytes, user: str, password: str) -> None:
        asked = struct.unpack("!i", body[:4])[0]
        if asked == 3:
            self.send(message(b"p", text(password)))
        elif asked == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest().encode()
            self.send(message(b"p", b"md5" + hashlib.md5(inner + body[4:8]).hexdigest().encode() + b"\0"))
        elif asked == 10:
            self._nonce = base64.b64encode(os.urandom(18))
            first = b"n,,n=,r=" + self._nonce
            self.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        elif asked == 11:
            self.send(message(b"p", self._scram_final(body[4:], password)))

    def _scram_final(self, challenge: bytes, password: str) -> bytes:
        """Source: RFC 5802, 3 and 5."""
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + parts[b"r"]
        signed = b"n=,r=" + self._nonce + b"," + challenge + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return without_proof + b",p=" + base64.b64encode(proof)
