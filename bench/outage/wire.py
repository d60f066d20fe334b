"""
wire.py - one client connection, protocol 3.0 by hand on asyncio: what was sent, what was answered, and nothing in between.

Owns: the socket, the bytes that are not a message yet, the trace of what went over it last.
Never: judges an answer (answers.py does), opens itself again.
Invariant: ask() is given exactly the messages up to its own ReadyForQuery. A message that nobody asked for is kept in .strays.
Source: PostgreSQL 15, 55.2 Message Flow and 55.7 Message Formats; RFC 5802 for SCRAM.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import functools
import hashlib
import hmac
import os
import struct
import time
from typing import Any, Iterator, Optional

MESSAGE_MAX = 1 << 24  # bytes; nothing that we ask for is that long
TRACED = 60  # pieces, of either way
SHOWN = 100  # bytes of a message in a trace

Message = tuple[str, bytes]


def message(letter: bytes, body: bytes = b"") -> bytes:
    return letter + struct.pack("!i", 4 + len(body)) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def query(sql: str) -> bytes:
    return message(b"Q", text(sql))


def parse(name: str, sql: str) -> bytes:
    return message(b"P", text(name) + text(sql) + b"\0\0")


def bind(statement: str, *values: str) -> bytes:
    """To the unnamed portal, all in text."""
    parts = b"".join(struct.pack("!i", len(value.encode())) + value.encode() for value in values)
    return message(b"B", b"\0" + text(statement) + struct.pack("!hh", 0, len(values)) + parts + b"\0\0")


EXECUTE = message(b"E", b"\0" + struct.pack("!i", 0))
SYNC = message(b"S")
TERMINATE = message(b"X")
COPY_DONE = message(b"c")


def copy_data(rows: str) -> bytes:
    return message(b"d", rows.encode())


def fields(body: bytes) -> dict[str, str]:
    """Of an ErrorResponse or NoticeResponse, by their letters: C is the SQLSTATE, M the text, V the severity."""
    return {part[:1].decode(errors="replace"): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def row(body: bytes) -> list[Optional[str]]:
    """The values of a DataRow. ValueError: it is none."""
    values: list[Optional[str]] = []
    try:
        count, at = struct.unpack_from("!h", body)[0], 2
        for _ in range(count):
            size = struct.unpack_from("!i", body, at)[0]
            at += 4
            values.append(None if size < 0 else body[at:at + size].decode())
            at += max(size, 0)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"no DataRow: {error}") from None
    if at != len(body):
        raise ValueError(f"a DataRow of {len(body)} bytes whose values end at {at}")
    return values


@dataclasses.dataclass
class Answer:
    """Everything up to ReadyForQuery, and its status; or what came before the connection was lost, and why it was."""

    messages: list[Message]
    status: str = ""
    lost: str = ""

    @property
    def letters(self) -> str:
        return "".join(letter for letter, _ in self.messages)

    @property
    def error(self) -> dict[str, str]:
        return next((fields(body) for letter, body in self.messages if letter == "E"), {})


class Refused(Exception):
    """No session came about. args: what to count it as (SQLSTATE or a word), and the reason."""


class Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: Optional[asyncio.Transport] = None
        self.lost = ""  # why it ended, once it has
        self.lost_at = 0.0
        self.last_words: dict[str, str] = {}  # of a FATAL
        self.strays: list[str] = []
        self.notices: list[dict[str, str]] = []
        self.is_closing = False  # by us
        self.trace: collections.deque[tuple[float, str, bytes]] = collections.deque(maxlen=TRACED)
        self._left = b""
        self._turn: list[Message] = []
        self._owed: collections.deque[asyncio.Future[Answer]] = collections.deque()
        self._scram: Optional[Scram] = None  # while it logs in
        self._wanted = ""  # letters which somebody in between waits for
        self._between: Optional[asyncio.Future[Message]] = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.trace.append((time.monotonic(), "<", data))
        if self._left:
            data = self._left + data
        at, end = 0, len(data)
        while end - at >= 5:
            size = int.from_bytes(data[at + 1:at + 5], "big")
            if not 4 <= size <= MESSAGE_MAX:
                self._stray(f"a message of {size} bytes, letter {data[at:at + 1]!r}")
                self.abort()
                return
            if end - at <= size:
                break
            self._hear(chr(data[at]), data[at + 5:at + 1 + size])
            at += 1 + size
        self._left = data[at:]

    def connection_lost(self, problem: Optional[Exception]) -> None:
        self.lost = "reset" if problem else "closed"
        if self._left:
            self.lost += " in the middle of a message"
        if self.last_words:
            self.lost += f" after FATAL {self.last_words.get('C')}: {self.last_words.get('M')}"
        self.lost_at = time.monotonic()
        self.trace.append((self.lost_at, "<", b""))
        messages, self._turn = self._turn, []
        while self._owed:
            self._settle(self._owed.popleft(), Answer(messages, "", self.lost))
            messages = []
        if self._between and not self._between.done():
            self._between.set_result(("", b""))

    # Messages.

    def _hear(self, letter: str, body: bytes) -> None:
        if letter == "Z":
            messages, self._turn = self._turn, []
            self._pass(letter, body)
            if self._owed:
                self._settle(self._owed.popleft(), Answer(messages, body.decode(errors="replace")))
            else:
                self._stray("ReadyForQuery that nobody waits for")
        elif letter == "N":
            self.notices.append(fields(body))
        elif letter in "SA":
            pass  # may come at any time
        else:
            if letter == "E":
                said = fields(body)
                if said.get("V", said.get("S")) in ("FATAL", "PANIC"):
                    self.last_words = said
            if self._scram and letter == "R":
                self._prove(body)
            elif self._owed:
                self._turn.append((letter, body))
                self._pass(letter, body)
            elif not self.last_words:
                self._stray(f"message {letter!r} that nobody waits for")

    def _pass(self, letter: str, body: bytes) -> None:
        if self._between and not self._between.done() and letter in self._wanted:
            self._between.set_result((letter, body))

    def _prove(self, body: bytes) -> None:
        assert self._scram
        try:
            proof = self._scram.answer(body)
        except (KeyError, ValueError, struct.error) as error:
            self._stray(f"an authentication request that makes no sense: {error!r}")
            self.abort()
            return
        if proof:
            self.send(message(b"p", proof))

    @staticmethod
    def _settle(waiter: asyncio.Future[Answer], answer: Answer) -> None:
        if not waiter.done():
            waiter.set_result(answer)

    def _stray(self, what: str) -> None:
        self.strays.append(what)

    # What a client calls.

    def send(self, data: bytes) -> None:
        assert self.transport
        self.trace.append((time.monotonic(), ">", data))
        self.transport.write(data)

    def ask(self, data: bytes, answers: int = 1) -> list[asyncio.Future[Answer]]:
        """Send it; it has so many ReadyForQuery to come. Each is awaited by itself, and none of them raises."""
        loop = asyncio.get_running_loop()
        waiters = [loop.create_future() for _ in range(answers)]
        if self.lost:  # not a byte of it has left
            for waiter in waiters:
                waiter.set_result(Answer([], "", "before it was sent: " + self.lost))
            return waiters
        self._owed.extend(waiters)
        self.send(data)
        return waiters

    async def between(self, letters: str) -> Message:
        """The next message with one of these letters, inside of an answer. ("", b""): the connection was lost."""
        if self.lost:
            return "", b""
        self._wanted, self._between = letters, asyncio.get_running_loop().create_future()
        try:
            return await self._between
        finally:
            self._between = None

    def close(self) -> None:
        self.is_closing = True
        if self.transport and not self.lost:
            self.transport.write(TERMINATE)
            self.transport.close()

    def abort(self) -> None:
        if self.transport:
            self.transport.abort()

    # The beginning.

    async def login(self, user: str, password: str, database: str, name: str) -> None:
        """Refused: the reason. The connection may then still have to be closed."""
        parameters = {"user": user, "database": database, "application_name": name}
        body = struct.pack("!HH", 3, 0) + b"".join(text(k) + text(v) for k, v in parameters.items()) + b"\0"
        self._scram = Scram(user, password)
        waiter = self.ask(struct.pack("!i", 4 + len(body)) + body)[0]
        answer = await waiter
        self._scram = None
        if answer.error:
            raise Refused(answer.error.get("C", "?"), answer.error.get("M", "?"))
        if answer.lost:
            raise Refused("connection lost", answer.lost)

    def trace_text(self) -> list[str]:
        """What went over it last, a line for each message."""
        now = time.monotonic()
        return [f"{at - now:+9.3f} {way} {line}" for at, way, data in list(self.trace) for line in _lines(data)]


def _lines(data: bytes) -> Iterator[str]:
    if not data:
        yield "(the end)"
    while data:
        if data[:1] == b"\0":  # a startup packet has no letter
            yield "startup packet"
            return
        size = int.from_bytes(data[1:5], "big") if len(data) >= 5 else 0
        if size < 4 or len(data) <= size:
            yield f"a part of a message: {data[:SHOWN]!r}"
            return
        yield "p ..." if data[:1] == b"p" else f"{chr(data[0])} {data[5:1 + size][:SHOWN]!r}"
        data = data[1 + size:]


class Scram:
    """Answers whatever a server asks for. A key is stretched once for each salt, however many clients log in."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.nonce = base64.b64encode(os.urandom(18))

    def answer(self, body: bytes) -> bytes:
        """b"": nothing is asked."""
        asked = struct.unpack("!i", body[:4])[0]
        if asked == 3:
            return text(self.password)
        if asked == 5:
            inner = hashlib.md5((self.password + self.user).encode()).hexdigest().encode()
            return b"md5" + hashlib.md5(inner + body[4:8]).hexdigest().encode() + b"\0"
        if asked == 10:
            first = b"n,,n=,r=" + self.nonce
            return b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
        if asked == 11:
            return self._final(body[4:])
        return b""

    def _final(self, challenge: bytes) -> bytes:
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        key, stored = stretched(self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        without_proof = b"c=biws,r=" + parts[b"r"]
        signature = hmac.digest(stored, b"n=,r=" + self.nonce + b"," + challenge + b"," + without_proof, "sha256")
        return without_proof + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))


@functools.lru_cache(maxsize=64)
def stretched(password: str, salt: bytes, rounds: int) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    key = hmac.digest(salted, b"Client Key", "sha256")
    return key, hashlib.sha256(key).digest()


async def connect(host: str, port: int, user: str, password: str, database: str, name: str) -> Wire:
    """A session that is ready. Refused: the reason."""
    wire: Any = None
    try:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, host, port)
    except OSError as error:
        raise Refused("refused" if isinstance(error, ConnectionRefusedError) else "no connection", str(error)) from None
    try:
        await wire.login(user, password, database, name)
    except BaseException:
        wire.is_closing = True
        wire.abort()
        raise
    assert isinstance(wire, Wire)
    return wire
