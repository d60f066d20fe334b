"""Limits and timeouts: who waits, in which order, for how long, and what the others hear."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.company import neighbour
from kit.place import wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


def test_max_client_conn(sluices: Start) -> None:
    front: Sluice = sluices(max_client_conn=5)
    connections = [front.connect() for _ in range(5)]
    with Wire(front.port) as client:
        error = client.send(wire.startup(user="app", database="app")).refused()
        assert error["C"] == "53300" and "max_client_conn" in error["M"]
    connections.pop().close()
    wait_until(lambda: can_log_in(front), what="room for another client")
    for connection in connections:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()


def can_log_in(front: Sluice, **given: Any) -> bool:
    try:
        front.connect(**given).close()
    except psycopg.OperationalError:
        return False
    return True


def test_limits_of_a_database_and_of_a_user(sluices: Start, backend: str) -> None:
    secrets = {"app": PASSWORD, "other": PASSWORD}
    front: Sluice = sluices(databases={"app": f"{backend} max_db_client_connections=2", "*": backend}, secrets=secrets,
                            users={"other": "max_user_client_connections=1"})
    with front.connect(), front.connect():
        with pytest.raises(psycopg.OperationalError, match="max_db_client_connections"):
            front.connect()
        with front.connect(user="other", dbname="postgres"):
            with pytest.raises(psycopg.OperationalError, match="max_user_client_connections"):
                front.connect(user="other", dbname="postgres")


def test_waiting_clients_are_served_in_the_order_they_came(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1)
    holder = Wire(front.port).login()
    holder.ask("BEGIN")
    waiting = []
    for _ in range(8):  # one after the other, each known to wait before the next one comes
        client = Wire(front.port).login()
        client.send(wire.query("SELECT nextval('turns')"))
        waiting.append(client)
        time.sleep(0.05)
    holder.ask("DROP SEQUENCE IF EXISTS turns; CREATE SEQUENCE turns; COMMIT")
    turns = [int(next(wire.row(body)[0] or 0 for letter, body in client.ready() if letter == b"D")) for client in waiting]
    assert turns == list(range(1, 9))
    for client in (holder, *waiting):
        client.close()


def test_who_leaves_while_waiting_is_forgotten(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(default_pool_size=1)
    with front.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS left_behind; CREATE TABLE left_behind (id int)")
    holder = Wire(front.port).login()
    holder.ask("BEGIN")
    clients = [Wire(front.port).login() for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(wire.query(f"INSERT INTO left_behind VALUES ({number})"))
        time.sleep(0.05)
    clients[0].abort()
    clients[1].close()
    time.sleep(0.1)
    holder.ask("COMMIT")
    assert wire.letters(clients[2].ready()) == "CZ"
    assert clients[2].ask("SELECT id FROM left_behind") == [[b"2"]]
    holder.close()
    clients[2].close()


def test_query_wait_timeout(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1, query_wait_timeout=2)
    with neighbour(lambda: front.connect(dbname="postgres")):
        with front.connect(autocommit=False) as holder:
            holder.execute("SELECT 1")
            with Wire(front.port) as client:
                error = client.login().send(wire.query("SELECT 1")).refused()
                assert "query_wait_timeout" in error["M"]
            with pytest.raises(psycopg.OperationalError), front.connect() as connection:
                connection.execute("SELECT 1")
            assert holder.execute("SELECT 2").fetchone() == (2,)


def test_query_wait_notify(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1, query_wait_notify=1)
    holder = Wire(front.port).login()
    holder.ask("BEGIN")
    with Wire(front.port) as client:
        client.login().send(wire.query("SELECT 1"))
        letter, body = client.next()
        assert letter == b"N" and "waiting" in wire.fields(body)["M"]
        holder.ask("COMMIT")
        assert wire.letters(client.ready()) == "TDCZ"
    holder.close()


def test_idle_transaction_timeout(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(default_pool_size=1, idle_transaction_timeout=1)
    with front.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS idle_in; CREATE TABLE idle_in AS SELECT 1 AS id")
    client = Wire(front.port).login()
    client.ask("BEGIN")
    client.ask("UPDATE idle_in SET id = 2")
    assert client.refused()["C"] == "25P03"
    with front.connect() as connection:  # rolled back, the lock is free, the server in order
        assert connection.execute("UPDATE idle_in SET id = id + 10 RETURNING id").fetchone() == (11,)
    client.close()


def test_query_timeout(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(query_timeout=1, default_pool_size=1)
    with Wire(front.port) as client:
        error = client.login().send(wire.query("SELECT pg_sleep(600)")).refused()
        assert error["M"] == "query timeout"
    wait_until(lambda: postgres.backends("query = 'SELECT pg_sleep(600)' AND state = 'active'") == 0,
               what="the end of the query on the server")
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_transaction_timeout(sluices: Start) -> None:
    front: Sluice = sluices(transaction_timeout=2, default_pool_size=1)
    with Wire(front.port) as client:
        client.login().ask("BEGIN")
        with pytest.raises((AssertionError, wire.Closed, OSError)):
            until = time.monotonic() + 30
            while time.monotonic() < until:
                client.ask("SELECT 1")
                time.sleep(0.1)
            return
        assert any("transaction timeout" in wire.fields(body).get("M", "") for letter, body in client.heard if letter == b"E")
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_client_idle_timeout(sluices: Start) -> None:
    front: Sluice = sluices(client_idle_timeout=1)
    with Wire(front.port) as idle:
        error = idle.login().refused()
        assert error["C"] == "57P05" and "client_idle_timeout" in error["M"]


def test_client_login_timeout(sluices: Start) -> None:
    front: Sluice = sluices(client_login_timeout=1, tcp_defer_accept=0)  # else the kernel keeps who says nothing
    with neighbour(front.connect):
        for begin in (b"", b"\0\0", wire.startup(user="app", database="app")):
            with Wire(front.port) as client:
                client.send(begin).closed()
        assert any("client_login_timeout" in wire.fields(body).get("M", "") for letter, body in client.heard)


def test_server_idle_timeout_and_min_pool_size(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(server_idle_timeout=1, min_pool_size=2, default_pool_size=5)
    connections = [front.connect(autocommit=False, application_name="idle_test") for _ in range(5)]
    for connection in connections:
        connection.execute("SELECT 1")
    for connection in connections:
        connection.commit()
    wait_until(lambda: postgres.backends("datname = 'app'") == 2, what="two servers left")
    for connection in connections:
        connection.close()


def test_server_lifetime(sluices: Start) -> None:
    front: Sluice = sluices(server_lifetime=1, default_pool_size=1)
    with front.connect() as connection:
        first = connection.execute("SELECT pg_backend_pid()").fetchone()
        wait_until(lambda: connection.execute("SELECT pg_backend_pid()").fetchone() != first, what="another server")
    once: Sluice = sluices(server_lifetime=0, default_pool_size=1, session_tracking="names")
    with once.connect() as connection:
        assert len({connection.execute("SELECT pg_backend_pid()").fetchone() for _ in range(5)}) == 5


def test_reserve_pool(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1, reserve_pool_size=1, reserve_pool_timeout=1)
    with front.connect(autocommit=False) as first, front.connect(autocommit=False) as second:
        first.execute("SELECT 1")
        second.execute("SELECT 1")  # after a second of waiting


def test_max_db_connections_makes_room_between_pools(sluices: Start, backend: str, postgres: Postgres) -> None:
    front: Sluice = sluices(databases={"app": f"{backend} max_db_connections=2"}, secrets={"app": PASSWORD,
                            "other": PASSWORD})
    with front.connect(autocommit=False) as a, front.connect(autocommit=False) as b:
        a.execute("SELECT 1")
        b.execute("SELECT 1")
        a.commit()
        b.commit()
        with front.connect(user="other") as other:  # an idle one of the other pool has to go
            assert other.execute("SELECT current_user").fetchone() == ("other",)
        assert postgres.backends("datname = 'app'") <= 2


def test_max_user_connections(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(max_user_connections=3)
    done = []

    def work() -> None:
        with front.connect() as connection:
            done.append(connection.execute("SELECT count(*) FROM pg_stat_activity, pg_sleep(0.02)"
                                           " WHERE usename = 'app'").fetchone())

    threads = [threading.Thread(target=work, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 20 and max(count for (count,) in done) <= 3


def test_servers_of_a_cold_pool_are_opened_side_by_side(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=8)
    barrier = threading.Barrier(8, timeout=60)
    backends = []

    def work() -> None:
        with front.connect(autocommit=False) as connection:
            backends.append(connection.execute("SELECT pg_backend_pid()").fetchone())
            barrier.wait()  # nobody gives his server back before all have one

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(backends)) == 8


def test_server_check_finds_dead_servers(sluices: Start, postgres: Postgres) -> None:
    """A server that died while it was idle is not given to anybody."""
    front: Sluice = sluices(default_pool_size=2, server_check_delay=0)
    with front.connect() as connection:
        for _ in range(3):
            (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            postgres.sql("SELECT pg_terminate_backend(%s, 10000)", backend)
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_connect_query(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"app": f"{backend} connect_query='SET work_mem = 11264'"})
    with front.connect() as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("11MB",)
