"""Servers that do what no server does: the connection goes, the client hears one clear error, others notice nothing."""

from __future__ import annotations

import base64
import struct
import threading
import time
from typing import Any, Callable

import psycopg
import pytest
from kit import fake, wire
from kit.company import neighbour
from kit.fake import FakePostgres, Session
from kit.place import HOST, wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
Script = Callable[[Session], None]


class Scene:
    """A fake server as database "bad", the real one as every other, and a well-behaved client on that."""

    def __init__(self, sluices: Start, backend: str, script: Script, **settings: Any) -> None:
        port = _place(sluices).port()
        self.fake = FakePostgres(port, script)
        self.front: Sluice = sluices(databases={"bad": f"host={HOST} port={port}", "*": backend},
                                     **{"query_wait_timeout": 20, "server_login_retry": "200ms", **settings})
        self._neighbour = neighbour(self.front.connect)

    def __enter__(self) -> "Scene":
        self._neighbour.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._neighbour.__exit__(*problem)
        self.fake.__exit__()

    def client(self) -> Wire:
        return Wire(self.front.port)

    def login(self) -> Wire:
        return self.client().login(database="bad")

    def refused_login(self) -> dict[str, str]:
        with self.client() as client:
            with pytest.raises(AssertionError) as caught:
                client.login(database="bad")
            fields: dict[str, str] = caught.value.args[0]
            return fields


def _place(sluices: Start) -> Any:
    return sluices.place


def answering(answer: Callable[[Session], None]) -> Script:
    """Logs in honestly, serves the login of the client, and answers the first query of a client by `answer`."""
    def script(session: Session) -> None:
        session.login()
        while True:
            sql = session.next_query()
            if "please" in sql:
                answer(session)
                session.wait_closed()
            else:
                session.send(fake.one_row())

    return script


def test_a_fake_server_is_good_enough(sluices: Start, backend: str) -> None:
    with Scene(sluices, backend, lambda session: (session.login(), session.serve())[0]) as scene:
        with scene.login() as client:
            assert client.ask("SELECT anything") == [[b"fake"]]


OUT_OF_TURN: dict[str, bytes] = {
    "a second CommandComplete": fake.one_row()[:-6] + fake.complete("SELECT 1") + fake.ready() + fake.complete("SELECT 1"),
    "ParseComplete for a Query": wire.message(b"1") + fake.one_row(),
    "authentication in the middle": fake.authentication(0) + fake.one_row(),
    "a key in the middle": wire.message(b"K", struct.pack("!ii", 1, 2)) + fake.one_row(),
    "two answers": fake.one_row() + fake.one_row(),
    "a row behind the end": fake.one_row() + fake.data_row("whose?"),
    "ReadyForQuery with a strange state": fake.one_row()[:-6] + fake.ready("X"),
    "an unknown letter": wire.message(b"!", b"x") + fake.one_row(),
    "a length of 3": b"D" + struct.pack("!i", 3) + b"xxxx",
    "a negative length": b"D" + struct.pack("!i", -5) + b"xxxx",
    "bytes that are no message": b"\xff\xfe\xfd\xfc\xfb" * 100,
    "HTML": b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>",
    "CopyBoth": wire.message(b"W", b"\0\0\0"),
    "an ErrorResponse without end": wire.message(b"E", b"SERROR"),
    "a ParameterStatus without end": wire.message(b"S", b"TimeZone"),
    "an oversized CommandComplete": b"C" + struct.pack("!i", 1 << 28) + b"x" * 100,
}


@pytest.mark.parametrize("answer", OUT_OF_TURN.values(), ids=OUT_OF_TURN.keys())
def test_a_server_that_speaks_out_of_turn(sluices: Start, backend: str, answer: bytes) -> None:
    with Scene(sluices, backend, answering(lambda session: session.send(answer))) as scene:
        with scene.login() as client:
            client.send(wire.query("SELECT please"))
            client.socket.settimeout(20)
            if answer[-6:-5] == b"Z" or b"Z\0\0\0\x05I" in answer:
                # It may have been right up to there: then the client got its one answer, and only that one.
                heard = client.until(b"Z", b"E")
                assert len([1 for letter, _ in heard if letter == b"D"]) <= 1
            else:
                assert client.refused()["C"].startswith("08")
        wait_until(lambda: "protocol violation" in scene.front.log_text(), what="a line in the log")
        with scene.login() as client:  # by another server connection
            assert client.ask("SELECT next") == [[b"fake"]]


def test_what_nobody_asked_for_while_idle(sluices: Start, backend: str) -> None:
    """A row out of the blue, from a server that belongs to nobody at that moment."""
    asked = threading.Event()

    def script(session: Session) -> None:
        session.login()
        session.next_query()
        session.send(fake.one_row())
        if session.number == 0:
            asked.wait(60)
            session.send(fake.data_row("for nobody"))
        session.serve()

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        assert client.ask("SELECT 1") == [[b"fake"]]
        asked.set()
        scene.front.wait_log("protocol violation")
        assert client.ask("SELECT 2") == [[b"fake"]]
        assert b"for nobody" not in b"".join(body for _, body in client.heard)


def test_notices_and_parameters_may_come_at_any_time(sluices: Start, backend: str) -> None:
    def script(session: Session) -> None:
        session.login()
        session.send(wire.message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"), fake.parameter("TimeZone", "Asia/Tokyo"),
                     wire.message(b"A", struct.pack("!i", 1) + b"channel\0payload\0"))
        session.serve()

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        assert client.ask("SELECT 1") == [[b"fake"]]


@pytest.mark.parametrize("size, stays", [(20, True), (20000, False)], ids=["a small one", "a large one"])
def test_a_server_that_closes_in_the_middle_of_a_row(sluices: Start, backend: str, size: int, stays: bool) -> None:
    """As long as nothing of it was passed on, there is a place for an error."""
    whole = fake.one_row("x" * size + "the end")

    def script(session: Session) -> None:
        session.login()
        if session.number % 2 == 0:
            session.next_query()
            session.send(whole[:-25])
        else:
            session.serve()

    with Scene(sluices, backend, script) as scene:
        with scene.login() as client:
            client.send(wire.query("INSERT please"))
            if stays:
                assert client.error()["C"] == "08007" and client.ask("SELECT next") == [[b"fake"]]
            else:
                client.closed()
            assert b"the end" not in b"".join(body for _, body in client.heard)
        with scene.login() as client:
            assert client.ask("SELECT next") == [[b"fake"]]


def test_a_server_that_closes_between_answers(sluices: Start, backend: str) -> None:
    """The connection broke while the query ran: nobody knows whether it did anything."""
    def script(session: Session) -> None:
        session.login()
        session.next_query()

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        error = client.send(wire.query("INSERT something")).error()
        assert error["C"] == "08007" and "not known" in error["M"]


def test_fatal_errors_come_through(sluices: Start, backend: str) -> None:
    def script(session: Session) -> None:
        session.login()
        session.next_query()
        session.send(fake.error("53200", "out of memory", "FATAL"))

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        assert client.send(wire.query("SELECT 1")).refused()["C"] == "53200"


def test_a_server_that_goes_takes_no_client_with_it(sluices: Start, backend: str) -> None:
    def script(session: Session) -> None:
        session.login()
        session.next_query()
        session.send(fake.error("57P01", "terminating connection due to administrator command", "FATAL"))

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        error = client.send(wire.query("INSERT something")).error()
        assert (error["C"], error["D"]) == ("08007", "The server said: terminating connection due to administrator command")


# Logins.

def failing(*said: bytes, then: Callable[[Session], None] | None = None) -> Script:
    """Fails the first three logins, is honest afterwards."""
    def script(session: Session) -> None:
        session.read_startup()
        if session.number >= 3:
            session.welcome()
            session.serve()
        session.send(*said)
        if then:
            then(session)

    return script


REFUSALS: dict[str, tuple[Script, str, str]] = {
    # what the server does, SQLSTATE, words of the message
    "too many": (failing(fake.error("53300", "sorry, too many clients already", "FATAL")), "53300", "too many clients"),
    "no such database": (failing(fake.error("3D000", 'database "bad" does not exist', "FATAL")), "3D000", "does not exist"),
    "wrong password": (failing(fake.error("28P01", "password authentication failed", "FATAL")), "28P01", "password"),
    "Kerberos": (failing(fake.authentication(2), then=Session.wait_closed), "28000", "Kerberos"),
    "GSSAPI": (failing(fake.authentication(7), then=Session.wait_closed), "28000", "GSSAPI"),
    "unknown kind": (failing(fake.authentication(99), then=Session.wait_closed), "28000", "99"),
    "unknown mechanism": (failing(fake.authentication(10, b"SCRAM-SHA-512\0\0"), then=Session.wait_closed), "28000",
                          "SCRAM-SHA-512"),
    "HTML": (failing(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html><body>Bad</body></html>\r\n"),
             "08P01", ""),
    "garbage": (failing(b"\xff" * 4000), "08P01", "protocol"),
    "an early row": (failing(fake.authentication(0), fake.data_row("x"), then=Session.wait_closed), "08P01", "unexpected"),
    "ready without authentication": (failing(fake.ready(), then=Session.wait_closed), "08P01", "unexpected"),
    "an ErrorResponse without end": (failing(wire.message(b"E", b"SFATAL")), "08P01", "malformed"),
    "an endless ParameterStatus": (failing(fake.authentication(0), b"S" + struct.pack("!i", 1 << 24) + b"x" * 70000), "08P01",
                                   "protocol"),
}


@pytest.mark.parametrize("script, sqlstate, words", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_server_that_refuses_the_login(sluices: Start, backend: str, script: Script, sqlstate: str, words: str) -> None:
    with Scene(sluices, backend, script, query_wait_timeout=60) as scene:
        error = scene.refused_login()
        assert error["C"] == sqlstate and words in error["M"], error
        wait_until(lambda: serves(scene), 60, "recovery once the server lets in")


def serves(scene: Scene) -> bool:
    try:
        with scene.login() as client:
            return client.ask("SELECT 1") == [[b"fake"]]
    except (AssertionError, wire.Closed):
        return False


def test_a_server_that_closes_during_the_login(sluices: Start, backend: str) -> None:
    for said in (b"", fake.authentication(0), fake.authentication(0) + fake.parameter("TimeZone", "UTC")[:9]):
        with Scene(sluices, backend, failing(said)) as scene:
            assert scene.refused_login()["C"].startswith("08")
            wait_until(lambda: serves(scene), 60, "recovery")


def test_a_server_that_never_answers_the_login(sluices: Start, backend: str) -> None:
    with Scene(sluices, backend, failing(b"", then=Session.wait_closed), server_connect_timeout=1) as scene:
        error = scene.refused_login()
        assert "server_connect_timeout" in error["M"]
        wait_until(lambda: serves(scene), 60, "recovery")


def test_a_server_that_answers_an_sslrequest_with_more_than_a_letter(sluices: Start, backend: str) -> None:
    """Whoever sits in between could have put it there."""
    def script(session: Session) -> None:
        session.exactly(8)
        session.send(b"N" + fake.authentication(0))
        session.wait_closed()

    with Scene(sluices, backend, script) as scene:
        assert "SSLRequest" in scene.refused_login()["M"]


def test_a_server_that_cannot_prove_itself(sluices: Start, backend: str) -> None:
    """It takes every proof, and shows a wrong signature: somebody who does not know the password."""
    def script(session: Session) -> None:
        session.read_startup()
        session.send(fake.authentication(10, b"SCRAM-SHA-256\0\0"))
        _, body = session.next()
        client_nonce = body[body.index(b"r=") + 2:]
        session.send(fake.authentication(11, b"r=" + client_nonce + b"server,s=" + base64.b64encode(b"s" * 16) + b",i=4096"))
        session.next()
        session.send(fake.authentication(12, b"v=" + base64.b64encode(b"x" * 32)))
        session.welcome()
        session.serve()

    with Scene(sluices, backend, script) as scene:
        error = scene.refused_login()
        assert error["C"] == "28000", error
        assert "fake" not in error["M"]


@pytest.mark.parametrize("challenge", [
    b"", b"r=", b"r=short,s=AAAA,i=4096", b"r=%s,s=AAAA,i=0", b"r=%s,s=AAAA,i=-1", b"r=%s,s=!!!!,i=4096", b"r=%sx,i=4096",
    b"r=%sx,s=AAAA,i=99999999999999999999", b"e=other-error", b"\0\0\0", b"r=%sx,s=AAAA,i=2000000000"])
def test_scram_challenges_of_every_kind(sluices: Start, backend: str, challenge: bytes) -> None:
    def script(session: Session) -> None:
        session.read_startup()
        session.send(fake.authentication(10, b"SCRAM-SHA-256\0\0"))
        _, body = session.next()
        nonce = body[body.index(b"r=") + 2:]
        session.send(fake.authentication(11, challenge.replace(b"%s", nonce)))
        session.wait_closed()

    with Scene(sluices, backend, script) as scene:
        assert scene.refused_login()["C"] in ("28000", "08P01")


def test_a_server_that_dribbles(sluices: Start, backend: str) -> None:
    """One byte at a time, from the login to the last row."""
    def script(session: Session) -> None:
        class Slow:
            def sendall(self, data: bytes) -> None:
                for at in range(len(data)):
                    real.sendall(data[at:at + 1])
                    time.sleep(0.0005)

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        real = session.socket
        session.socket = Slow()  # type: ignore[assignment]
        session.login()
        session.serve()

    with Scene(sluices, backend, script) as scene, scene.login() as client:
        for _ in range(3):
            assert client.ask("SELECT 1") == [[b"fake"]]


def test_an_unreachable_server(sluices: Start, backend: str) -> None:
    """Nobody listens there: said at once, to each who asks, and found when it comes."""
    port = _place(sluices).port()
    front: Sluice = sluices(databases={"bad": f"host={HOST} port={port}", "*": backend}, server_login_retry="200ms",
                            query_wait_timeout=30)
    with neighbour(front.connect):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            front.connect(dbname="bad")
        with FakePostgres(port, lambda session: (session.login(), session.serve())[0]):
            def works() -> bool:
                try:
                    with Wire(front.port) as client:
                        return client.login(database="bad").ask("SELECT 1") == [[b"fake"]]
                except (AssertionError, wire.Closed):
                    return False

            wait_until(works, 60, "recovery")


def test_a_server_that_is_restarted(sluices: Start, backend: str) -> None:
    """Whoever asks meanwhile waits or is told why; afterwards everything is as it was, for clients that stayed too."""
    server = Postgres(_place(sluices), "pg_restarted")
    front: Sluice = sluices(databases={"bad": f"host={HOST} port={server.port} dbname=postgres", "*": backend},
                            server_login_retry="200ms", query_wait_timeout=60,
                            secrets={"app": "sesame", "postgres": "sesame"})
    try:
        with neighbour(front.connect), front.connect(user="postgres", dbname="bad") as idle:
            assert idle.execute("SELECT 1").fetchone() == (1,)
            with front.connect(user="postgres", dbname="bad", autocommit=False) as busy:
                busy.execute("SELECT 1")
                server.stop()
                with pytest.raises(psycopg.OperationalError):
                    busy.execute("SELECT 1")
            server.start()

            def works() -> bool:
                try:
                    return idle.execute("SELECT 1").fetchone() == (1,)
                except psycopg.OperationalError:
                    assert not idle.closed, "an idle client was thrown out"
                    return False

            wait_until(works, 60, "recovery")
    finally:
        server.stop()


def test_a_name_without_address(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"bad": "host=no.such.host.invalid", "*": backend}, query_wait_timeout=30)
    with neighbour(front.connect):
        with pytest.raises(psycopg.OperationalError, match="name|address|host"):
            front.connect(dbname="bad")
