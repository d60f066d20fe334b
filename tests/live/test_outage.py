"""
The clients of bench/failover are believed when they say that nothing was lost, doubled or answered wrongly. Here somebody sits
between them and PostgreSQL who does one of these things now and then: they have to say so.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from typing import Any, Callable, Iterator

import psycopg
import pytest
from kit.fake import complete, error, ready
from kit.place import CHECKOUT, HOST, Place
from kit.postgres import PASSWORD, Postgres
from kit.wire import message

sys.path.insert(0, str(CHECKOUT / "bench"))

from outage import ledger, table  # noqa: E402  (needs the path above)
from outage.clients import Endpoint, Load, Mix  # noqa: E402
from outage.ledger import Report, Verdict, check_rows  # noqa: E402

EVERY = 10  # of the answers that a fault is for, one is spoilt


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Postgres]:
    own = Postgres(place, "outage")
    own.add_user("app")
    own.sql("CREATE DATABASE app OWNER app")
    ledger.make_table(lambda: own.connect(dbname="app"), "app")
    yield own
    own.stop()


class Session:
    """One connection through the middle."""

    def __init__(self, middle: "Middle", near: socket.socket, far: socket.socket) -> None:
        self.middle, self.near, self.far = middle, near, far
        self.query = ""  # asked last
        self.is_ready = False
        for name, work in (("up", self._up), ("down", self._down)):
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, EOFError):
            pass
        finally:
            self.end()

    def end(self) -> None:
        for each in (self.near, self.far):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _up(self) -> None:
        source = self.near.makefile("rb")
        size = exactly(source, 4)
        self.far.sendall(size + exactly(source, struct.unpack("!i", size)[0] - 4))
        while True:
            letter, body = next_message(source)
            if letter == b"Q":
                self.query = body[:-1].decode()
            self.far.sendall(message(letter, body))

    def _down(self) -> None:
        source = self.far.makefile("rb")
        while True:
            letter, body = next_message(source)
            spoil = self.is_ready and not self.query.startswith("DELETE")
            self.is_ready |= letter == b"Z"
            self.near.sendall(self.middle.fault(self, letter, body) if spoil else message(letter, body))


class Middle:
    """Passes everything on, but for what `spoils` makes of some messages of the server."""

    def __init__(self, port: int, server: Postgres, spoils: "Spoils") -> None:
        self.port, self.server, self.spoils = port, server, spoils
        self.done = 0  # faults
        self._seen = 0
        self._lock = threading.Lock()
        self.own = server.connect(dbname="app")
        self._listener = socket.create_server((HOST, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            Session(self, near, socket.create_connection((HOST, self.server.port)))

    def fault(self, session: Session, letter: bytes, body: bytes) -> bytes:
        with self._lock:
            found = self.spoils(session, letter, body)
            if found is None:
                return message(letter, body)
            self._seen += 1
            if self._seen % EVERY:
                return message(letter, body)
            self.done += 1
            return found()

    def __enter__(self) -> "Middle":
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.own.close()


# What it makes of a message of the server: None, or how to make something else of it.
Spoils = Callable[[Session, bytes, bytes], "Callable[[], bytes] | None"]


def exactly(source: Any, size: int) -> bytes:
    found: bytes = source.read(size)
    if len(found) < size:
        raise EOFError
    return found


def next_message(source: Any) -> tuple[bytes, bytes]:
    head = exactly(source, 5)
    return head[:1], exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def is_insert(session: Session) -> bool:
    return session.query.startswith("INSERT")


def runs_it_twice(session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
    def twice() -> bytes:
        session.middle.own.execute(session.query.encode())
        return message(letter, body)

    return twice if is_insert(session) and letter == b"Z" and body == b"I" else None


def takes_the_row_away(session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
    def away() -> bytes:
        values = session.query.split("VALUES (")[1].split(")")[0]
        session.middle.own.execute(f"DELETE FROM outage_rows WHERE (run, client, turn) = ({values})".encode())
        return message(letter, body)

    return away if is_insert(session) and letter == b"Z" and body == b"I" else None


def says_that_it_was_not_done(session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
    return (lambda: error("40001", "not done") + ready()) if is_insert(session) and letter == b"Z" and body == b"I" else None


class Swaps:
    """Two clients get the row of the other one: of the first it is kept until the second has its own."""

    def __init__(self) -> None:
        self.before = b""

    def __call__(self, session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
        if letter != b"D":
            return None
        before, self.before = self.before, message(letter, body)
        return (lambda: before) if before else None


def ends_the_connection(session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
    def end() -> bytes:
        session.end()
        return b""

    return end if is_insert(session) and letter == b"T" else None


def swallows_it(session: Session, letter: bytes, body: bytes) -> Callable[[], bytes] | None:
    return (lambda: b"") if is_insert(session) and letter == b"Z" else None


def instead(of: bytes, *bodies: bytes, what: Callable[[bytes, bytes], bytes]) -> Spoils:
    return lambda session, letter, body: (lambda: what(letter, body)) if letter == of and (not bodies or body in bodies) else None


def work(server: Postgres, place: Place, spoils: Spoils, least: int = 2, **mix: int) -> tuple[Report, Verdict]:
    """Until there were some faults."""
    with Middle(place.port(), server, spoils) as middle:
        where = (HOST, middle.port)
        with Load(Endpoint(where, where, "app", PASSWORD, "app"), Mix.none(**mix), rate=50, stuck_after=2) as load:
            while middle.done < least:
                load.wait(5)
            report = load.stop()
    return report, check_rows({"it": lambda: server.connect(dbname="app")}, report)


def test_nothing_is_found_where_nothing_is_wrong(server: Postgres, place: Place) -> None:
    where = (HOST, server.port)
    mix = Mix(**{name: 2 for name in Mix.none().__dict__})
    with Load(Endpoint(where, where, "app", PASSWORD, "app"), mix, rate=50) as load:
        assert load.mark("begun") > 0
        load.wait(400)
        load.wait(100, "reads")
        report = load.stop()
    assert {name for name, kind in report.kinds.items() if not kind.done or kind.clients != 2} == set(), report.kinds
    assert not report.complaints and not report.stale and not report.errors() and not report.refused(), report
    verdict = check_rows({"it": lambda: server.connect(dbname="app")}, report)
    assert verdict.is_good and verdict.acknowledged >= 400 and not verdict.unknown, verdict
    assert Report.from_json(report.to_json()) == report


def test_a_row_that_is_written_twice(server: Postgres, place: Place) -> None:
    report, verdict = work(server, place, runs_it_twice, writers=3)
    assert verdict.doubled >= 2 and not verdict.lost and "more than once" in verdict.details[0], verdict
    assert not report.complaints, report.complaints


def test_an_acknowledged_row_that_vanishes(server: Postgres, place: Place) -> None:
    report, verdict = work(server, place, takes_the_row_away, writers=3, lookups=4)
    assert verdict.lost >= 2 and not verdict.doubled and "not there" in verdict.details[0], verdict
    assert not report.complaints, report.complaints


def test_a_row_that_is_there_although_its_client_was_told_otherwise(server: Postgres, place: Place) -> None:
    report, verdict = work(server, place, says_that_it_was_not_done, writers=3)
    assert verdict.undone_but_there == report.errors()["40001"] >= 2 and "told as not done" in verdict.details[0], verdict
    assert not verdict.lost and not report.complaints, (verdict, report.complaints)


def test_rows_of_a_client_that_never_was(server: Postgres, place: Place) -> None:
    report, _ = work(server, place, swallows_it, 0, writers=1)
    server.sql(f"INSERT INTO outage_rows (run, client, turn) VALUES ('{report.run}', 'writer1', 100000)", dbname="app")
    verdict = check_rows({"it": lambda: server.connect(dbname="app")}, report)
    assert verdict.strangers == 1 and "written by nobody" in verdict.details[0], verdict


@pytest.mark.parametrize("name, spoils, says", [
    ("the row of another client", Swaps(), "in answer to"),
    ("another number of rows", instead(b"C", what=lambda letter, body: complete("INSERT 0 2")), "'INSERT 0 2' in answer"),
    ("a row too many", instead(b"D", what=lambda letter, body: 2 * message(letter, body)), "came where"),
    ("a row too few", instead(b"D", what=lambda letter, body: b""), "came where"),
    ("another status", instead(b"Z", b"I", what=lambda letter, body: ready("T")), "status 'T'"),
    ("no transaction any more", instead(b"Z", b"T", what=lambda letter, body: ready("I")), "status 'I'"),
    ("a second ReadyForQuery", instead(b"Z", what=lambda letter, body: 2 * ready(body.decode())), "that nobody waits for"),
    ("an error without its place", instead(b"C", what=lambda letter, body: message(letter, body) + error("XX000", "?")
                                           + message(letter, body)), "came"),
])
def test_answers_that_are_wrong(server: Postgres, place: Place, name: str, spoils: Spoils, says: str) -> None:
    report, _ = work(server, place, spoils, writers=3, blocks=3)
    assert report.wrong_count >= 2 and any(says in each for each in report.wrong), report.wrong[:3] + report.samples


def test_connections_that_end(server: Postgres, place: Place) -> None:
    report, verdict = work(server, place, ends_the_connection, writers=3)
    kind = report.kinds["writer"]
    assert kind.connections_lost >= 2 and kind.logins >= 5 and kind.errors == {"connection lost": kind.connections_lost}, kind
    assert verdict.is_good and verdict.unknown == kind.connections_lost and not report.complaints, (verdict, report.complaints)


def test_a_client_that_gets_no_answer(server: Postgres, place: Place) -> None:
    report, verdict = work(server, place, swallows_it, 1, writers=3)
    assert report.stuck and "neither an answer nor an error" in report.stuck[0], report.stuck
    assert verdict.is_good and verdict.unknown >= 1, verdict


def test_a_server_that_is_not_there(place: Place) -> None:
    where = (HOST, place.port())
    with Load(Endpoint(where, where, "app", PASSWORD, "app"), Mix.none(writers=2), rate=50) as load:
        assert load.counts() == {}
        report = load.stop()
    assert report.refused()["refused"] >= 2 and not report.complaints
    whole = report.stopped - report.started
    assert report.gaps["writes"].longest == report.kinds["writer"].worst_gap == whole > 0, report


def test_the_table_says_who_is_behind() -> None:
    def turn(program: str, gap: float, **errors: int) -> table.Outcome:
        report = Report(marks=[[1.0, "it"]], gaps={"writes": ledger.Gaps(gaps=[[2.0, 2.0 + gap]], nodes={"a:1": [2.0, 2.0 + gap]})},
                        kinds={"writer": ledger.Kind(errors=errors)})
        return table.outcome("killed", program, report, Verdict(), 2.5, "a:1")

    turns = [turn("pgsluice", 3.0, **{"08007": 12}), turn("pgsluice", 4.0, **{"08007": 14}), turn("pair", 9.0, **{"57P01": 1})]
    assert table.behind(turns) == ["killed, errors: writers: pgsluice 13 (14): 08007 26, pair 1: 57P01 1"]
    shown = table.terminal(turns, {"killed": "The leader is killed"})
    assert max(map(len, shown.splitlines())) <= table.WIDTH and "The leader is killed" in shown
    assert "| longest gap, writes | 3.50 s (4.00) | 9.00 s | ahead |" in table.markdown(turns)
    assert "| new leader writable to first write | 3.00 s (3.50) | 8.50 s | ahead |" in table.markdown(turns)
    assert table.from_json(table.to_json(turns)) == turns
