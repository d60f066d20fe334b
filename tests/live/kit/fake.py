"""
fake.py - a PostgreSQL that follows a script: for what a real server never does.

A script is a function of one connection, run in a thread of its own for each connection that comes. What it raises because
the other side went away is nobody's fault; anything else fails the test that looks at .errors.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any, Callable

from .place import HOST
from .wire import Closed, fields, message, text

PARAMETERS = {"server_version": "15.0", "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
              "TimeZone": "Etc/UTC", "integer_datetimes": "on", "standard_conforming_strings": "on",
              "IntervalStyle": "postgres", "is_superuser": "off", "session_authorization": "app",
              "default_transaction_read_only": "off", "in_hot_standby": "off", "application_name": ""}


def authentication(kind: int, more: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", kind) + more)


def error(sqlstate: str, said: str, severity: str = "ERROR") -> bytes:
    return message(b"E", b"S" + text(severity) + b"V" + text(severity) + b"C" + text(sqlstate) + b"M" + text(said)
                   + b"\0")


def parameter(name: str, value: str) -> bytes:
    return message(b"S", text(name) + text(value))


def ready(status: str = "I") -> bytes:
    return message(b"Z", status.encode())


def row_description(*names: str) -> bytes:
    columns = b"".join(text(name) + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0) for name in names)
    return message(b"T", struct.pack("!h", len(names)) + columns)


def data_row(*values: str) -> bytes:
    parts = b"".join(struct.pack("!i", len(value.encode())) + value.encode() for value in values)
    return message(b"D", struct.pack("!h", len(values)) + parts)


def complete(tag: str) -> bytes:
    return message(b"C", text(tag))


def one_row(value: str = "fake") -> bytes:
    """A whole answer to a simple query."""
    return row_description("column") + data_row(value) + complete("SELECT 1") + ready()


class Session:
    """One connection, from the server's side."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number
        self.startup: dict[str, str] = {}
        self._left = b""
        connection.settimeout(60)

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def exactly(self, count: int) -> bytes:
        while len(self._left) < count:
            more = self.socket.recv(65536)
            if not more:
                raise Closed()
            self._left += more
        found, self._left = self._left[:count], self._left[count:]
        return found

    def next(self) -> tuple[bytes, bytes]:
        head = self.exactly(5)
        return head[:1], self.exactly(struct.unpack("!i", head[1:])[0] - 4)

    def read_startup(self) -> None:
        while True:
            size, code = struct.unpack("!ii", self.exactly(8))
            body = self.exactly(size - 8)
            if code >> 16 == 3:
                parts = body.split(b"\0")
                self.startup = {k.decode(): v.decode() for k, v in zip(parts[::2], parts[1::2]) if k}
                return
            if code == 80877102:
                raise Closed()  # a cancel request: this server has nothing to cancel
            self.send(b"N")

    def welcome(self, **parameters: str) -> None:
        """From AuthenticationOk to ReadyForQuery."""
        said = {**PARAMETERS, "session_authorization": self.startup.get("user", ""), **parameters}
        self.send(authentication(0), *(parameter(name, value) for name, value in said.items()),
                  message(b"K", struct.pack("!ii", 4000 + self.number, 77)), ready())

    def login(self) -> None:
        self.read_startup()
        self.welcome()

    def next_query(self, answers_set: bool = True) -> str:
        """The text of the next simple query; what pgsluice asks on its own account is answered on the way."""
        while True:
            letter, body = self.next()
            if letter == b"X":
                raise Closed()
            if letter == b"S":
                self.send(ready())
            elif letter == b"Q":
                sql = body[:-1].decode()
                if sql == "":
                    self.send(message(b"I"), ready())
                elif sql.startswith("SELECT NULL::pg_catalog.text"):  # what does the session have? Nothing
                    self.send(complete("SELECT 0"), ready())
                elif answers_set and sql.split(" ")[0].upper() in ("SET", "RESET", "ROLLBACK", "DISCARD"):
                    self.send(complete(sql.split(" ")[0].upper()), ready())
                else:
                    return sql
            else:
                raise AssertionError(f"unexpected {letter!r} {body!r}")

    def serve(self) -> None:
        """Honestly: every query has one row, "fake"."""
        while True:
            self.next_query()
            self.send(one_row())

    def wait_closed(self) -> None:
        while True:
            self.next()


class FakePostgres:
    """Listens at once. Use it in a `with`."""

    def __init__(self, port: int, script: Callable[[Session], None]) -> None:
        self.port = port
        self.script = script
        self.errors: list[BaseException] = []
        self.sessions: list[Session] = []
        self._listener = socket.create_server((HOST, port), backlog=128)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            session = Session(connection, len(self.sessions))
            self.sessions.append(session)
            threading.Thread(target=self._run, args=(session,), daemon=True).start()

    def _run(self, session: Session) -> None:
        try:
            self.script(session)
        except (Closed, OSError):
            pass
        except BaseException as problem:  # noqa: BLE001  (shown by the test)
            self.errors.append(problem)
        finally:
            session.socket.close()

    def __enter__(self) -> "FakePostgres":
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for session in self.sessions:
            try:
                session.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(5)
        assert not self.errors, self.errors


__all__ = ["FakePostgres", "Session", "authentication", "error", "parameter", "ready", "row_description", "data_row",
           "complete", "one_row", "fields"]
