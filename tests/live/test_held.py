"""Nobody leads: many clients are held at once, some give up, and whatever an administrator does meanwhile."""

from __future__ import annotations

import resource
import signal
import socket
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import Start
from kit import wire
from kit.patroni import FakePatroni
from kit.place import Place, wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import TERMINATE, Wire, query

MANY = 2000


@pytest.fixture
def patroni(place: Place, postgres: Postgres) -> Iterator[FakePatroni]:
    with postgres.connect(dbname="app") as connection:
        connection.execute("DROP TABLE IF EXISTS held; CREATE TABLE held (v int); GRANT ALL ON held TO app")
    with FakePatroni(place.port(), "n1", postgres.port) as member:
        yield member


def in_front(sluices: Start, patroni: FakePatroni, **settings: Any) -> Sluice:
    return sluices(clusters={"main": f"patroni={patroni.url}"}, databases={"app": "cluster=main"}, auth_type="trust", admin_users="app",
                   failover_hold_timeout=120, patroni_poll_interval="200ms", **settings)


def lose(front: Sluice, patroni: FakePatroni) -> None:
    since = len(front.log_text())
    patroni.role = "replica"
    front.wait_log("leader n1 is lost", since)


def held(front: Sluice) -> int:
    """How many wait, by the console."""
    with Wire(front.port).login(database="pgsluice") as console:
        return sum(b"waiting" in row for row in console.ask("SHOW CLIENTS"))


def rows(postgres: Postgres) -> list[int]:
    return [row[0] for row in postgres.sql("SELECT v FROM held ORDER BY v", dbname="app")]


def insert(value: int) -> bytes:
    return query(f"INSERT INTO held VALUES ({value})")


def memory(front: Sluice) -> int:
    """Bytes of it that are in memory."""
    return int(Path(f"/proc/{front.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_two_thousand(sluices: Start, patroni: FakePatroni, postgres: Postgres) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 500:
        pytest.skip(f"no more than {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 500), hard))
    front = in_front(sluices, patroni, max_client_conn=MANY + 100, max_held_clients=MANY, nofile=MANY + 500)
    clients = [Wire(front.port).login() for _ in range(MANY + 1)]
    lose(front, patroni)
    before = memory(front)
    for number, client in enumerate(clients[:MANY]):
        client.send(insert(number))
    wait_until(lambda: held(front) == MANY, 60, "all of them waiting")
    assert memory(front) - before < 20_000 * MANY
    error = clients[-1].send(insert(MANY)).refused()
    assert error["C"] == "57P03" and "max_held_clients" in error["M"]
    patroni.role = "master"
    for client in clients[:MANY]:
        assert client.ready()[-1] == (b"Z", b"I")
        client.close()
    assert rows(postgres) == list(range(MANY))


def test_what_comes_behind_is_not_read(sluices: Start, patroni: FakePatroni, postgres: Postgres) -> None:
    """A pipeline of many megabytes behind the first message stays with its client, as far as the kernel does not take it."""
    front = in_front(sluices, patroni)
    with Wire(front.port).login() as client:
        lose(front, patroni)
        before = memory(front)
        client.send(insert(1))
        wait_until(lambda: held(front) == 1, what="a client that waits")
        comment = query("/*" + "x" * 1_000_000 + "*/")
        client.socket.setblocking(False)
        sent, left = 0, comment * 64
        with pytest.raises(BlockingIOError):
            while sent < len(left):
                sent += client.socket.send(left[sent:sent + 65536])
        assert memory(front) - before < 8_000_000
        client.socket.settimeout(60)
        patroni.role = "master"
        client.send(left[sent:])
        for _ in range(65):
            assert client.ready()[-1] == (b"Z", b"I")
    assert rows(postgres) == [1]


def test_giving_up(sluices: Start, patroni: FakePatroni, postgres: Postgres) -> None:
    """Nothing of those who have left is run, and whoever was cancelled goes on."""
    front = in_front(sluices, patroni, default_pool_size=1)
    clients = [Wire(front.port).login() for _ in range(6)]
    lose(front, patroni)
    closes, resets, goes, half, cancelled, stays = clients
    for number, client in enumerate(clients):
        client.send(insert(number)[:-2] if client is half else insert(number))
    goes.send(TERMINATE)
    wait_until(lambda: held(front) == 5, what="five that wait: of the sixth it is not known yet what it wants")
    closes.close()
    resets.abort()
    goes.socket.shutdown(socket.SHUT_WR)
    half.close()
    with Wire(front.port) as canceller:
        canceller.send(wire.cancel(cancelled.pid, cancelled.key)).closed()
    assert cancelled.error()["C"] == "57014"
    cancelled.send(insert(40))
    wait_until(lambda: held(front) == 2, what="two that wait")
    for name, value in ((socket.SO_KEEPALIVE, 1), (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1)):
        stays.socket.setsockopt(socket.SOL_SOCKET if name == socket.SO_KEEPALIVE else socket.IPPROTO_TCP, name, value)
    patroni.role = "master"
    for client in (stays, cancelled):
        assert client.ready()[-1] == (b"Z", b"I")
        client.close()
    assert rows(postgres) == [5, 40]


def test_what_an_administrator_does(sluices: Start, patroni: FakePatroni, postgres: Postgres) -> None:
    front = in_front(sluices, patroni)
    with Wire(front.port).login() as client, Wire(front.port).login() as other, \
            Wire(front.port).login(database="pgsluice") as console:
        lose(front, patroni)
        client.send(insert(1))
        wait_until(lambda: held(front) == 1, what="a client that waits")
        front.reload()
        console.ask("RECONNECT")
        console.ask("PAUSE")
        since = len(front.log_text())
        patroni.role = "master"
        front.wait_log("leader is n1", since)
        other.send(insert(2))
        wait_until(lambda: held(front) == 2, what="two that wait")
        lose(front, patroni)
        console.ask("RESUME")
        assert held(front) == 2
        patroni.role = "master"
        for each in (client, other):
            assert each.ready()[-1] == (b"Z", b"I")
        # A second loss, and the end of the process in the middle of it: nothing is run, and all are told.
        lose(front, patroni)
        client.send(insert(3))
        wait_until(lambda: held(front) == 1, what="a client that waits")
        front.send(signal.SIGTERM)
        assert client.refused()["C"] == other.refused()["C"] == "57P01"
        assert front.expect_exit() == 0
    assert rows(postgres) == [1, 2]


def test_a_login_while_nobody_leads(sluices: Start, patroni: FakePatroni, postgres: Postgres) -> None:
    """What to tell at login is known once somebody led; before that, and for parameters that need judging, it waits."""
    patroni.role = "replica"
    front = in_front(sluices, patroni)
    with Wire(front.port) as early, Wire(front.port) as odd:
        early.send(wire.startup(user="app", database="app"))
        wait_until(lambda: held(front) == 1, what="a login that waits")
        patroni.role = "master"
        assert early.ready()[-1] == (b"Z", b"I") and b"E" not in [letter for letter, _ in early.heard]
        lose(front, patroni)
        with Wire(front.port).login() as late:
            late.send(insert(1))
            odd.send(wire.startup(user="app", database="app", geqo="off"))
            wait_until(lambda: held(front) == 2, what="two that wait")
            patroni.role = "master"
            assert late.ready()[-1] == (b"Z", b"I")
            assert odd.ready()[-1] == (b"Z", b"I") and odd.ask("SHOW geqo") == [[b"off"]]
    assert rows(postgres) == [1]
