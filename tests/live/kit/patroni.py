"""
patroni.py - members' REST API by hand: honest about a server of ours, or anything else that can come out of a TCP port.

Source: Patroni 3.0.2, "Patroni REST API".
"""

from __future__ import annotations

import json
import socket
import threading
from typing import Any, Callable

from .place import HOST

Answer = bytes | Callable[[socket.socket, str], None]


def http(status: int, body: str | bytes, kind: str = "application/json") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return (f"HTTP/1.0 {status} Something\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


class FakePatroni:
    """One member. `.bad` is what it answers to everything; None: the truth. Use it in a `with`."""

    def __init__(self, port: int, name: str, server_port: int, role: str = "master", timeline: int = 1) -> None:
        self.port, self.name, self.server_port = port, name, server_port
        self.role, self.timeline, self.state = role, timeline, "running"
        self.location = 1000
        self.more: dict[str, Any] = {}  # of its status: tags, sync_standby, ...
        self.others: list["FakePatroni"] = []
        self.bad: Answer | None = None
        self.switchover: Callable[[dict[str, Any]], bytes | None] = lambda order: http(503, "Switchover failed", "text/plain")
        self.asked = 0
        self._listener = socket.create_server((HOST, port), backlog=128)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(60)
                request = b""
                while b"\r\n\r\n" not in request:
                    more = connection.recv(65536)
                    if not more:
                        return
                    request += more
                path = request.split(b" ")[1].decode()
                self.asked += 1
                bad = self.bad
                if bad is None and request.startswith(b"POST /switchover"):
                    self._answer_order(connection, request)
                    return
                if callable(bad):
                    bad(connection, path)
                else:
                    connection.sendall(bad if bad is not None else self.truth(path))
            except OSError:
                pass

    def _answer_order(self, connection: socket.socket, request: bytes) -> None:
        """An empty one is refused, as Patroni does; None as an answer: silence until the other side goes."""
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(65536)
        order = json.loads(body)
        answer = self.switchover(order) if order else http(400, "Switchover could be performed only from a specific leader", "text/plain")
        if answer is None:
            connection.recv(1)
        else:
            connection.sendall(answer)

    def truth(self, path: str) -> bytes:
        if path == "/cluster":
            members = [member.listed() for member in [self, *self.others]]
            return http(200, json.dumps({"members": members, "scope": "fake"}))
        is_leader = self.role == "master"
        body = {"state": self.state, "role": self.role, "server_version": 150000, "timeline": self.timeline,
                "xlog": {"location": self.location} if is_leader else
                {"received_location": self.location, "replayed_location": self.location},
                "patroni": {"version": "3.0.2", "scope": "fake", "name": self.name}, **self.more}
        body = {key: value for key, value in body.items() if value is not None}
        return http(200 if is_leader or path != "/primary" else 503, json.dumps(body))

    def listed(self) -> dict[str, Any]:
        return {"name": self.name, "role": "leader" if self.role == "master" else self.role, "state": self.state,
                "api_url": f"{self.url}/patroni", "host": HOST, "port": self.server_port, "timeline": self.timeline,
                **({} if self.role == "master" else {"lag": 0})}

    def __enter__(self) -> "FakePatroni":
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
