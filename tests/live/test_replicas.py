"""
Replicas that go, come back, are late, or whose Patroni lies: reads that can be repeated see none of it, and each member serves
reads when it is well, and only then.
"""

from __future__ import annotations

import collections
import html
import json
import threading
import time
import urllib.request
from typing import Any, Callable, Iterator

import psycopg
import pytest
from kit import fake, wire
from kit.fake import FakePostgres, Session
from kit.patroni import FakePatroni, http
from kit.place import Place, wait_until
from kit.planned import console
from kit.sluice import Sluice
from kit.wire import Wire
from lab.cluster import Lab
from lab.node import Node
from test_cluster import in_front, roles

Start = Any


# A real cluster: clients that read without a pause, each in its way.

READ = "SELECT inet_server_port(), count(g) FROM generate_series(1, 5000) g"


class Reader(threading.Thread):
    def __init__(self, front: Sluice, kind: str) -> None:
        super().__init__(daemon=True)
        self.front, self.kind = front, kind
        self.answers: list[tuple[float, int]] = []  # when it was asked, which port answered
        self.error: BaseException | None = None
        self.asked_to_stop = threading.Event()

    def run(self) -> None:
        try:
            with self.front.connect(password="app", port=self.front.read_port) as connection:
                while not self.asked_to_stop.wait(0.01):
                    at = time.monotonic()
                    self.answers.append((at, self.ask(connection)))
        except BaseException as problem:  # noqa: BLE001  (shown by the test)
            self.error = problem

    def ask(self, connection: psycopg.Connection[Any]) -> int:
        if self.kind == "simple":
            found = connection.execute(READ)
        else:
            found = connection.execute(READ + " WHERE %s > 0", (1,), prepare=self.kind == "prepared")
        row = found.fetchone()
        assert row and row[1] == 5000
        return int(row[0])


class Readers:
    def __init__(self, front: Sluice) -> None:
        self.all = [Reader(front, kind) for kind in ("simple", "extended", "prepared") for _ in range(3)]

    def __enter__(self) -> "Readers":
        for each in self.all:
            each.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        for each in self.all:
            each.asked_to_stop.set()
        for each in self.all:
            each.join(60)
        assert problem[0] or not any(each.is_alive() for each in self.all), "a reader never came back"

    def since(self, at: float) -> set[int]:
        return {port for each in self.all for asked, port in list(each.answers) if asked >= at}

    def check(self) -> None:
        errors = [each.error for each in self.all if each.error]
        assert not errors, errors

    def wait_for(self, ports: set[int], what: str) -> None:
        since = time.monotonic()

        def are_there() -> bool:
            self.check()
            return ports <= self.since(since)

        wait_until(are_there, 90, what)

    def wait_without(self, port: int, what: str) -> None:
        """Until no read that was asked for within the last half second went there."""
        wait_until(lambda: (self.check(), port not in self.since(time.monotonic() - 0.5))[1], 90, what)


def restart(node: Node) -> None:
    """As patronictl restart does."""
    assert node.ask("/restart", "POST", {}, timeout=60)[0] == 200


def kill_and_start(node: Node) -> None:
    node.kill()
    node.start()


def test_whatever_ends_a_replica_no_read_fails(lab: Lab, sluices: Start) -> None:
    front = in_front(sluices, lab)
    leader, names = roles(lab)
    ports = {lab.pick(name).pg_port for name in names}
    ends: list[Callable[[Node], Any]] = [restart, kill_and_start, Node.kill_postgres]
    with Readers(front) as readers:
        for number, end in enumerate(ends):
            node = lab.pick(sorted(names)[number % 2])
            readers.wait_for(ports, f"reads from both before {end.__name__}")
            end(node)
            readers.wait_for({node.pg_port}, f"reads from {node.name} after {end.__name__}")
        readers.wait_for(ports, "reads from both")
    readers.check()
    assert lab.pick(leader).pg_port not in readers.since(0)


def read_of(front: Sluice, name: str) -> str:
    return str({row["name"]: row["read"] for row in console(front, "SHOW MEMBERS")}[name])


def test_replay_that_stands_still(lab: Lab, sluices: Start) -> None:
    """Paused, it is noticed at once; held up, when it has been for too long; and neither when there is nothing to replay."""
    front = in_front(sluices, lab, max_replica_delay="2s", admin_users="app")
    leader, names = roles(lab)
    late = lab.pick(sorted(names)[0])
    ports = {lab.pick(name).pg_port for name in names}
    with Readers(front) as readers:
        readers.wait_for(ports, "reads from both")
        def is_paused() -> bool:
            late.sql("SELECT pg_wal_replay_pause()")  # again: Patroni resumes it when it has changed a parameter just now
            return read_of(front, late.name) == "its replay is paused"

        try:
            wait_until(is_paused, 30, "the pause in SHOW MEMBERS")
            readers.wait_without(late.pg_port, "no reads from the paused one")
        finally:
            late.sql("SELECT pg_wal_replay_resume()")
        readers.wait_for(ports, "reads from both again")
        late.delay_replay(300)
        try:
            time.sleep(3)  # nothing is written: nobody is late
            assert read_of(front, late.name) == "yes"
            with front.connect(password="app") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS late (x int)")
            wait_until(lambda: read_of(front, late.name) == "it has not replayed for too long what the leader wrote", 30,
                       "the delay in SHOW MEMBERS")
            readers.wait_without(late.pg_port, "no reads from the late one")
        finally:
            late.delay_replay(0)
        readers.wait_for(ports, "reads from both in the end")
    readers.check()
    assert lab.pick(leader).pg_port not in readers.since(0)


# Patroni and PostgreSQL by hand: n1 leads, n2 is what each test makes of it, n3 is well.

class Member:
    def __init__(self, place: Place, name: str, role: str) -> None:
        self.name, self.standby = name, role == "replica"
        self.postgres = FakePostgres(place.port(), self._script)
        self.patroni = FakePatroni(place.port(), name, self.postgres.port, role)

    def _script(self, session: Session) -> None:
        session.read_startup()
        session.welcome(in_hot_standby="on" if self.standby else "off")
        while True:
            session.next_query()
            session.send(fake.one_row(self.name))

    def close(self) -> None:
        self.patroni.__exit__()
        self.postgres.__exit__()


@pytest.fixture
def three(place: Place) -> Iterator[list[Member]]:
    members = [Member(place, "n1", "master"), Member(place, "n2", "replica"), Member(place, "n3", "replica")]
    for member in members:
        member.patroni.others = [each.patroni for each in members if each is not member]
    yield members
    for member in members:
        member.close()


def in_front_of(sluices: Start, three: list[Member], **settings: Any) -> Sluice:
    front: Sluice = sluices(clusters={"main": "patroni=" + ",".join(each.patroni.url for each in three)},
                            databases={"*": "cluster=main"}, read=True, patroni_poll_interval="100ms", admin_users="app",
                            http_port=sluices.place.port(), **settings)
    wait_until(lambda: {row["read"] for row in console(front, "SHOW MEMBERS")} == {"yes", "it is the leader"}, 30, "all of it")
    return front


def readers_of(front: Sluice, times: int = 12) -> set[str]:
    """Who answers, to clients that are there at the same time."""
    clients = [Wire(front.read_port).login() for _ in range(times)]
    for client in clients:
        client.send(wire.query("SELECT name"))
    found = {(wire.row(client.until(b"D")[-1][1])[0] or b"").decode() for client in clients}
    for client in clients:
        client.close()
    return found


def wait_reader(front: Sluice, name: str) -> None:
    """Whoever has come back has no connection at first, while others have some that are free."""
    wait_until(lambda: name in readers_of(front), 30, f"an answer of {name}")


XLOG = {"received_location": 1000, "replayed_location": 1000}
NOT_KNOWN = "it is not known how far its replay lags behind"
NOT_RUNNING = "its PostgreSQL is not running"
NO_LOADBALANCE = "it is tagged noloadbalance"
SAYS: list[tuple[dict[str, Any], str]] = [
    ({"tags": {"noloadbalance": True}}, NO_LOADBALANCE),
    ({"tags": {"noloadbalance": "True"}}, NO_LOADBALANCE),
    ({"tags": {"noloadbalance": "no"}}, "yes"),
    ({"tags": {"noloadbalance": [True]}}, "yes"),
    ({"tags": "noloadbalance"}, "yes"),
    ({"tags": {"weight": 0}}, "it has weight 0"),
    ({"tags": {"weight": "0"}}, "it has weight 0"),
    ({"tags": {"weight": -5}}, "yes"),
    ({"tags": {"weight": 1e300}}, "yes"),
    ({"state": "streaming"}, "yes"),
    ({"state": "in archive recovery"}, "yes"),
    ({"state": "stopping"}, NOT_RUNNING),
    ({"state": "restarting"}, NOT_RUNNING),
    ({"state": "a word of tomorrow"}, NOT_RUNNING),
    ({"state": ""}, NOT_RUNNING),
    ({"role": "primary"}, "it is a primary, but does not lead"),
    ({"role": "demoted"}, "it is no replica"),
    ({"role": "a word of tomorrow"}, "it is no replica"),
    ({"xlog": None}, NOT_KNOWN),
    ({"xlog": []}, NOT_KNOWN),
    ({"xlog": {**XLOG, "replayed_location": None}}, NOT_KNOWN),
    ({"xlog": {**XLOG, "replayed_location": -1000}}, NOT_KNOWN),
    ({"xlog": {**XLOG, "replayed_location": "0/40003A8"}}, NOT_KNOWN),
    ({"xlog": {**XLOG, "replayed_location": 1e40}}, NOT_KNOWN),
    ({"xlog": {**XLOG, "replayed_location": "1000"}}, "yes"),
    ({"xlog": {**XLOG, "replayed_location": 2 ** 62}}, "yes"),
    ({"xlog": {**XLOG, "paused": True}}, "its replay is paused"),
    ({"timeline": "two"}, "yes"),
    ({"timeline": -1}, "yes"),
    ({"pause": True}, "yes"),
    ({"database_system_identifier": "1"}, "yes"),  # nobody else has told of one
    ({"lag": -5, "replication_state": 7, "x": {"y": [None]}}, "yes"),
]


def test_what_a_replica_is_said_to_be(sluices: Start, three: list[Member]) -> None:
    front = in_front_of(sluices, three)
    for changes, expected in SAYS:
        three[1].patroni.more = changes
        wait_until(lambda: read_of(front, "n2") == expected, 30, f"{expected!r} for {changes}")
        if expected == "yes":
            wait_reader(front, "n2")
        else:
            assert readers_of(front) == {"n3"}, changes
        three[1].patroni.more = {}
        wait_until(lambda: read_of(front, "n2") == "yes", 30, f"its return from {changes}")


def test_what_the_leader_is_said_to_have_written(sluices: Start, three: list[Member]) -> None:
    """A position beyond reason takes all replicas out, none at all leaves their lag unknown; writes do not mind."""
    front = in_front_of(sluices, three)
    for xlog, reads in (({"location": 2 ** 62}, "its replay lags too far behind"), ({"location": -1}, NOT_KNOWN),
                        ({"location": "a lot"}, NOT_KNOWN), (None, NOT_KNOWN), ({"location": 0}, NOT_KNOWN)):
        three[0].patroni.more = {"xlog": xlog}
        wait_until(lambda: [read_of(front, name) for name in ("n2", "n3")] == [reads] * 2, 30, f"{reads!r} for {xlog}")
        assert readers_of(front, 3) == {"n1"}  # read_fallback = leader
        assert Wire(front.port).login().ask("INSERT something")[0] == [b"n1"]
        three[0].patroni.more = {}
        wait_until(lambda: [read_of(front, name) for name in ("n2", "n3")] == ["yes"] * 2, 30, "their return")


def test_lag_and_delay_come_and_go(sluices: Start, three: list[Member]) -> None:
    front = in_front_of(sluices, three, max_replica_lag=1000, max_replica_delay="1s")

    def written(location: int, *replayed: int) -> None:
        for member, at in zip(three[1:], replayed):
            member.patroni.more = {"xlog": {"received_location": location, "replayed_location": at}}
        three[0].patroni.more = {"xlog": {"location": location}}

    def wait_reads(*expected: str) -> None:
        wait_until(lambda: [read_of(front, name) for name in ("n2", "n3")] == list(expected), 30, str(expected))

    behind, late = "its replay lags too far behind", "it has not replayed for too long what the leader wrote"
    written(10000, 8999, 10000)
    wait_reads(behind, "yes")
    written(10000, 9249, 10000)  # not yet three quarters
    wait_until(lambda: [row["lag_bytes"] for row in console(front, "SHOW MEMBERS")] == [None, 751, 0], 30, "the lag")
    assert read_of(front, "n2") == behind and readers_of(front) == {"n3"}
    written(10000, 9250, 10000)
    wait_reads(late, "yes")  # but that is how long it lasted by now
    written(10000, 10000, 10000)
    wait_reads("yes", "yes")
    written(10200, 10000, 10000)  # a small thing, and nobody replays it
    wait_reads(late, late)
    rows = {row["name"]: row for row in console(front, "SHOW MEMBERS")}
    assert rows["n2"]["lag_bytes"] == 200 and rows["n2"]["lag_ms"] > 1000
    assert readers_of(front, 3) == {"n1"}
    written(10200, 10200, 10200)
    wait_reads("yes", "yes")
    wait_reader(front, "n2")
    wait_reader(front, "n3")


def all_out(three: list[Member], is_out: bool) -> None:
    for member in three[1:]:
        member.patroni.more = {"tags": {"noloadbalance": True}} if is_out else {}


@pytest.mark.parametrize("fallback", ["leader", "hold", "refuse"])
def test_no_replica_is_well_and_nobody_leads(sluices: Start, three: list[Member], fallback: str) -> None:
    front = in_front_of(sluices, three, read_fallback=fallback, failover_hold_timeout=60)
    # nobody leads, and replicas serve reads all the same
    three[0].patroni.more = {"role": "replica", "cluster_unlocked": True}
    wait_until(lambda: console(front, "SHOW CLUSTERS")[0]["leader"] is None, 30, "the loss of the leader")
    wait_reader(front, "n2")
    wait_reader(front, "n3")
    with urllib.request.urlopen(f"http://127.0.0.1:{front.settings['http_port']}/health/readiness", timeout=30) as answer:
        assert answer.status == 200
    # nobody leads, and no replica is well: one waits, or is refused
    three[0].patroni.more = {"role": "replica", "cluster_unlocked": True, "tags": {"noloadbalance": True}}
    all_out(three, True)
    wait_until(lambda: console(front, "SHOW CLUSTERS")[0]["readable"] == 0, 30, "no member for reads")
    if fallback == "refuse":
        error = Wire(front.read_port).login().send(wire.query("SELECT 1")).refused()
        assert error["C"] == "57P03" and "no replica is fit" in error["D"], error
        return
    waiting = Wire(front.read_port).login()
    waiting.send(wire.query("SELECT name"))
    wait_until(lambda: [row["cl_waiting"] for row in console(front, "SHOW POOLS") if row["database"] == "app"] == [1], 30, "a wait")
    if fallback == "leader":
        three[0].patroni.more = {}
        assert wire.row(waiting.until(b"D")[-1][1]) == [b"n1"]
    else:
        all_out(three, False)
        assert wire.row(waiting.until(b"D")[-1][1])[0] in (b"n2", b"n3")
    waiting.close()


def test_many_members_with_names_that_bite(sluices: Start, three: list[Member], place: Place) -> None:
    names = ['"', "'", "\\", "<script>alert(1)</script>", "a b", "&amp;", "%s%n", "ü", "`$(reboot)`", "x" * 200, "{}=,"]
    names += [f"m{i}" for i in range(32 - 3 - len(names))]
    extra = [{"name": name, "role": "replica", "state": "running", "host": "127.0.0.1", "port": 1, "api_url": three[1].patroni.url,
              "lag": "unknown", "timeline": 1} for name in names]
    listed = [each.patroni.listed() for each in three]
    body = http(200, json.dumps({"members": [*listed, *extra], "scope": "fake"}))
    for member in three:
        honest = member.patroni.truth
        member.patroni.truth = lambda path, honest=honest: body if path == "/cluster" else honest(path)  # type: ignore[method-assign]
    front: Sluice = sluices(clusters={"main": f"patroni={three[0].patroni.url}"}, databases={"*": "cluster=main"}, read=True,
                            admin_users="app", http_port=place.port())
    wait_until(lambda: len(console(front, "SHOW MEMBERS")) == 32, 30, "32 members")
    assert {row["name"] for row in console(front, "SHOW MEMBERS")} == {"n1", "n2", "n3", *names}
    wait_reader(front, "n2")
    wait_reader(front, "n3")
    where = f"http://127.0.0.1:{front.settings['http_port']}"
    with urllib.request.urlopen(where + "/metrics", timeout=30) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("pgsluice_member_readable{")]
    assert len(lines) == 32 and collections.Counter(line.rsplit(" ", 1)[1] for line in lines) == {"0": 30, "1": 2}
    assert any('member="\\""' in line for line in lines) and any('member="\\\\"' in line for line in lines)
    with urllib.request.urlopen(where + "/", timeout=30) as answer:
        page = answer.read().decode()
    assert "<script>" not in page and html.escape("<script>alert(1)</script>", quote=False) in page
