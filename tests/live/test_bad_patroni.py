"""Patroni that answers anything but the truth: no leader is believed without proof, nobody else is hurt, and it heals."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any, Iterator

import psycopg
import pytest
from kit import fake, wire
from kit.company import neighbour
from kit.fake import FakePostgres, Session
from kit.patroni import Answer, FakePatroni, http
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


def never(connection: socket.socket, path: str) -> None:
    """Takes the question and stays silent."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def dribbles(connection: socket.socket, path: str) -> None:
    for byte in b"HTTP/1.0 200 OK\r\n" + b"X-Slow: 1\r\n" * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(2000):
        connection.sendall(b"[" * 65536)


STATUS = {"state": "running", "role": "master", "server_version": 150000, "timeline": 1, "xlog": {"location": 1000},
          "patroni": {"version": "3.0.2", "scope": "fake"}}
BAD: dict[str, Answer] = {
    "HTML": http(200, "<html><body>It works!</body></html>", "text/html"),
    "HTML and 503": http(503, "<html><body>Service Unavailable</body></html>", "text/html"),
    "HTML and 404": http(404, "<html></html>", "text/html"),
    "half a JSON": http(200, json.dumps(STATUS)[:60]),
    "half of what was announced": http(200, json.dumps(STATUS))[:-40],
    "nothing": b"",
    "an empty body": http(200, ""),
    "null": http(200, "null"),
    "an array": http(200, "[1, 2, 3]"),
    "other types": http(200, json.dumps({"state": 7, "role": ["master"], "timeline": "x", "xlog": "none", "members": 5})),
    "deep": http(200, "[" * 100000),
    "not UTF-8": http(200, b'{"state": "running", "role": "master\xff\xfe"}'),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 100,
    "a redirect": b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "never": never,
    "one byte at a time": dribbles,
    "endless": endless,
}


@pytest.fixture
def patroni(place: Any, postgres: Postgres) -> Iterator[FakePatroni]:
    """Of the plain PostgreSQL, as its leader."""
    with FakePatroni(place.port(), "n1", postgres.port) as member:
        yield member


def in_front(sluices: Start, backend: str, *members: FakePatroni, **settings: Any) -> Sluice:
    urls = ",".join(member.url for member in members)
    return sluices(clusters={"main": f"patroni={urls}"}, databases={"app": "cluster=main", "*": backend}, read=True,
                   **{"failover_hold_timeout": 60, "patroni_timeout": "500ms", "patroni_poll_interval": "200ms", **settings})


def works(front: Sluice) -> bool:
    try:
        with front.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_fake_that_tells_the_truth(sluices: Start, backend: str, patroni: FakePatroni) -> None:
    front = in_front(sluices, backend, patroni)
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_no_leader_until_there_is_a_good_answer(sluices: Start, backend: str, patroni: FakePatroni, answer: Answer) -> None:
    patroni.bad = answer
    front = in_front(sluices, backend, patroni)
    with neighbour(lambda: front.connect(dbname="postgres")), Wire(front.port) as client:
        client.send(wire.startup(user="app", database="app"))
        wait_until(lambda: patroni.asked >= 3, what="questions")
        assert "leader is n1" not in front.log_text()
        patroni.bad = None
        with front.connect() as connection:  # waits until the leader is known
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("answer", [BAD[name] for name in ("HTML", "nothing", "never", "half a JSON", "binary", "endless")],
                         ids=["HTML", "nothing", "never", "half a JSON", "binary", "endless"])
def test_a_known_leader_is_kept_while_it_is_writable(sluices: Start, backend: str, patroni: FakePatroni,
                                                     answer: Answer) -> None:
    front = in_front(sluices, backend, patroni)
    with neighbour(front.connect) as client:
        patroni.bad = answer
        asked = patroni.asked
        wait_until(lambda: patroni.asked >= asked + 6, what="questions")
        client.works_on()
        patroni.bad = None
        client.works_on()


def test_who_cannot_be_reached_is_said(sluices: Start, backend: str, place: Any) -> None:
    port = place.port()
    front: Sluice = sluices(clusters={"main": f"patroni=http://127.0.0.1:{port}"}, failover_hold_timeout=2,
                            databases={"app": "cluster=main", "*": backend})
    with neighbour(lambda: front.connect(dbname="postgres")):
        with Wire(front.port) as client:
            with pytest.raises(AssertionError) as caught:
                client.login()
            error = caught.value.args[0]
        assert error["C"] == "57P03" and "Patroni" in error["D"], error
        front.wait_log("no answer")


# Leaders that are none. The servers are fakes too, which say what they are and count what they get.

class Server:
    """A fake PostgreSQL that says it is a standby or not, and how many queries of clients it was sent."""

    def __init__(self, place: Any, name: str, standby: bool, role: str = "master", timeline: int = 1) -> None:
        self.name, self.standby, self.queries = name, standby, 0
        self.postgres = FakePostgres(place.port(), self._script)
        self.patroni = FakePatroni(place.port(), name, self.postgres.port, role, timeline)

    def _script(self, session: Session) -> None:
        session.read_startup()
        session.welcome(in_hot_standby="on" if self.standby else "off")
        while True:
            session.next_query()
            self.queries += 1
            session.send(fake.one_row(self.name))

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: Any) -> None:
        self.patroni.__exit__()
        self.postgres.__exit__()


def introduce(*servers: Server) -> None:
    for server in servers:
        server.patroni.others = [each.patroni for each in servers if each is not server]


def test_a_leader_that_is_a_standby_gets_no_write(sluices: Start, backend: str, place: Any) -> None:
    with Server(place, "n1", standby=True) as one:
        front = in_front(sluices, backend, one.patroni, failover_hold_timeout=3)
        with neighbour(lambda: front.connect(dbname="postgres")), Wire(front.port) as client:
            client.send(wire.startup(user="app", database="app"))
            with pytest.raises(AssertionError):
                client.login()
        assert one.queries == 0
        one.standby = False  # promoted at last
        wait_until(lambda: answered_by(front) == "n1", 60, "the new leader's answer")


def answered_by(front: Sluice) -> str:
    try:
        with Wire(front.port) as client:
            return (client.login().ask("INSERT something")[0][0] or b"").decode()
    except (AssertionError, wire.Closed):
        return ""


@pytest.mark.parametrize("first, second, wins", [(2, 1, "n1"), (1, 2, "n2")])
def test_of_two_leaders_the_higher_timeline_wins(sluices: Start, backend: str, place: Any, first: int, second: int,
                                                 wins: str) -> None:
    with Server(place, "n1", False, timeline=first) as one, Server(place, "n2", False, timeline=second) as two:
        introduce(one, two)
        front = in_front(sluices, backend, one.patroni, two.patroni)
        for _ in range(20):
            assert answered_by(front) == wins


def test_two_leaders_of_one_timeline_are_one_too_many(sluices: Start, backend: str, place: Any) -> None:
    with Server(place, "n1", False) as one, Server(place, "n2", False) as two:
        introduce(one, two)
        front = in_front(sluices, backend, one.patroni, two.patroni, failover_hold_timeout=3)
        assert answered_by(front) == "" and one.queries + two.queries == 0
        two.patroni.role, two.standby = "replica", True
        wait_until(lambda: answered_by(front) == "n1", 60, "the one that is left")


def test_a_lower_timeline_is_not_followed(sluices: Start, backend: str, place: Any) -> None:
    """A thawed old leader that claims the lock while the new one is seen."""
    with Server(place, "n1", True, "replica", 5) as one, Server(place, "n2", False, timeline=5) as two:
        introduce(one, two)
        front = in_front(sluices, backend, one.patroni, two.patroni, failover_hold_timeout=3)
        assert answered_by(front) == "n2"
        one.patroni.role, one.patroni.timeline, one.standby = "master", 4, False
        for _ in range(20):
            assert answered_by(front) == "n2"
        assert one.queries == 0


def test_lists_of_members_of_every_kind(sluices: Start, backend: str, place: Any, patroni: FakePatroni) -> None:
    """The one good row counts; nothing else is followed anywhere."""
    rows: list[Any] = [
        {}, 7, None, [], {"name": "x" * 5000, "host": HOST_OF_NOBODY, "port": 5432, "role": "replica", "state": "running"},
        {"name": "no host", "port": 1, "role": "replica", "state": "running"},
        {"name": "bad port", "host": HOST_OF_NOBODY, "port": 99999999, "role": "replica", "state": "running"},
        {"name": "negative", "host": HOST_OF_NOBODY, "port": -1, "role": "replica", "state": "running"},
        {"name": "text", "host": HOST_OF_NOBODY, "port": "5432", "role": "replica", "state": "running"},
        {"name": "url", "host": HOST_OF_NOBODY, "port": 5432, "api_url": "file:///etc/passwd", "role": "replica"},
        *({"name": f"m{i}", "host": HOST_OF_NOBODY, "port": 1, "api_url": "http://127.0.0.1:1/patroni", "role": "replica",
           "state": "running", "timeline": 1, "lag": 0} for i in range(200)),
    ]

    def answer(connection: socket.socket, path: str) -> None:
        if path == "/cluster":
            connection.sendall(http(200, json.dumps({"members": [patroni.listed(), *rows]})))
        else:
            connection.sendall(patroni.truth(path))

    patroni.bad = answer
    front = in_front(sluices, backend, patroni)
    with neighbour(front.connect) as client:
        asked = patroni.asked
        wait_until(lambda: patroni.asked >= asked + 10, what="questions")
        client.works_on()


HOST_OF_NOBODY = "127.0.0.99"
