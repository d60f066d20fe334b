"""
A real server is lost at an exact place: before it has seen a message, or when it has done what it was asked for and its answer
is on the way. The client cannot tell the two apart, so what it is told has to be true of both: 40001 has left nothing behind,
an answer was given for what is there, and only 08007 may mean either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

import psycopg
import pytest
from conftest import Start
from kit import wire
from kit.place import Place
from kit.postgres import Postgres
from kit.relay import Cut, Relay
from kit.sessions import NAMES, open_session
from kit.sluice import Sluice
from kit.wire import COPY_DONE, FLUSH, SYNC, Wire, bind, describe, execute, fields, function_call, message, parse, query


@pytest.fixture(scope="module")
def relay(place: Place, postgres: Postgres) -> Iterator[Relay]:
    with postgres.connect(dbname="app") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS flown (v text); GRANT ALL ON flown TO app")
        connection.execute("ALTER TABLE flown OWNER TO app; GRANT CREATE ON SCHEMA public TO app")
        connection.execute("""CREATE OR REPLACE PROCEDURE fly(v text) LANGUAGE plpgsql AS
                              $$BEGIN INSERT INTO flown VALUES (v); COMMIT; PERFORM 1; END$$""")
        connection.execute("""CREATE OR REPLACE FUNCTION flies(v text) RETURNS int LANGUAGE sql AS
                              $$INSERT INTO flown VALUES (v); SELECT 1$$""")
    with Relay(place.port(), postgres.port) as between:
        yield between


@pytest.fixture(scope="module")
def front(module_sluices: Start, relay: Relay) -> Sluice:
    return module_sluices(databases={"app": f"host=127.0.0.1 port={relay.port}"}, server_tls_sslmode="disable",
                          session_tracking="names",  # what is cut is the first of its letter
                          default_pool_size=1)


INSERT = "INSERT INTO flown VALUES ('{v}')"
UNKNOWN, ABORTED, NOT_DONE = "E08007 ZI", "E40001 ZE", "E40001 ZI"


def run(sql: str, limit: int = 0) -> bytes:
    return parse("", sql) + bind() + execute("", limit)


@dataclass
class Case:
    name: str
    sends: bytes           # {v} in it is a value of its own
    cut: Cut
    hears: str             # letters; of an error with its SQLSTATE, of ReadyForQuery with its status
    rows: set[int]         # how many there may be afterwards
    first: list[str] = field(default_factory=list)  # queries before it
    begins: bytes = b""    # sent after that, and answered with one message
    then: bytes = b""      # sent when the loss was noticed
    hears_then: str = ""


def pair(name: str, sends: bytes, letter: str, answer: str, hears: str, rows: set[int], **more: Any) -> list[Case]:
    """The message of this letter not seen; done and its answer of that letter not passed on, whole or the second half of it."""
    return [Case(f"{name}: not seen", sends, Cut(letter.encode()), hears, {0}, **more),
            Case(f"{name}: not answered", sends, Cut(answer.encode(), "B"), hears, rows, **more),
            Case(f"{name}: half answered", sends, Cut(answer.encode(), "B", "half"), hears, rows, **more)]


BEGIN = ["BEGIN"]
BEGUN = ["BEGIN", INSERT]
READY = Cut(b"Z", "B")
COPY = query("COPY flown FROM STDIN")

CASES = [
    # One statement.
    *pair("insert", query(INSERT), "Q", "C", UNKNOWN, {1}),
    Case("insert: answered but for ReadyForQuery", query(INSERT), READY, "C ZI", {1}),
    *pair("vacuum", query("VACUUM flown"), "Q", "C", UNKNOWN, {0}),
    *pair("call that commits", query("CALL fly('{v}')"), "Q", "C", UNKNOWN, {1}),
    Case("call: answered", query("CALL fly('{v}')"), READY, "C ZI", {1}),
    *pair("do that commits", query("DO $$BEGIN INSERT INTO flown VALUES ('{v}'); COMMIT; END$$"), "Q", "C", UNKNOWN, {1}),
    *pair("create index concurrently", query("CREATE INDEX CONCURRENTLY ON flown (v)"), "Q", "C", UNKNOWN, {0}),
    *pair("set", query("SET work_mem = '5MB'"), "Q", "C", "C ZI", {0}),
    *pair("listen", query("LISTEN {v}"), "Q", "C", UNKNOWN, {0}),
    Case("a notice in front of the answer", query("DO $$BEGIN RAISE NOTICE 'x'; INSERT INTO flown VALUES ('{v}'); END$$"),
         Cut(b"C", "B"), "N " + UNKNOWN, {1}),
    Case("half a notice", query("DO $$BEGIN RAISE NOTICE 'x'; INSERT INTO flown VALUES ('{v}'); END$$"),
         Cut(b"N", "B", "half"), UNKNOWN, {0, 1}),
    Case("half a row", query(INSERT + " RETURNING v"), Cut(b"D", "B", "half"), "T " + UNKNOWN, {1}),
    Case("an error", query("INSERT INTO nowhere VALUES ('{v}')"), READY, "E42P01 ZI", {0}),
    # Several statements: in one transaction, unless one of them ends it.
    *pair("two statements", query(INSERT + ";" + INSERT), "Q", "C", UNKNOWN, {2}),
    Case("commit in the middle", query(f"BEGIN; {INSERT}; COMMIT; {INSERT}"), Cut(b"C", "B", "unseen", 4), "C C C " + UNKNOWN, {2}),
    # A transaction.
    *pair("insert in a transaction", query(INSERT), "Q", "C", ABORTED, {0}, first=BEGIN, then=query("ROLLBACK"), hears_then="C ZI"),
    Case("insert in a transaction: answered but for ReadyForQuery", query(INSERT), READY, "C " + ABORTED, {0}, first=BEGIN),
    *pair("savepoint", query("SAVEPOINT a"), "Q", "C", ABORTED, {0}, first=BEGUN),
    *pair("rollback to savepoint", query("ROLLBACK TO a"), "Q", "C", ABORTED, {0}, first=[*BEGUN, "SAVEPOINT a"]),
    Case("an error in a transaction", query("INSERT INTO nowhere VALUES ('{v}')"), READY, "E42P01 ZE", {0}, first=BEGUN,
         then=query("COMMIT"), hears_then="C ZI"),
    *pair("commit", query("COMMIT"), "Q", "C", UNKNOWN, {1}, first=BEGUN),
    Case("commit: answered but for ReadyForQuery", query("COMMIT"), READY, "C ZI", {1}, first=BEGUN),
    *pair("commit and chain", query("COMMIT AND CHAIN"), "Q", "C", UNKNOWN, {1}, first=BEGUN),
    *pair("rollback", query("ROLLBACK"), "Q", "C", "C ZI", {0}, first=BEGUN),
    Case("rollback: answered but for ReadyForQuery", query("ROLLBACK"), READY, "C ZI", {0}, first=BEGUN),
    *pair("prepare transaction", query("PREPARE TRANSACTION '{v}'"), "Q", "C", UNKNOWN, {0}, first=BEGUN),
    *pair("commit prepared", query("COMMIT PREPARED '{v}'"), "Q", "C", UNKNOWN, {1}, first=[*BEGUN, "PREPARE TRANSACTION '{v}'"]),
    # FunctionCall: it commits behind its answer.
    *pair("function call", b"FLIES", "F", "V", UNKNOWN, {0, 1}),
    Case("function call: answered", b"FLIES", READY, "V " + UNKNOWN, {1}),
    # COPY.
    Case("copy in, data under way", message(b"d", b"{v}\n"), Cut(b"d"), NOT_DONE, {0}, begins=COPY),
    Case("copy in, the end not seen", message(b"d", b"{v}\n") + COPY_DONE, Cut(b"c"),
         UNKNOWN, {0}, begins=COPY),
    Case("copy in, not answered", message(b"d", b"{v}\n") + COPY_DONE, Cut(b"C", "B"),
         UNKNOWN, {1}, begins=COPY),
    Case("copy in, answered but for ReadyForQuery", message(b"d", b"{v}\n") + COPY_DONE, READY,
         "C ZI", {1}, begins=COPY),
    Case("copy in of a transaction", message(b"d", b"{v}\n") + COPY_DONE, Cut(b"C", "B"),
         ABORTED, {0}, first=BEGIN, begins=COPY),
    Case("copy out in the middle of its data", query("COPY (SELECT generate_series(1, 5)) TO STDOUT"),
         Cut(b"d", "B", "unseen", 3), "H d d", {0}),
    # The extended protocol: the Sync commits.
    Case("execute not seen", run(INSERT) + SYNC, Cut(b"E"), UNKNOWN, {0}),
    Case("sync not seen", run(INSERT) + SYNC, Cut(b"S"), UNKNOWN, {0}),
    Case("synced, not answered", run(INSERT) + SYNC, Cut(b"1", "B"), UNKNOWN, {1}),
    Case("synced, answered but for ReadyForQuery", run(INSERT) + SYNC, READY, "1 2 C " + UNKNOWN, {1}),
    Case("flushed, answered", run(INSERT) + FLUSH, Cut(b"C", "B", "passed"), "1 2 C", {0}, then=SYNC, hears_then=NOT_DONE),
    Case("flushed, answered in part", run(INSERT) + FLUSH, Cut(b"C", "B"), "1 2 E40001", {0}, then=SYNC, hears_then="ZI"),
    Case("flushed, and more behind it", run(INSERT) + FLUSH, Cut(b"C", "B", "passed"), "1 2 C", {0}, then=run(INSERT) + SYNC,
         hears_then=NOT_DONE),
    Case("flushed, and a Query that would commit it", run(INSERT) + FLUSH, Cut(b"C", "B", "passed"), "1 2 C", {0},
         then=query("SELECT 1"), hears_then=NOT_DONE),
    Case("a suspended portal", run("SELECT generate_series(1, 5)", 2) + FLUSH, Cut(b"s", "B", "passed"), "1 2 D D s", {0},
         then=execute("", 2) + SYNC, hears_then=NOT_DONE),
    Case("a suspended portal of a transaction", run("SELECT generate_series(1, 5)", 2) + SYNC, Cut(b"Z", "B", "passed"),
         "1 2 D D s ZT", {0}, first=BEGUN, then=execute("", 2) + SYNC, hears_then=ABORTED),
    Case("only described", parse("", INSERT) + describe("S") + SYNC, Cut(b"1", "B"), "1 t n ZI", {0}),
    Case("extended commit, answered in part", run("COMMIT") + SYNC, Cut(b"C", "B"), "1 2 " + UNKNOWN, {1}, first=BEGUN),
    Case("extended commit, answered but for ReadyForQuery", run("COMMIT") + SYNC, READY, "1 2 C ZI", {1}, first=BEGUN),
    Case("extended rollback, answered in part", run("ROLLBACK") + SYNC, Cut(b"C", "B"), "1 2 " + NOT_DONE, {0}, first=BEGUN),
    Case("commit, answered for a Flush", run("COMMIT") + FLUSH, Cut(b"C", "B", "passed"), "1 2 C", {1}, first=BEGUN, then=SYNC,
         hears_then="ZI"),
    Case("rollback, answered for a Flush", run("ROLLBACK") + FLUSH, Cut(b"C", "B", "passed"), "1 2 C", {0}, first=BEGUN,
         then=SYNC, hears_then="ZI"),
    Case("an error in front of its Sync", run("INSERT INTO nowhere VALUES (1)") + FLUSH, Cut(b"E", "B", "passed"), "E42P01", {0},
         then=run(INSERT) + SYNC, hears_then="ZI"),
    # Pipelines.
    Case("the second of three requests", (run(INSERT) + SYNC) * 3, Cut(b"Z", "B", "unseen", 2),
         f"1 2 C ZI 1 2 C {UNKNOWN} {UNKNOWN}", {2, 3}),
    Case("a transaction in a pipeline", run("BEGIN") + SYNC + (run(INSERT) + SYNC) * 2, Cut(b"Z", "B", "unseen", 2),
         f"1 2 C ZT 1 2 C {ABORTED} E25P02 ZE", {0}, then=query("ROLLBACK"), hears_then="C ZI"),
    Case("a transaction in a pipeline, with its end", run("BEGIN") + SYNC + run(INSERT) + SYNC + run("COMMIT") + SYNC,
         Cut(b"Z", "B", "unseen", 2), f"1 2 C ZT 1 2 C {UNKNOWN} {UNKNOWN}", {0, 1}),
    Case("a request that failed, and one behind it", run("INSERT INTO nowhere VALUES (1)") + SYNC + run(INSERT) + SYNC, READY,
         f"E42P01 ZI {UNKNOWN}", {0, 1}),
]


def summary(answer: list[wire.Message]) -> str:
    more = {b"E": lambda body: fields(body)["C"], b"Z": lambda body: body.decode()}
    return " ".join(letter.decode() + more.get(letter, lambda _: "")(body) for letter, body in answer if letter != b"S")


def hear(client: Wire, wanted: str) -> str:
    """As much as is wanted, and no more."""
    answer: list[wire.Message] = []
    while len(summary(answer).split()) < len(wanted.split()):
        answer.append(client.next())
    return summary(answer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_told_is_true(front: Sluice, relay: Relay, postgres: Postgres, case: Case) -> None:
    value = f"v{CASES.index(case):02}"  # as long as {v}: there are lengths in what is sent
    sends = case.sends
    if sends == b"FLIES":
        sends = function_call(postgres.sql("SELECT 'flies(text)'::regprocedure::oid", dbname="app")[0][0], value.encode())
    with Wire(front.port).login() as client:
        for sql in case.first:
            client.ask(sql.replace("{v}", value))
        if case.begins:
            client.send(case.begins).next()
        since = len(front.log_text())
        relay.arm(case.cut)
        client.send(fill(sends, value))
        assert hear(client, case.hears) == case.hears
        relay.wait()
        if case.then:
            front.wait_log("its server .* is lost", since)
            client.send(fill(case.then, value))
            assert hear(client, case.hears_then) == case.hears_then
        if case.name.startswith("copy out"):
            assert summary(client.ready()) in (UNKNOWN, NOT_DONE)
        elif "ZE" in (case.hears + case.hears_then).split()[-1]:
            assert summary(client.send(query("ROLLBACK")).ready()) == "C ZI"
        assert client.ask("SELECT 1") == [[b"1"]]  # and nothing is left unread
    left = rows(postgres, value)
    assert left in case.rows, f"{case.hears}, and {left} rows"


def fill(sends: bytes, value: str) -> bytes:
    return sends.replace(b"{v}", value.encode())


# Drivers: by their own commit() and rollback() their connection is good for more.

@pytest.mark.parametrize("name", NAMES)
def test_drivers_go_on(place: Place, front: Sluice, relay: Relay, postgres: Postgres, name: str) -> None:
    session = open_session(name, place, front)
    value = name.replace(" ", "_")
    insert = f"INSERT INTO flown VALUES ('{value}')"

    def say(what: str, answer: str) -> None:
        got = session.say(what)
        assert got == answer, f"{what}: {got}"

    def begin_and_lose() -> None:
        say("begin", "ok")
        say("one " + insert, "ok")
        pid = session.say("one SELECT pg_backend_pid()")
        assert postgres.sql("SELECT pg_terminate_backend(%s, 10000)", int(pid.split()[1])) == [(True,)]

    try:
        say("one SELECT 1", "ok 1")
        begin_and_lose()
        say("one " + insert, "no 40001")
        say("rollback", "ok")
        say("one SELECT 1", "ok 1")
        begin_and_lose()
        say("rollback", "ok")
        say("one SELECT 1", "ok 1")
        begin_and_lose()
        say("commit", "no 40001")
        session.say("rollback")  # some have done it themselves
        say("one SELECT 1", "ok 1")
        assert rows(postgres, value) == 0

        relay.arm(Cut(b"C", "B"))
        say("one " + insert, "no 08007")
        say("one SELECT 1", "ok 1")
        assert rows(postgres, value) == 1
        say("begin", "ok")
        say("one " + insert, "ok")
        relay.arm(Cut(b"C", "B"))
        say("commit", "no 08007")
        session.say("rollback")
        say("one SELECT 1", "ok 1")
        assert rows(postgres, value) == 2
        say("begin", "ok")
        say("one " + insert, "ok")
        say("commit", "ok")
        assert rows(postgres, value) == 3
    finally:
        session.close()


def rows(postgres: Postgres, value: str) -> int:
    found: int = postgres.sql("SELECT count(*) FROM flown WHERE v = %s", value, dbname="app")[0][0]
    return found


def test_a_pipeline_of_psycopg_that_has_read_its_row(front: Sluice, postgres: Postgres) -> None:
    """Outside of a transaction, the Sync still to come. libpq takes an error now for a notice: it must not come before that."""
    with front.connect() as connection:
        with pytest.raises(psycopg.errors.SerializationFailure):
            with connection.pipeline():
                since = len(front.log_text())
                row = connection.execute("INSERT INTO flown VALUES ('read') RETURNING pg_backend_pid()").fetchone()
                assert row and postgres.sql("SELECT pg_terminate_backend(%s, 10000)", row[0]) == [(True,)]
                front.wait_log("its server .* is lost: not yet to be committed", since)
                connection.execute("INSERT INTO flown VALUES ('read')")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert rows(postgres, "read") == 0


def test_what_concerns_one_session_is_passed_on(front: Sluice) -> None:
    with Wire(front.port).login() as client, front.connect() as other:
        client.ask("BEGIN")
        client.ask("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
        error = client.refused()
        assert (error["S"], error["C"]) == ("FATAL", "25P03")
        assert other.execute("SELECT 1").fetchone() == (1,)
