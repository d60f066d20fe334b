"""
Replication through pgsluice, with the real tools: base backups, WAL and logical streams, a subscription, a standby. A server
connection belongs to its client and goes with it; what shares the pools with them notices nothing.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import wire
from kit.company import neighbour
from kit.place import HOST, Place, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire
from lab.node import postgres_bin

Start = Any

ROWS = 20_000


@pytest.fixture(scope="module")
def publisher(place: Place) -> Iterator[Postgres]:
    server = Postgres(place, "publisher", wal_level="logical", max_wal_senders=6, max_replication_slots=10)
    for name in ("app", "walker"):
        server.add_user(name)
    server.sql("ALTER ROLE walker REPLICATION")
    server.sql("CREATE DATABASE app OWNER app")
    for table in ("t1", "t2", "t3"):
        server.sql(f"CREATE TABLE {table} AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, {ROWS}) g", dbname="app")
        server.sql(f"ALTER TABLE {table} ADD PRIMARY KEY (id)", dbname="app")
        server.sql(f"GRANT ALL ON {table} TO app, walker", dbname="app")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def front(module_sluices: Start, publisher: Postgres) -> Sluice:
    """In transaction mode."""
    return module_sluices(databases={"*": f"host={publisher.host} port={publisher.port}"},
                          secrets={"app": PASSWORD, "walker": PASSWORD, "postgres": PASSWORD}, admin_users="postgres")


@pytest.fixture(autouse=True)
def nothing_stays(publisher: Postgres, front: Sluice) -> Iterator[None]:
    yield
    if publisher._process is None:
        return
    wait_until(lambda: publisher.sql("SELECT * FROM pg_stat_replication") == [] or None, 30, "the end of all walsenders")
    assert publisher.sql("SELECT slot_name FROM pg_replication_slots") == []
    assert replicating(front, "SERVERS") == replicating(front, "CLIENTS") == []


def replicating(sluice: Sluice, what: str) -> list[str]:
    with sluice.connect(user="postgres", dbname="pgsluice") as console:
        cursor = console.cursor(row_factory=psycopg.rows.dict_row)
        return [row["replication"] for row in cursor.execute(f"SHOW {what}") if row["replication"] != "none"]


def where(port: int) -> list[str]:
    return ["-h", HOST, "-p", str(port), "-U", "walker", "-w"]


def tool(place: Place, name: str, *arguments: str, port: int, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = place.run([str(postgres_bin() / name), *where(port), *arguments], env={"PGPASSWORD": PASSWORD}, timeout=120)
    assert (done.returncode == 0) == ok, done.stderr
    return done


def spawn(place: Place, directory: Path, name: str, *arguments: str, port: int) -> subprocess.Popen[bytes]:
    return place.spawn([str(postgres_bin() / name), *where(port), *arguments], cwd=directory, log=directory / "log",
                       env={"PGPASSWORD": PASSWORD})


class Standby:
    """What a base backup with -R makes: a server that follows through pgsluice."""

    def __init__(self, place: Place, data: Path) -> None:
        self.port, self.log = place.port(), data.parent / "log"
        self._process = place.spawn([str(postgres_bin() / "postgres"), "-D", str(data), "-c", f"port={self.port}"],
                                    cwd=data, log=self.log)
        wait_until(self._answers, 60, "the standby's readiness")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return self.sql("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def sql(self, query: str) -> list[Any]:
        with psycopg.connect(host=HOST, port=self.port, user="postgres", password=PASSWORD, dbname="app", autocommit=True,
                             connect_timeout=10) as connection:
            return connection.execute(query).fetchall()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)


@pytest.fixture
def standby(place: Place, publisher: Postgres, front: Sluice) -> Iterator[Standby]:
    directory = place.make_dir("standby")
    with neighbour(front.connect):
        tool(place, "pg_basebackup", "-D", str(directory / "data"), "-X", "stream", "-c", "fast", "-R", port=front.port)
    server = Standby(place, directory / "data")
    yield server
    server.stop()


def test_a_base_backup_becomes_a_standby_that_follows_through_us(standby: Standby, publisher: Postgres,
                                                                 front: Sluice) -> None:
    assert standby.sql("SELECT count(*) FROM t1") == [(ROWS,)]
    wait_until(lambda: replicating(front, "SERVERS") == ["physical"], what="the standby's stream")
    publisher.sql("INSERT INTO t1 VALUES (-1, 'streamed')", dbname="app")
    wait_until(lambda: standby.sql("SELECT v FROM t1 WHERE id = -1") == [("streamed",)], what="the row on the standby")
    # its feedback passes, too: it is what a synchronous commit waits for
    with publisher.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: publisher.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)], what="a sync standby")
        connection.execute("SET synchronous_commit = remote_apply")
        connection.execute("CREATE TABLE applied ()")
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP TABLE applied")
    publisher.sql("DELETE FROM t1 WHERE id = -1", dbname="app")


def test_the_read_port_leads_to_a_standby_and_a_new_leader_is_found(standby: Standby, place: Place, publisher: Postgres,
                                                                    front: Sluice, sluices: Start) -> None:
    both = sluices(clusters={"main": f"hosts={HOST}:{publisher.port},{HOST}:{standby.port}"}, databases={"*": "cluster=main"},
                   secrets={"walker": PASSWORD, "postgres": PASSWORD}, read=True)
    directory = place.make_dir("from-standby")
    tool(place, "pg_basebackup", "-D", str(directory / "data"), "-X", "fetch", "-c", "fast", port=both.read_port)
    assert "BACKUP FROM: standby" in (directory / "data" / "backup_label").read_text()
    tool(place, "pg_basebackup", "-D", str(directory / "other"), "-X", "none", "-c", "fast", port=both.port)
    assert "BACKUP FROM: primary" in (directory / "other" / "backup_label").read_text()
    with Wire(both.port) as client:
        client.login("walker", "replication", replication="true")
        assert client.ask("IDENTIFY_SYSTEM")[0][1] == b"1"
        publisher.stop(signal.SIGINT)
        assert client.refused()["C"] in ("57P01", "08006")
    try:
        with Wire(both.port) as client:
            client.send(wire.startup(user="walker", database="replication", replication="true"))
            standby.sql("SELECT pg_promote()")
            client._answer(client.next()[1], "walker", PASSWORD)
            client._answer(client.next()[1], "walker", PASSWORD)
            client.ready()
            assert client.ask("IDENTIFY_SYSTEM")[0][1] == b"2"
    finally:
        publisher.start()


def test_a_base_backup_as_tar_with_the_log_fetched(place: Place, front: Sluice) -> None:
    directory = place.make_dir("tar")
    tool(place, "pg_basebackup", "-D", str(directory / "tar"), "-Ft", "-X", "fetch", "-c", "fast", port=front.port)
    (directory / "data").mkdir(mode=0o700)
    subprocess.run(["tar", "xf", str(directory / "tar" / "base.tar"), "-C", str(directory / "data")], check=True)
    subprocess.run(["cp", str(directory / "tar" / "backup_manifest"), str(directory / "data")], check=True)
    done = subprocess.run([str(postgres_bin() / "pg_verifybackup"), str(directory / "data")], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_the_log_is_received_byte_by_byte(place: Place, publisher: Postgres, front: Sluice) -> None:
    directory = place.make_dir("wal")
    publisher.sql("SELECT pg_create_physical_replication_slot('keeper', true)")
    for i in range(2):
        publisher.sql(f"CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, {ROWS}) g")
        publisher.sql("DROP TABLE filler")
        publisher.sql("SELECT pg_switch_wal()")
    end = publisher.sql("SELECT pg_current_wal_lsn()")[0][0]
    publisher.sql("SELECT txid_current()")  # so that there is more than that
    tool(place, "pg_receivewal", "-D", str(directory), "--slot=keeper", f"--endpos={end}", "--synchronous", port=front.port)
    received = [path for path in directory.iterdir() if path.suffix == "" and path.name != "log"]
    assert len(received) >= 2
    for path in received:
        assert path.read_bytes() == (publisher.data / "pg_wal" / path.name).read_bytes()
    tool(place, "pg_receivewal", "--slot=keeper", "--drop-slot", port=front.port)


def test_a_logical_stream(place: Place, publisher: Postgres, front: Sluice) -> None:
    slot = ["-d", "app", "--slot=reader"]
    tool(place, "pg_recvlogical", *slot, "--create-slot", "-P", "test_decoding", port=front.port)
    publisher.sql("INSERT INTO t2 SELECT g, 'decoded' FROM generate_series(-500, -1) g", dbname="app")
    publisher.sql("DELETE FROM t2 WHERE id < 0", dbname="app")
    end = publisher.sql("SELECT pg_current_wal_lsn()")[0][0]
    done = tool(place, "pg_recvlogical", *slot, "--start", "-f", "-", f"--endpos={end}", "--no-loop", port=front.port)
    lines = done.stdout.splitlines()
    assert [line for line in lines if "INSERT" in line] == \
        [f"table public.t2: INSERT: id[integer]:{i} v[text]:'decoded'" for i in range(-500, 0)]
    assert sum("DELETE" in line for line in lines) == 500
    tool(place, "pg_recvlogical", *slot, "--drop-slot", port=front.port)


def test_a_subscription(place: Place, postgres: Postgres, publisher: Postgres, front: Sluice) -> None:
    tables = ("t1", "t2", "t3")
    publisher.sql("CREATE PUBLICATION pub FOR TABLE t1, t2, t3", dbname="app")
    postgres.sql("CREATE DATABASE copy")
    for table in tables:
        postgres.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)", dbname="copy")
    with neighbour(front.connect):
        postgres.sql(f"CREATE SUBSCRIPTION sub CONNECTION 'host={HOST} port={front.port} user=walker password={PASSWORD} dbname=app'"
                     " PUBLICATION pub", dbname="copy")
        for table in tables:
            wait_until(lambda: postgres.sql(f"SELECT count(*) FROM {table}", dbname="copy") == [(ROWS,)], 60,
                       f"the initial copy of {table}")
        publisher.sql("UPDATE t3 SET v = 'changed' WHERE id <= 1000", dbname="app")
        wait_until(lambda: postgres.sql("SELECT count(*) FROM t3 WHERE v = 'changed'", dbname="copy") == [(1000,)], 60,
                   "the changed rows")
        assert "logical" in replicating(front, "CLIENTS")
    wait_until(lambda: postgres.sql("SELECT every(srsubstate = 'r') FROM pg_subscription_rel", dbname="copy") == [(True,)], 60,
               "the end of the initial copies")
    postgres.sql("DROP SUBSCRIPTION sub", dbname="copy")
    postgres.sql("DROP DATABASE copy")
    publisher.sql("DROP PUBLICATION pub", dbname="app")


def test_who_is_killed_leaves_nothing_behind(place: Place, publisher: Postgres, front: Sluice) -> None:
    directory = place.make_dir("killed")
    tool(place, "pg_receivewal", "--slot=held", "--create-slot", port=front.port)
    process = spawn(place, directory, "pg_receivewal", "-D", str(directory), "--slot=held", port=front.port)
    wait_until(lambda: publisher.sql("SELECT active FROM pg_replication_slots") == [(True,)], what="the stream")
    assert replicating(front, "SERVERS") == replicating(front, "CLIENTS") == ["physical"]
    process.kill()
    process.wait(10)
    wait_until(lambda: publisher.sql("SELECT active FROM pg_replication_slots") == [(False,)], what="the slot's release")
    tool(place, "pg_receivewal", "--slot=held", "--drop-slot", port=front.port)


def test_the_servers_refusals_are_its_own_words_and_nobody_elses_trouble(publisher: Postgres, front: Sluice) -> None:
    def login(port: int, user: str, **more: str) -> dict[str, str]:
        with Wire(port) as client, pytest.raises(AssertionError) as caught:
            client.login(user, "app", **more)
        said: dict[str, str] = caught.value.args[0]
        return {letter: said[letter] for letter in said if letter in "SVCMDH"}

    assert login(front.port, "app", replication="database") == login(publisher.port, "app", replication="database")
    assert login(front.port, "walker", replication="maybe") == login(publisher.port, "walker", replication="maybe")
    settings = {"replication": "database", "options": "-c work_mem=lots"}
    assert login(front.port, "walker", **settings) == login(publisher.port, "walker", **settings)
    held = [Wire(front.port).login("walker", "app", replication="database") for _ in range(6)]
    with front.connect(user="walker") as ordinary:
        said = login(front.port, "walker", replication="database")
        assert said["C"] == "53300" and said == login(publisher.port, "walker", replication="database")
        assert ordinary.execute("SELECT 1").fetchone() == (1,)
    with front.connect(user="walker") as ordinary, front.connect() as other:
        assert ordinary.execute("SELECT 1").fetchone() == other.execute("SELECT 1").fetchone() == (1,)
    for each in held:
        assert each.ask("SHOW application_name") == [[b""]]
        each.close()


def test_limits_and_the_end_of_the_process(publisher: Postgres, sluices: Start) -> None:
    small = sluices(databases={"app": f"host={publisher.host} port={publisher.port} pool_size=2"},
                    secrets={"walker": PASSWORD}, query_wait_timeout=1)
    one, two = (Wire(small.port).login("walker", "app", replication="database") for _ in range(2))
    with Wire(small.port) as third, pytest.raises(AssertionError, match="query_wait_timeout"):
        third.login("walker", "app", replication="database")
    with Wire(small.port) as nowhere, pytest.raises(AssertionError, match="3D000"):
        nowhere.login("walker", "replication", replication="true")
    two.close()
    wait_until(lambda: publisher.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == [(1,)],
               what="the end of a walsender")
    with small.connect(user="walker") as ordinary:
        assert ordinary.execute("SELECT count(*) FROM t1").fetchone() == (ROWS,)
        small.send(signal.SIGTERM)
        assert one.refused()["C"] == "57P01"
    assert small.expect_exit() == 0
