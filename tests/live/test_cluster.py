"""
A real Patroni cluster is broken under load. No write reaches a server that is not the leader, no acknowledged row is lost,
writes go on by themselves; reads use every healthy replica, and the leader only where the settings say so.
"""

from __future__ import annotations

import shutil
import threading
import time
import urllib.request
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.load import Load
from kit.pair import Pair
from kit.place import Place, wait_until
from kit.postgres import PASSWORD
from kit.sluice import Sluice, installed
from kit.whole import wait_whole
from kit.wire import Wire
from lab import layout
from lab.cluster import Lab
from lab.layout import REPLICATOR, REPLICATOR_PASSWORD

Start = Any


def urls(lab: Lab) -> str:
    return ",".join(lab.layout.rest_url(name) for name in lab.layout.names)


@pytest.fixture
def front(sluices: Start, lab: Lab) -> Sluice:
    return in_front(sluices, lab)


def in_front(sluices: Start, lab: Lab, cluster: str = "", **settings: Any) -> Sluice:
    return sluices(clusters={"main": cluster or f"patroni={urls(lab)}"}, databases={"*": "cluster=main"}, read=True,
                   secrets={"app": "app"}, **{"failover_hold_timeout": 60, **settings})


def load(lab: Lab, front: Sluice, **given: Any) -> Load:
    return Load(lab, lambda **where: front.connect(password="app", **where), front.read_port, **given)


def roles(lab: Lab) -> tuple[str, set[str]]:
    """(leader, replicas)"""
    leader = lab.wait_leader().name
    return leader, set(lab.layout.names) - {leader}


def test_each_port_reaches_whom_it_should(lab: Lab, front: Sluice) -> None:
    leader, replicas = roles(lab)
    with load(lab, front) as work:
        work.wait_writes(200)
        work.wait_reads(replicas)
    assert {each.node for each in work.written} == {leader}
    assert {each.node for each in work.read} == replicas and all(each.in_recovery for each in work.read)
    assert not work.errors(work.writers + work.readers)
    work.check_writes()


def test_writing_on_the_read_port_is_refused_by_the_standby(lab: Lab, front: Sluice) -> None:
    with front.connect(password="app", port=front.read_port) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE never (id int)")


def check_kept(work: Load) -> None:
    """Nobody has lost his connection, and who was told of a loss was told that it is not known how it ended, or that it is."""
    clients = work.writers + work.readers
    assert sum(client.connections_lost for client in clients) == 0, work.errors(clients)
    assert {state for client in clients for _, state, _ in client.errors} <= {"08007", "40001", "25006"}


def test_switchover(lab: Lab, front: Sluice) -> None:
    with load(lab, front) as work:
        work.wait_writes()
        old, new = lab.switchover()
        work.wait_writes(100, new)
        lab.wait_healthy(90)
        work.wait_reads(set(lab.layout.names) - {new})
        work.wait_writes(50, new)
    assert {each.node for each in work.written} == {old, new}
    work.check_writes()
    check_kept(work)


def test_users_are_looked_up_while_the_leader_moves(sluices: Start, lab: Lab) -> None:
    """Whoever leads, or nobody: a replica knows the roles as well. On the read port nothing else has to be waited for."""
    front: Sluice = sluices(clusters={"main": f"patroni={urls(lab)}"}, databases={"*": "cluster=main"}, read=True,
                            secrets={layout.SUPERUSER: layout.SUPERUSER_PASSWORD}, auth_user=layout.SUPERUSER)
    stop, came, problems = threading.Event(), [0], []

    def keep_logging_in() -> None:
        while not stop.is_set():
            try:
                front.connect(password="app", port=front.read_port).close()
                came[0] += 1
            except psycopg.Error as problem:
                problems.append(str(problem))

    thread = threading.Thread(target=keep_logging_in, daemon=True)
    thread.start()
    try:
        wait_until(lambda: came[0] > 20 or problems, 60, "logins")
        lab.switchover()
        seen = came[0]
        wait_until(lambda: came[0] > seen + 20 or problems, 60, "logins")
    finally:
        stop.set()
        thread.join()
    assert not problems, problems
    front.connect(password="app").close()


def test_two_switchovers_in_a_row(lab: Lab, front: Sluice) -> None:
    with load(lab, front) as work:
        for _ in range(2):
            work.wait_writes()
            _, new = lab.switchover()
            work.wait_writes(50, new)
            wait_whole(lab)
    work.check_writes(changes=2)


def test_leader_killed(lab: Lab, front: Sluice) -> None:
    with load(lab, front) as work:
        work.wait_writes()
        old = lab.pick("leader")
        old.kill()
        new = lab.wait_leader(other_than=old.name).name
        work.wait_writes(100, new)
        old.start()
        lab.wait_healthy(90)
        work.wait_reads(set(lab.layout.names) - {new})
    assert {each.node for each in work.written} == {old.name, new}
    work.check_writes()
    check_kept(work)


def test_postgres_of_the_leader_killed(lab: Lab, front: Sluice) -> None:
    """Patroni restarts it, or gives the lead away: either way writes go on."""
    with load(lab, front) as work:
        work.wait_writes()
        lab.pick("leader").kill_postgres()
        killed = time.monotonic()
        work.wait_writes(100, since=killed + 0.5)
        lab.wait_healthy(90)
        work.wait_writes()
    work.check_writes()


class Reader(threading.Thread):
    """Reads on the write port, all the time, what the catalog alone can tell to be a read; one error is the end of it."""

    def __init__(self, front: Sluice, number: int) -> None:
        super().__init__(daemon=True)
        self.connection = front.connect(password="app", autocommit=True, prepare_threshold=0 if number % 2 else None)
        self.count = 0
        self.problem: BaseException | None = None
        self.asked_to_stop = threading.Event()

    def run(self) -> None:
        try:
            while not self.asked_to_stop.is_set():
                nap = "FROM pg_sleep(0.02), "
                assert self.connection.execute(f"SELECT n {nap} shown WHERE n = 7").fetchall() == [(7,)]
                assert self.connection.execute(f"SELECT doubled(n) {nap} counted WHERE n = %s", (21,)).fetchall() == [(42,)]
                assert self.connection.execute(f"SELECT count(*) {nap} shown JOIN counted USING (n)").fetchall() == [(100,)]
                self.count += 1
        except BaseException as problem:  # noqa: BLE001  (shown by the test)
            self.problem = problem


def test_readers_of_the_write_port_notice_nothing_of_a_killed_leader(lab: Lab, sluices: Start, place: Place) -> None:
    """They read a view and call a function of somebody's: the new leader tells that these do no more."""
    front = in_front(sluices, lab, http_port=place.port())
    with front.connect(password="app", autocommit=True) as connection:
        connection.execute("CREATE TABLE counted AS SELECT n FROM generate_series(1, 100) n")
        connection.execute("CREATE FUNCTION doubled(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1 * 2'")
        connection.execute("CREATE VIEW shown AS SELECT n FROM counted WHERE doubled(n) > 0")
    readers = [Reader(front, number) for number in range(48)]
    for reader in readers:
        reader.start()

    def all_go_on() -> None:
        seen = [reader.count for reader in readers]
        wait_until(lambda: all(r.problem or r.count > n + 1 for r, n in zip(readers, seen)), 90, "progress of all readers")

    all_go_on()
    old = lab.pick("leader")
    old.kill()
    lab.wait_leader(other_than=old.name)
    all_go_on()
    for reader in readers:
        reader.asked_to_stop.set()
    for reader in readers:
        reader.join(60)
        reader.connection.close()
    assert [reader.problem for reader in readers if reader.problem] == []
    assert front.counter("lost_again") > 0 and front.counter("lost_unknown") == front.counter("lost_aborted") == 0
    with front.connect(password="app", autocommit=True) as connection:
        connection.execute("DROP VIEW shown; DROP FUNCTION doubled; DROP TABLE counted")


def test_leader_frozen_and_thawed(lab: Lab, front: Sluice) -> None:
    """Its connections live and say nothing; when it thaws it still believes for a moment that it leads."""
    with load(lab, front) as work:
        work.wait_writes()
        old = lab.pick("leader")
        old.freeze()
        new = lab.wait_leader(other_than=old.name).name
        work.wait_writes(100, new)
        thawed = time.monotonic()
        old.thaw()
        work.wait_writes(100, new)
        lab.wait_healthy(90)
        work.wait_writes(50, new)
    assert {each.node for each in work.written if each.at > thawed} == {new}
    work.check_writes()


def test_leader_that_loses_etcd(lab: Lab, front: Sluice) -> None:
    with load(lab, front) as work:
        work.wait_writes()
        old = lab.pick("leader")
        old.cut_etcd()
        new = lab.wait_leader(other_than=old.name).name
        work.wait_writes(100, new)
        old.heal_etcd()
        lab.wait_healthy(90)
        work.wait_writes(50, new)
    work.check_writes()


def test_replica_killed(lab: Lab, front: Sluice) -> None:
    leader, replicas = roles(lab)
    with load(lab, front) as work:
        work.wait_reads(replicas)
        killed = lab.pick("replica")
        killed.kill()
        at = time.monotonic()
        work.wait_writes(100, leader, since=at + 1)
        work.wait_reads(replicas - {killed.name}, since=at + 1)
        assert killed.name not in {each.node for each in work.read if each.at > at + 1}
        killed.start()
        lab.wait_healthy(90)
        work.wait_reads(replicas)
    assert {each.node for each in work.written} == {leader}
    assert leader not in {each.node for each in work.read}
    work.check_writes()


def test_replica_frozen(lab: Lab, front: Sluice) -> None:
    leader, replicas = roles(lab)
    with load(lab, front) as work:
        work.wait_reads(replicas)
        frozen = lab.pick("replica")
        frozen.freeze()
        at = time.monotonic()
        work.wait_reads(replicas - {frozen.name}, since=at + 5)
        work.wait_writes(50, since=at + 5)
        frozen.thaw()
        lab.wait_healthy(90)
        work.wait_reads(replicas)
    assert leader not in {each.node for each in work.read}
    work.check_writes()


def test_member_added_and_removed(lab: Lab, front: Sluice) -> None:
    with load(lab, front) as work:
        work.wait_reads(roles(lab)[1])
        added = lab.add()
        work.names[added.pg_port] = added.name
        work.wait_reads({added.name})
        lab.remove(added)
        gone = time.monotonic()
        work.wait_writes(50, since=gone + 1)
        work.wait_reads(roles(lab)[1], since=gone + 1)
        assert added.name not in {each.node for each in work.read if each.at > gone + 1}
    work.check_writes()


def kill_replicas(lab: Lab) -> set[str]:
    leader, replicas = roles(lab)
    # The synchronous one last: Patroni 3.0.2 that makes another one synchronous while that dies waits for it for ever.
    synchronous = lab.pick(leader).sql("SHOW synchronous_standby_names")
    for name in sorted(replicas, key=lambda each: each in synchronous):
        lab.pick(name).kill()
    # Without a standby left to wait for, Patroni lets the leader commit alone.
    wait_until(lambda: lab.pick(leader).sql("SHOW synchronous_standby_names") == "", 60, "a leader that waits for nobody")
    return replicas


def test_reads_without_replicas_go_to_the_leader(lab: Lab, front: Sluice) -> None:
    leader, replicas = roles(lab)
    with load(lab, front) as work:
        work.wait_reads(replicas)
        kill_replicas(lab)
        work.wait_reads({leader})
        for name in replicas:
            lab.pick(name).start()
        lab.wait_healthy(90)
        work.wait_reads(replicas)
        whole = time.monotonic() + 3
        work.wait_reads(replicas, since=whole)
        assert leader not in {each.node for each in work.read if each.at > whole}


def test_reads_without_replicas_may_be_refused_or_held(lab: Lab, sluices: Start) -> None:
    refusing = in_front(sluices, lab, read_fallback="refuse")
    holding = in_front(sluices, lab, read_fallback="hold")
    for front in (refusing, holding):
        with front.connect(password="app", port=front.read_port) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    waiting = Wire(holding.read_port).login(password="app")
    replicas = kill_replicas(lab)

    def refusal() -> str:
        """SQLSTATE of a read, "" while a dying connection still answers otherwise."""
        try:
            with refusing.connect(password="app", port=refusing.read_port) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return "57P03" if "57P03" in str(error.sqlstate) or "no server can take" in str(error) else ""
        return ""

    wait_until(lambda: refusal() == "57P03", 60, "a refusal with 57P03")
    with refusing.connect(password="app") as connection:  # writing goes on
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    waiting.send(wire.query("SELECT pg_is_in_recovery()"))
    waiting.socket.settimeout(2)
    with pytest.raises(TimeoutError):
        waiting.next()
    for name in replicas:
        lab.pick(name).start()
    waiting.socket.settimeout(90)
    assert wire.row(waiting.until(b"D")[-1][1]) == [b"t"]
    waiting.close()


def test_a_replica_that_is_far_behind_gets_no_reads(lab: Lab, sluices: Start) -> None:
    front = in_front(sluices, lab, max_replica_lag="64kB")
    leader, replicas = roles(lab)
    late = lab.pick("replica")
    with load(lab, front) as work:
        work.wait_reads(replicas)
        late.delay_replay(300)
        try:
            with front.connect(password="app") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS bulk (x text)")
                wait_until(lambda: connection.execute("INSERT INTO bulk SELECT repeat(md5(g::text), 30) FROM"
                                                      " generate_series(1, 500) g") and
                           late.name not in recent(work), 60, f"no reads from {late.name}")
        finally:
            late.delay_replay(0)
        work.wait_reads(replicas)
    assert leader not in {each.node for each in work.read}


def recent(work: Load) -> set[str]:
    """Nodes that answered reads during the last second."""
    now = time.monotonic()
    found = {each.node for each in work.read if each.at > now - 1}
    time.sleep(0.2)
    return found


def test_patroni_alone_dies_everywhere(lab: Lab, front: Sluice) -> None:
    """PostgreSQL goes on, and so does whoever uses it."""
    from lab import procs
    import signal

    leader, replicas = roles(lab)
    with load(lab, front) as work:
        work.wait_reads(replicas)
        procs.send([node.patroni_pid for node in lab.nodes], signal.SIGKILL)
        dead = time.monotonic()
        work.wait_writes(100, leader, since=dead + 4)
        with front.connect(password="app") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for node in lab.nodes:
            node.start()
        lab.wait_healthy(90)
        work.wait_writes()
    work.check_writes()


def test_nobody_left(lab: Lab, sluices: Start) -> None:
    """Writes wait, are refused in the end with the reason, and work again without help."""
    front = in_front(sluices, lab, failover_hold_timeout=4)
    with front.connect(password="app") as connection:
        connection.execute("SELECT 1")
    for node in lab.nodes:
        node.kill()
    client = Wire(front.port).login(password="app")
    error = client.send(wire.query("SELECT 1")).refused()
    assert error["C"] == "57P03", error
    assert "Patroni" in error["D"], error
    for node in lab.nodes:
        node.start()

    def works() -> bool:
        try:
            with front.connect(password="app") as again:
                return again.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.Error:
            return False

    wait_until(works, 120, "recovery")


def test_idle_clients_do_not_notice_a_switchover(lab: Lab, front: Sluice) -> None:
    with front.connect(password="app") as writer, front.connect(password="app", port=front.read_port) as reader:
        writer.execute("SET TimeZone = 'Asia/Tokyo'")
        for connection in (writer, reader):
            connection.execute("SELECT 1")
        _, new = lab.switchover()
        lab.wait_healthy(90)
        assert writer.execute("SELECT inet_server_port(), current_setting('TimeZone')").fetchone() == (
            lab.pick(new).pg_port, "Asia/Tokyo")
        assert reader.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def test_replication_ends_with_the_leader_and_finds_the_next_one(lab: Lab, sluices: Start) -> None:
    front = sluices(clusters={"main": f"patroni={urls(lab)}"}, databases={"replication": "cluster=main"}, read=True,
                    secrets={REPLICATOR: REPLICATOR_PASSWORD})

    def walker(port: int) -> Wire:
        return Wire(port).login(REPLICATOR, "replication", REPLICATOR_PASSWORD, replication="true")

    def port_behind(client: Wire) -> int:
        return int(client.ask("SHOW port")[0][0] or 0)

    with walker(front.port) as leaders, walker(front.read_port) as standbys:
        assert port_behind(leaders) == lab.pick("leader").pg_port
        assert port_behind(standbys) in {node.pg_port for node in lab.nodes} - {lab.pick("leader").pg_port}
        _, new = lab.switchover()
        assert leaders.refused()["C"] in ("57P01", "08006")
        with walker(front.port) as again:
            assert port_behind(again) == lab.pick(new).pg_port
    lab.wait_healthy(90)


def test_a_cluster_of_hosts_alone_follows_a_switchover(lab: Lab, sluices: Start) -> None:
    hosts = ",".join(f"{node.host}:{node.pg_port}" for node in lab.nodes)
    front = in_front(sluices, lab, cluster=f"hosts={hosts}")
    with load(lab, front) as work:
        work.wait_writes()
        work.wait_reads(roles(lab)[1])
        old, new = lab.switchover()
        work.wait_writes(100, new)
        lab.wait_healthy(90)
        work.wait_reads(set(lab.layout.names) - {new})
    work.check_writes()


def test_one_url_is_enough(lab: Lab, sluices: Start) -> None:
    """The others are learnt from the one, and stay known without it."""
    leader = lab.pick("leader")
    front = in_front(sluices, lab, cluster=f"patroni=http://{leader.host}:{leader.rest_port}")
    with load(lab, front) as work:
        work.wait_writes()
        work.wait_reads(roles(lab)[1])
        leader.kill()
        new = lab.wait_leader(other_than=leader.name).name
        work.wait_writes(50, new)
        leader.start()
        lab.wait_healthy(90)
    work.check_writes()


def test_several_clusters_in_one_process(lab: Lab, sluices: Start, backend: str) -> None:
    front: Sluice = sluices(clusters={"main": f"patroni={urls(lab)}"}, read=True, query_wait_timeout=60,
                            databases={"app": "cluster=main", "other": f"{backend} dbname=app", "*": "cluster=main"},
                            secrets={"app": "app"})
    leader = lab.pick("leader")
    with front.connect(password="app") as connection:
        assert connection.execute("SELECT inet_server_port()").fetchone() == (leader.pg_port,)
    # The secret is the lab's: what is asked at the other server is refused there, and nowhere else.
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        front.connect(password="app", dbname="other")
    front.secrets["app"] = PASSWORD
    front.write_auth_file()
    front.reload()
    with front.connect(dbname="other") as connection:
        (port,) = connection.execute("SELECT inet_server_port()").fetchone() or (0,)
        assert f"port={port}" in backend


def test_a_cluster_that_is_added_by_a_reload(lab: Lab, sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"*": backend}, read=True, query_wait_timeout=60, secrets={"app": "app"})
    front.clusters["main"] = f"patroni={urls(lab)}"
    front.databases["app"] = "cluster=main"
    front.write_ini()
    assert "reloaded" in front.reload()
    with load(lab, front) as work:
        work.wait_writes()
        work.wait_reads(roles(lab)[1])
    work.check_writes()


# Environment alone.

def environment(lab: Lab, port: int, **more: str) -> dict[str, str]:
    return {"PGSLUICE_PATRONI": urls(lab), "PGSLUICE_AUTH_USERS": '"app" "app"', "PGSLUICE_LISTEN_PORT": str(port), **more}


def test_three_variables_are_enough(lab: Lab, place: Place) -> None:
    """The other ports are given as well, so that this test runs beside whatever else the machine does."""
    port, read_port = place.port(), place.port()
    front = Sluice(place, arguments=[], listen_port=port,
                   env=environment(lab, port, PGSLUICE_READ_PORT=str(read_port), PGSLUICE_HTTP_PORT="0",
                                   PGSLUICE_UNIX_SOCKET_DIR=""))
    front.start()
    try:
        done = front.psql("-c", "SELECT pg_is_in_recovery()", password="app")
        assert (done.returncode, done.stdout) == (0, "f\n"), done.stderr
        done = front.psql("-c", "SELECT pg_is_in_recovery()", password="app", port=read_port)
        assert (done.returncode, done.stdout) == (0, "t\n"), done.stderr
        done = front.psql("-c", "SELECT 1", password="wrong")
        assert done.returncode == 2 and "password authentication failed" in done.stderr
    finally:
        front.stop()


def test_secrets_as_files(lab: Lab, place: Place) -> None:
    port = place.port()
    front = Sluice(place, arguments=[], listen_port=port)
    secret = place.write(front.dir / "secret", '"app" "app"\n')
    front.env = environment(lab, port, PGSLUICE_READ_PORT="0", PGSLUICE_HTTP_PORT="0", PGSLUICE_AUTH_USERS_FILE=str(secret))
    del front.env["PGSLUICE_AUTH_USERS"]
    front.start()
    try:
        assert front.psql("-c", "SELECT 1", password="app").stdout == "1\n"
    finally:
        front.stop()


@pytest.mark.parametrize("wrong, words", [
    ({"PGSLUICE_PATRONI": "not a url"}, "PGSLUICE_PATRONI"),
    ({"PGSLUICE_LISTEN_PORT": "seventy"}, "PGSLUICE_LISTEN_PORT"),
    ({"PGSLUICE_LISTEN_PORT": "0"}, "PGSLUICE_LISTEN_PORT"),
    ({"PGSLUICE_LISTEN_PROT": "1"}, "PGSLUICE_LISTEN_PROT"),
    ({"PGSLUICE_AUTH_FILE": "/nonexistent"}, "/nonexistent"),
    ({"PGSLUICE_AUTH_USERS_FILE": "/nonexistent"}, "PGSLUICE_AUTH_USERS_FILE"),
    ({"PGSLUICE_POOL_MODE": "sometimes"}, "PGSLUICE_POOL_MODE"),
], ids=str)
def test_a_wrong_environment_is_one_line(place: Place, wrong: dict[str, str], words: str) -> None:
    port = place.port()
    right = {"PGSLUICE_PATRONI": "http://127.0.0.1:1", "PGSLUICE_AUTH_USERS": '"app" "app"',
             "PGSLUICE_LISTEN_PORT": str(port)}
    if "PGSLUICE_AUTH_USERS_FILE" in wrong:
        del right["PGSLUICE_AUTH_USERS"]
    front = Sluice(place, arguments=[], env={**right, **wrong})
    front.start(wait=False)
    assert front.expect_exit() == 1
    assert words in front.log_text() and len(front.log_text().strip().splitlines()) == 1, front.log_text()


def test_the_pair_is_replaced_by_what_import_prints(place: Place, lab: Lab) -> None:
    """HAProxy and PgBouncer work, are stopped, and the very same clients find pgsluice at the same ports."""
    pair = Pair(place, lab, '"app" "app"\n')
    printed = place.run([str(installed(place)), "--import", str(pair.ini), str(pair.cfg)])
    assert printed.returncode == 0 and "app_ro went to replicas" in printed.stderr, printed.stderr
    front = Sluice(place, text=printed.stdout, listen_port=pair.port)
    checked = place.run([str(installed(place)), "--check-config", str(front.ini)])
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr
    where = "SELECT pg_is_in_recovery()"

    def both_ports_work() -> None:
        wait_until(lambda: front.psql("-c", where, password="app").stdout == "f\n", 60, "the primary")
        wait_until(lambda: front.psql("-c", where, password="app", port=pair.read).stdout == "t\n", 60, "a replica")

    if shutil.which("haproxy") and shutil.which("pgbouncer"):
        with pair.run():
            both_ports_work()
    front.start()
    try:
        both_ports_work()
        assert front.psql("-c", where, password="app", dbname="app_ro").stdout == "f\n"
        assert front.psql("-c", where, password="app", dbname="app_ro", port=pair.read).stdout == "t\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{pair.stats}/", timeout=30) as page:
            assert page.status == 200
    finally:
        front.stop()
