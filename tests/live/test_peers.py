"""Several processes on one port: a cancel request finds the process of its client, whichever of them it reaches."""

from __future__ import annotations

import os
import queue
import random
import re
import signal
import threading
from typing import Any, Callable

import psycopg
import pytest
from kit import wire
from kit.place import HOST, wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any

CANCELS = int(os.environ.get("PGSLUICE_TEST_CANCELS", "1000"))
AT_ONCE = 24  # clients that cancel
CONTROLS = 8  # clients that nobody cancels
ID_BITS = 17  # process id: peer_id << ID_BITS | id


def group(start: Start, count: int = 3, **settings: Any) -> list[Sluice]:
    """Processes on one port, each with a Unix socket of its own by which the others reach it."""
    port = start.place.port()
    given = {"listen_port": port, "so_reuseport": 1, "admin_users": "app", **settings}
    made = [start(peer_id=number, http_port=start.place.port(), **given) for number in range(1, count + 1)]
    for each in made:
        each.peers = {str(number): f"host={other.dir} port={port}" for number, other in enumerate(made, 1)}
        each.write_ini()
        each.reload()
    return made


def to(front: Sluice) -> Wire:
    """A client of just this one."""
    return Wire(front.port, unix=f"{front.dir}/.s.PGSQL.{front.port}")


def sleeps(number: object, seconds: float) -> str:
    """Its notice tells that it has begun: PostgreSQL sends one at once."""
    return f"DO $$ BEGIN RAISE NOTICE 'begun %', '{number}'; PERFORM pg_sleep({seconds}); END $$"


def begun(client: Wire, number: object, seconds: float = 600) -> Wire:
    client.send(wire.query(sleeps(number, seconds)))
    assert wire.letters(client.until(b"N", b"E")) == "N"
    return client


def ask_to_cancel(front: Sluice, pid: int, key: bytes) -> None:
    """Through this process; back when it has closed the connection."""
    with to(front) as asking:
        assert asking.send(wire.cancel(pid, key)).closed() == []


@pytest.fixture(scope="module")
def three(module_sluices: Start) -> list[Sluice]:
    return group(module_sluices, default_pool_size=12, max_client_conn=200)


class Crowd:
    """Threads; the first failure of one of them ends them all."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.over = threading.Event()

    def run(self, what: Callable[..., None], *arguments: Any) -> threading.Thread:
        def body() -> None:
            try:
                what(*arguments)
            except BaseException as problem:  # pylint: disable=broad-except
                self.failures.append(f"{type(problem).__name__}: {problem}")
                self.over.set()

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        return thread


def test_a_thousand_cancels_each_stop_their_own_query_and_no_other(three: list[Sluice]) -> None:
    """By libpq, as psql does it: a connection of its own to the shared port, which reaches whichever process."""
    crowd, done, undisturbed = Crowd(), [], []
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(CANCELS):
        todo.put(number)

    def cancel_own() -> None:
        while not crowd.over.is_set():
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            with three[0].connect() as connection:
                canceller = threading.Thread(target=connection.cancel, daemon=True)
                connection.add_notice_handler(lambda notice, thread=canceller: thread.start())
                with pytest.raises(psycopg.errors.QueryCanceled):
                    connection.execute(sleeps(number, 600))
                canceller.join()
                assert connection.execute(f"SELECT {number}").fetchone() == (number,)
            done.append(number)

    def go_on(number: int) -> None:
        with three[0].connect() as connection:
            while not crowd.over.is_set():
                connection.execute(sleeps(f"control {number}", random.uniform(0, 0.03)))
                undisturbed.append(number)

    controls = [crowd.run(go_on, number) for number in range(CONTROLS)]
    for thread in [crowd.run(cancel_own) for _ in range(AT_ONCE)]:
        thread.join()
    crowd.over.set()
    for thread in controls:
        thread.join()
    assert not crowd.failures, crowd.failures
    assert sorted(done) == list(range(CANCELS))
    assert set(undisturbed) == set(range(CONTROLS))
    passed_on = [front.counter("cancels_passed_on") for front in three]
    assert all(passed_on), passed_on
    assert sum(front.counter("cancels_received") for front in three) == CANCELS + sum(passed_on)
    assert [front.counter("cancels_lost") for front in three] == [0, 0, 0]


@pytest.mark.parametrize("minor", (0, 2))
def test_each_way_through_the_group(three: list[Sluice], minor: int) -> None:
    for number, front in enumerate(three, 1):
        for through in three:
            with to(front) as client:
                client.login(minor=minor)
                assert client.pid >> ID_BITS == number and len(client.key) == (32 if minor else 4)
                begun(client, "each way")
                ask_to_cancel(through, client.pid, client.key)
                assert client.error()["C"] == "57014"
                assert client.ask("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize("minor", (0, 2))
def test_a_forged_request_has_no_effect(three: list[Sluice], postgres: Postgres, minor: int) -> None:
    with to(three[0]) as client, to(three[1]) as other:
        client.login(minor=minor)
        other.login(minor=minor)
        begun(client, "forged")
        low = client.pid & (1 << ID_BITS) - 1
        wrong = client.key[:-1] + bytes([client.key[-1] ^ 1])
        for through in three:
            for pid, key in ((client.pid, wrong), (client.pid, other.key), (2 << ID_BITS | low, client.key),
                             (3 << ID_BITS | low, client.key), (low, client.key), (77 << ID_BITS | low, client.key),
                             (client.pid, client.key + b"\0\0\0\0"), (client.pid, client.key + b"\0\0\0\7"),
                             (client.pid, client.key + b"x"), (-1, client.key)):
                ask_to_cancel(through, pid, key)
        assert postgres.backends("query LIKE '%forged%' AND state = 'active'") == 1
        ask_to_cancel(three[2], client.pid, client.key)
        assert client.error()["C"] == "57014"


def test_what_is_shown(three: list[Sluice]) -> None:
    with to(three[1]) as console:
        console.login(database="pgsluice")
        port = str(three[1].port).encode()
        assert console.ask("SHOW PEERS") == [[str(number).encode(), str(front.dir).encode(), port, b"12"]
                                             for number, front in enumerate(three, 1)]
        assert console.ask("SHOW PEER_POOLS") == [[b"1", b"0", b"0", b"0", b"0"], [b"3", b"0", b"0", b"0", b"0"]]
        lists = dict(console.ask("SHOW LISTS"))
        assert lists[b"peers"] == b"3" and lists[b"peer_pools"] == b"2"


def test_requests_that_go_round_end(sluices: Start) -> None:
    """Two processes that each take the other for a third."""
    one, two = group(sluices, 2)
    for front, other in ((one, two), (two, one)):
        front.peers = {"3": f"host={other.dir} port={other.port}"}
        front.write_ini()
        front.reload()
    ask_to_cancel(one, 3 << ID_BITS | 1, b"abcd")
    assert (one.counter("cancels_passed_on"), two.counter("cancels_passed_on")) == (2, 1)
    assert "passed on 3 times and has not arrived" in two.log_text()


def test_a_peer_that_is_down(sluices: Start) -> None:
    one, two = group(sluices, 2)
    with to(two) as client:
        client.login()
        pid, key = client.pid, client.key
    two.stop()
    for _ in range(3):
        ask_to_cancel(one, pid, key)
    assert len(re.findall("could not be passed on to peer 2", one.log_text())) == 1
    assert one.counter("cancels_lost") == 3
    two.start()
    ask_to_cancel(one, pid, key)  # of a process that has ended
    one.wait_log("peer 2 at .* answers again")


def test_a_peer_that_hangs(sluices: Start) -> None:
    """The pool is full: the others wait in order, and no longer than cancel_wait_timeout."""
    one, two = group(sluices, 2, cancel_wait_timeout=2)
    one.peers["2"] += " pool_size=1"
    one.write_ini()
    one.reload()
    two.send(signal.SIGSTOP)
    try:
        asking = [to(one) for _ in range(3)]
        for number, each in enumerate(asking):
            each.send(wire.cancel(2 << ID_BITS | number, b"abcd"))
        with to(one) as console:
            console.login(database="pgsluice")
            wait_until(lambda: console.ask("SHOW PEER_POOLS") == [[b"2", b"1", b"2", b"1", b"0"]], what="one of three")
            states = sorted(row[4] for row in console.ask("SHOW CLIENTS"))
            assert states == [b"active", b"active_cancel_req", b"waiting_cancel_req", b"waiting_cancel_req"]
        for each in asking:
            assert each.closed() == []
            each.close()
    finally:
        two.send(signal.SIGCONT)


def test_peers_by_tcp_and_tls(sluices: Start, tls: Any) -> None:
    """On ports of their own, as behind a balancer; encrypted as server_tls_sslmode says, as on the way to servers."""
    secured = {"unix_socket_dir": "", "client_tls_sslmode": "require", "client_tls_key_file": tls / "server.key",
               "client_tls_cert_file": tls / "server.crt"}
    two = sluices(peer_id=2, **secured)
    for mode, ca, is_good in (("verify-full", "ca.crt", True), ("verify-full", "other_ca.crt", False), ("prefer", "", True),
                              ("disable", "", True)):
        one = sluices(peer_id=1, peers={"2": f"host=localhost port={two.port}"}, server_tls_sslmode=mode,
                      server_tls_ca_file=tls / ca if ca else "")
        with Wire(two.port) as client:
            client.tls().login()
            begun(client, "with TLS")
            ask_to_cancel(one, client.pid, client.key)
            if not is_good:
                assert "could not be passed on to peer 2" in one.log_text()
                ask_to_cancel_by_tls(two, client)
            assert client.error()["C"] == "57014"


def ask_to_cancel_by_tls(front: Sluice, client: Wire) -> None:
    with Wire(front.port) as asking:
        assert asking.tls().send(wire.cancel(client.pid, client.key)).closed() == []
