"""
SWITCHOVER against a Patroni that refuses, promises and does nothing, or falls silent; a leader that is lost at each step of it; and
what else may happen in the middle. Whatever becomes of it: who was held goes on, and nobody is refused.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Iterator

import psycopg
import pytest
from kit.patroni import FakePatroni, http
from kit.place import Place, wait_until
from kit.planned import console, is_holding, switchover
from kit.postgres import Postgres
from kit.sluice import Sluice

Start = Any


class Pair:
    """A leader and a replica, as far as their Patronis say: both are in front of one server, which is writable."""

    def __init__(self, place: Place, postgres: Postgres) -> None:
        self.n1 = FakePatroni(place.port(), "n1", postgres.port)
        self.n2 = FakePatroni(place.port(), "n2", postgres.port, role="replica")
        self.n1.others, self.n2.others = [self.n2], [self.n1]

    def lose(self) -> None:
        self.n1.role, self.n1.state = "replica", "stopped"

    def promote(self) -> None:
        self.n2.role, self.n2.timeline = "master", 2

    def come_back(self) -> None:
        self.n1.role, self.n1.state = "master", "running"


@pytest.fixture
def pair(place: Place, postgres: Postgres) -> Iterator[Pair]:
    pair = Pair(place, postgres)
    with pair.n1, pair.n2:
        yield pair


def in_front(sluices: Start, pair: Pair, **settings: Any) -> Sluice:
    front: Sluice = sluices(clusters={"main": f"patroni={pair.n1.url}"}, databases={"app": "cluster=main"},
                            admin_users="app", patroni_timeout="500ms", patroni_poll_interval="100ms",
                            **{"failover_hold_timeout": 60, **settings})
    front.connect().close()
    wait_until(lambda: [row["reachable"] for row in console(front, "SHOW MEMBERS")].count("yes") >= 2, what="both members")
    return front


class Ordered:
    """A SWITCHOVER under way; what the console said of it, when it is over."""

    def __init__(self, front: Sluice, order: str = "SWITCHOVER") -> None:
        self.front, self.order, self.said = front, order, ""
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            self.said = "done: " + switchover(self.front, self.order)
        except psycopg.Error as error:
            self.said = str(error)

    def result(self) -> str:
        self.thread.join(60)
        return self.said


class Held:
    """A client that comes while writes are held."""

    def __init__(self, front: Sluice) -> None:
        self.connection = front.connect()
        self.found: list[Any] = []
        self.front = front
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        try:
            self.found = [self.connection.execute("SELECT 1").fetchone()]
        except psycopg.Error as error:
            self.found = [error]

    def wait(self) -> "Held":
        """Until it waits, if it is to wait at all."""
        self.thread.start()
        wait_until(lambda: self.found or console(self.front, "SHOW CLUSTERS")[0]["held"], what="a client that waits")
        return self

    def was_served(self) -> bool:
        self.thread.join(60)
        self.connection.close()
        return self.found == [(1,)]


@pytest.mark.parametrize("answer, says", [
    (lambda order: http(200, 'Successfully switched over to "n2"', "text/plain"), "did not do it in time"),
    (lambda order: http(412, "candidate does not exists", "text/plain"), "Patroni refused: candidate does not exists"),
    (lambda order: http(503, "Switchover failed", "text/plain"), "did not do it in time: Switchover failed"),
    (lambda order: None, "did not do it in time"),
], ids=["promises", "refuses", "fails", "falls silent"])
def test_patroni_does_not_do_it(sluices: Start, pair: Pair, answer: Callable[[Any], bytes | None], says: str) -> None:
    front = in_front(sluices, pair, failover_hold_timeout=3)
    client = Held(front)
    asked: list[Any] = []
    pair.n1.switchover = lambda order: asked.append(order) or client.wait() and answer(order)
    ordered = Ordered(front, "SWITCHOVER TO n2")
    assert says in ordered.result()
    assert client.was_served(), client.found
    assert asked == [{"leader": "n1", "candidate": "n2"}]
    assert not is_holding(front)
    row = console(front, "SHOW FAILOVERS")[0]
    assert (row["ended"], row["refused"]) == ("the leader stayed", 0), row


def test_it_does_what_it_says(sluices: Start, pair: Pair) -> None:
    front = in_front(sluices, pair)

    def do(order: dict[str, Any]) -> bytes:
        pair.lose()
        pair.promote()
        return http(200, 'Successfully switched over to "n2"', "text/plain")

    pair.n1.switchover = do
    assert "n2 leads main now, on timeline 2" in switchover(front)


@pytest.mark.parametrize("ends, says", [
    (lambda pair: pair.promote(), "done: n2 leads"),
    (lambda pair: pair.come_back(), "the old leader came back"),
], ids=["another one leads", "it comes back"])
@pytest.mark.parametrize("answers", [True, False], ids=["", "and Patroni with it"])
def test_the_leader_goes_after_patroni_was_asked(sluices: Start, pair: Pair, ends: Callable[[Pair], None], says: str,
                                                 answers: bool) -> None:
    front = in_front(sluices, pair)

    def do(order: dict[str, Any]) -> bytes | None:
        pair.lose()
        return http(200, "Successfully switched over", "text/plain") if answers else None

    pair.n1.switchover = do
    ordered = Ordered(front)
    wait_until(lambda: console(front, "SHOW CLUSTERS")[0]["leader"] is None, what="the loss")
    client = Held(front).wait()
    ends(pair)
    assert says in ordered.result()
    assert client.was_served(), client.found


@pytest.mark.parametrize("step", ["transactions", "the candidate"])
def test_the_leader_is_lost_while_it_waits_for(sluices: Start, pair: Pair, step: str) -> None:
    front = in_front(sluices, pair)
    slow = front.connect(autocommit=False)
    if step == "transactions":
        slow.execute("SELECT 1")
    else:
        pair.n2.location = 1
    ordered = Ordered(front, "SWITCHOVER DEADLINE 30")
    wait_until(lambda: is_holding(front), what="the hold")
    client = Held(front).wait()
    pair.lose()
    assert "the leader was lost before Patroni was asked" in ordered.result()
    assert is_holding(front) and not client.found  # it is a failover now
    pair.promote()
    assert client.was_served(), client.found
    if step == "transactions":
        with pytest.raises(psycopg.errors.SerializationFailure):
            slow.execute("SELECT 1")
        slow.rollback()
    assert slow.execute("SELECT 1").fetchone() == (1,)
    slow.close()


def test_the_candidate_goes_in_the_middle(sluices: Start, pair: Pair) -> None:
    front = in_front(sluices, pair)
    pair.n2.location = 1
    ordered = Ordered(front, "SWITCHOVER TO n2 DEADLINE 2")
    wait_until(lambda: is_holding(front), what="the hold")
    client = Held(front).wait()
    pair.n2.state = "stopped"
    pair.n1.others = []
    assert "no candidate had replayed everything before the deadline" in ordered.result()
    assert client.was_served(), client.found


def test_patroni_that_is_silent_holds_nobody(sluices: Start, pair: Pair) -> None:
    """It is asked whether it lets us in first: no answer, no hold."""
    front = in_front(sluices, pair)
    pair.n1.bad = pair.n2.bad = lambda connection, path: connection.recv(1) and None
    ordered = Ordered(front)
    with front.connect() as connection:
        while ordered.thread.is_alive():
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert "Patroni does not answer" in ordered.result()
    assert console(front, "SHOW FAILOVERS") == []
    pair.n1.bad = pair.n2.bad = None


def test_reload_without_its_cluster_ends_it(sluices: Start, pair: Pair, backend: str) -> None:
    front = in_front(sluices, pair)
    slow = front.connect(autocommit=False)
    slow.execute("SELECT 1")
    ordered = Ordered(front, "SWITCHOVER DEADLINE 30")
    wait_until(lambda: is_holding(front), what="the hold")
    client = Held(front).wait()
    front.clusters, front.databases = {}, {"app": backend}
    front.write_ini()
    assert "reloaded" in front.reload()
    assert "does not follow the cluster any more" in ordered.result()
    assert client.was_served(), client.found
    with pytest.raises(psycopg.OperationalError, match="database moved to another cluster"):  # as it would without a switchover
        slow.commit()


def test_pause_goes_on_beside_it(sluices: Start, pair: Pair) -> None:
    front = in_front(sluices, pair)
    pair.n1.switchover = lambda order: pair.lose() or pair.promote() or http(200, "Successfully switched over", "text/plain")
    with front.connect(autocommit=False) as slow:
        slow.execute("SELECT 1")
        ordered = Ordered(front, "SWITCHOVER DEADLINE 30")
        wait_until(lambda: is_holding(front), what="the hold")
        client = Held(front).wait()
        paused = threading.Thread(target=console, args=(front, "PAUSE"), daemon=True)
        paused.start()
        slow.commit()
    assert "n2 leads main now" in ordered.result()
    paused.join(20)
    assert not client.found
    console(front, "RESUME")
    assert client.was_served(), client.found


def check(front: Sluice) -> set[tuple[str, str, str]]:
    return {(row["effect"], row["who"], row["what"]) for row in console(front, "SWITCHOVER CHECK")} - {
        ("perhaps", "", "patroni_user is not set: restapi.authentication would refuse it")}


def test_what_stands_in_its_way_is_listed(sluices: Start, place: Place, pair: Pair) -> None:
    with FakePatroni(place.port(), "n3", pair.n2.server_port, role="replica") as n3:
        n3.state = "starting"
        pair.n1.others.append(n3)
        pair.n2.others.append(n3)
        front = in_front(sluices, pair)

        def shows(*rows: tuple[str, str, str]) -> None:
            wait_until(lambda: check(front) == set(rows), what=str(rows))

        not_yet = ("perhaps", "n3", "it is no running replica")
        shows(not_yet)
        pair.n1.location = 5000
        shows(not_yet, ("delays", "n2", "its replay is 4000 bytes behind"))
        pair.n1.location = 1000
        pair.n2.more = {"tags": {"nofailover": True}}
        shows(not_yet, ("perhaps", "n2", "it is tagged nofailover"), ("blocks", "", "no member could lead next"))
        with pytest.raises(psycopg.errors.ProtocolViolation, match="no member could lead next"):
            switchover(front)
        with pytest.raises(psycopg.errors.ProtocolViolation, match="member n2 can't lead now"):
            switchover(front, "SWITCHOVER TO n2")
        assert console(front, "SHOW FAILOVERS") == []
        pair.n2.more = {}
        pair.n1.more = {"pause": True}
        shows(not_yet, ("perhaps", "", "Patroni's maintenance mode is on: it wants a member to be named with TO"))
        pair.n1.more = {}
        n3.state, n3.more = "running", {"sync_standby": True}
        shows(("perhaps", "n2", "it is no synchronous standby: Patroni takes another"))
