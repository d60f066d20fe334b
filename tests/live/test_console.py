"""The console and HTTP, as administrators and their tools use them."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import asyncpg
import psycopg
import pytest
from kit import wire
from kit.place import HOST, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice, in_loop
from kit.wire import Wire

Start = Any
SECRETS = {"app": PASSWORD, "boss": PASSWORD, "mon": PASSWORD}


def start(sluices: Start, **settings: Any) -> Sluice:
    place = sluices.place
    return sluices(secrets=SECRETS, admin_users="boss", stats_users="mon", http_port=place.port(), **settings)


@pytest.fixture(scope="module")
def front(module_sluices: Start) -> Sluice:
    return start(module_sluices)


def boss(front: Sluice, **given: Any) -> psycopg.Connection[Any]:
    return front.connect(user="boss", dbname="pgsluice", **given)


def rows(connection: psycopg.Connection[Any], command: str) -> list[dict[str, Any]]:
    cursor = connection.execute(command)
    names = [column.name for column in cursor.description or []]
    return [dict(zip(names, values)) for values in cursor.fetchall()]


def one(connection: psycopg.Connection[Any], command: str, **where: Any) -> dict[str, Any]:
    found = [row for row in rows(connection, command) if all(row[key] == value for key, value in where.items())]
    assert len(found) == 1, (command, where, found)
    return found[0]


def get(front: Sluice, path: str, **given: Any) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{HOST}:{front.settings['http_port']}{path}", **given)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


# Tools.

TABLES = ["CLIENTS", "SERVERS", "POOLS", "DATABASES", "USERS", "LISTS", "CONFIG", "STATS", "STATS_TOTALS", "STATS_AVERAGES",
          "TOTALS", "VERSION", "STATE", "MEM", "FDS", "SOCKETS", "ACTIVE_SOCKETS", "PEERS", "PEER_POOLS", "DNS_HOSTS",
          "DNS_ZONES", "MEMBERS", "CLUSTERS"]


@pytest.mark.parametrize("database", ["pgsluice", "pgbouncer"])
def test_psql_shows_every_table(front: Sluice, database: str) -> None:
    for table in TABLES:
        done = front.psql("-c", f"SHOW {table}", user="boss", dbname=database)
        assert done.returncode == 0, done.stderr
    done = front.psql("-c", "SHOW HELP", user="mon", dbname=database)
    assert "NOTICE:  Console usage" in done.stderr and "SHOW HELP" in done.stderr and done.stdout == "SHOW\n"


def test_psql_shows_errors(front: Sluice) -> None:
    done = front.psql("-c", "SELECT 1", user="boss", dbname="pgsluice")
    assert done.returncode != 0 and "ERROR:  invalid command 'SELECT 1', use SHOW HELP;" in done.stderr
    done = front.psql("-c", "SHOW POOLS", user="app", dbname="pgsluice")
    assert done.returncode != 0 and "FATAL:  not allowed" in done.stderr


def test_drivers_in_both_protocols_and_both_formats(front: Sluice) -> None:
    front.connect().close()  # so that there is a pool
    with boss(front) as connection:
        by_text = one(connection, "SHOW POOLS", database="app")
        assert isinstance(by_text["cl_active"], int) and by_text["pool_mode"] == "transaction"
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for _ in range(3):
                found = cursor.execute("SHOW STATS_TOTALS", prepare=True).fetchall()
                assert found == connection.execute("SHOW STATS_TOTALS").fetchall()
        raw = psycopg.RawCursor(connection) if hasattr(psycopg, "RawCursor") else None
        if raw:
            with pytest.raises(psycopg.errors.ProtocolViolation, match="no parameters|invalid command"):
                raw.execute("SHOW POOLS", [1])


def test_asyncpg(front: Sluice) -> None:
    async def ask() -> Any:
        connection = await front.asyncpg(user="mon", dbname="pgsluice")
        found = await connection.fetch("SHOW POOLS"), await connection.fetch("SHOW STATS")
        with pytest.raises(asyncpg.PostgresError, match="admin access needed"):
            await connection.execute("RELOAD")
        assert await connection.fetchval("SHOW VERSION") == found_version
        await connection.close()
        return found

    with boss(front) as connection:
        found_version = rows(connection, "SHOW VERSION")[0]["version"]
        pools, stats = in_loop(ask())
        assert [row["database"] for row in pools] == [row["database"] for row in rows(connection, "SHOW POOLS")]
        assert all(isinstance(row["sv_idle"], int) for row in pools)
        assert stats[0]["total_query_count"] == 0


def test_who_runs_pgsluice_comes_in_without_a_password(front: Sluice) -> None:
    done = front.psql("-c", "SHOW FDS", host=str(front.dir), user="pgbouncer", dbname="pgbouncer", password="")
    assert done.returncode == 0, done.stderr


def test_startup_parameters_of_exporters(front: Sluice) -> None:
    with Wire(front.port) as client:
        client.login(user="mon", database="pgbouncer", extra_float_digits="2", application_name="exporter")
        assert client.parameters["application_name"] == "exporter"
        assert client.parameters["server_version"] == "1.25.2/bouncer"
        assert client.ask("SHOW STATS") and client.ask("SHOW VERSION;") and client.ask("SHOW databases;")


# Figures.

def test_figures_follow_what_happens(sluices: Start) -> None:
    front = start(sluices, default_pool_size=1)
    with boss(front) as console, front.connect(application_name="busy") as busy, front.connect() as other:
        for _ in range(10):
            other.execute("SELECT 1")
        with busy.transaction():
            busy.execute("SELECT 2")
            waiting = threading.Thread(target=lambda: other.execute("SELECT 3"), daemon=True)
            waiting.start()
            wait_until(lambda: one(console, "SHOW POOLS", database="app")["cl_waiting"] == 1)
            pool = one(console, "SHOW POOLS", database="app")
            assert (pool["cl_active"], pool["sv_active"], pool["sv_idle"]) == (1, 1, 0)
            linked = one(console, "SHOW CLIENTS", application_name="busy")
            server = one(console, "SHOW SERVERS", database="app")
            assert linked["state"] == "active" and linked["link"] == server["ptr"] and server["link"] == linked["ptr"]
            assert server["remote_pid"] == busy.info.backend_pid or server["remote_pid"] > 0
            waits = one(console, "SHOW CLIENTS", state="waiting")
            assert waits["database"] == "app" and waits["wait"] + waits["wait_us"] > 0
        waiting.join()
        wait_until(lambda: one(console, "SHOW POOLS", database="app")["sv_idle"] == 1)
        totals = one(console, "SHOW STATS_TOTALS", database="app")
        assert totals["query_count"] >= 14 and totals["xact_count"] >= 12 and totals["wait_time"] > 0
        database = one(console, "SHOW DATABASES", name="app")
        assert (database["current_connections"], database["current_client_connections"]) == (1, 2)
        assert one(console, "SHOW LISTS", list="used_servers")["items"] == 1


# Commands.

def test_pause_waits_for_the_transaction_and_holds_new_ones(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console, boss(front) as second, front.connect() as client, front.connect() as other:
        answered: list[float] = []
        with client.transaction():
            client.execute("SELECT 1")
            pausing = threading.Thread(target=lambda: (console.execute("PAUSE"), answered.append(time.monotonic())),
                                       daemon=True)
            pausing.start()
            wait_until(lambda: one(second, "SHOW STATE", key="paused")["value"] == "yes")
            held = threading.Thread(target=lambda: (other.execute("SELECT 2"), answered.append(time.monotonic())),
                                    daemon=True)
            held.start()
            wait_until(lambda: one(second, "SHOW POOLS", database="app")["cl_waiting"] == 1)
            time.sleep(0.3)
            assert not answered
        pausing.join(30)
        assert len(answered) == 1, "PAUSE was not answered when the transaction was over"
        assert not rows(second, "SHOW SERVERS")
        with pytest.raises(psycopg.Error, match="already suspended/paused"):
            second.execute("PAUSE")
        second.execute("RESUME")
        held.join(30)
        assert len(answered) == 2


def test_ctrl_c_in_psql_ends_a_pause(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console, boss(front) as second, front.connect() as client, client.transaction():
        client.execute("SELECT 1")
        threading.Timer(0.5, console.cancel).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            console.execute("PAUSE")
        assert one(second, "SHOW STATE", key="active")["value"] == "yes"
        client.execute("SELECT 1")


def test_pause_of_one_database_leaves_the_others(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console:
        console.execute("PAUSE app")
        with front.connect(user="app", dbname="postgres") as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert one(console, "SHOW DATABASES", name="app")["paused"] == 1
        console.execute("RESUME app")
        front.connect().close()


def test_reconnect_replaces_servers_between_transactions(front: Sluice) -> None:
    with boss(front) as console, front.connect() as client:
        before = client.execute("SELECT pg_backend_pid()").fetchone()
        with client.transaction():
            client.execute("SELECT 1")
            console.execute("RECONNECT app")
            assert client.execute("SELECT pg_backend_pid()").fetchone() == before
        console.execute("WAIT_CLOSE app")
        assert client.execute("SELECT pg_backend_pid()").fetchone() != before


def test_kill_client_and_kill(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console, front.connect(application_name="victim") as victim, front.connect() as other:
        console.execute(f"KILL_CLIENT {one(console, 'SHOW CLIENTS', application_name='victim')['id']}")
        with pytest.raises(psycopg.OperationalError, match="admin forced disconnect"):
            victim.execute("SELECT 1")
        assert other.execute("SELECT 1").fetchone() == (1,)
        console.execute("KILL app")
        with pytest.raises(psycopg.OperationalError, match="database removed"):
            other.execute("SELECT 1")
        assert not rows(console, "SHOW SERVERS")
        console.execute("RESUME app")
        front.connect().close()


def test_disable_refuses_new_clients_only(front: Sluice) -> None:
    with boss(front) as console, front.connect() as old:
        console.execute("DISABLE app")
        try:
            with pytest.raises(psycopg.OperationalError, match='database "app" is disabled'):
                front.connect()
            assert old.execute("SELECT 1").fetchone() == (1,)
        finally:
            console.execute("ENABLE app")
        front.connect().close()


def test_reload_takes_the_file_or_says_that_it_failed(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console:
        front.write_ini(max_client_conn=77)
        console.execute("RELOAD")
        assert one(console, "SHOW CONFIG", key="max_client_conn")["value"] == "77"
        front.write_ini(max_client_conn="many")
        with pytest.raises(psycopg.Error, match="RELOAD failed, see logs for additional details") as problem:
            console.execute("RELOAD")
        assert problem.value.sqlstate == "F0000"
        assert one(console, "SHOW CONFIG", key="max_client_conn")["value"] == "77"
        front.wait_log("max_client_conn")
        front.write_ini(max_client_conn=100)


def test_shutdown_for_clients_waits_for_them(sluices: Start) -> None:
    front = start(sluices)
    with boss(front, host=str(front.dir)) as console, front.connect() as client:
        console.execute("SHUTDOWN WAIT_FOR_CLIENTS")
        assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            front.connect()
        assert get(front, "/health/readiness")[0] == 503
        assert get(front, "/health/liveness")[0] == 200
    assert front.expect_exit() == 0


def test_shutdown_at_once(sluices: Start) -> None:
    front = start(sluices)
    with boss(front) as console, front.connect() as client, client.transaction():
        client.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            console.execute("SHUTDOWN")
        assert front.expect_exit() == 0
        client.close()


# HTTP.

def test_health_and_pages(front: Sluice) -> None:
    assert get(front, "/health/liveness") == (200, "alive\n")
    status, text = get(front, "/health/readiness")
    assert status == 200 and ": ready: plain" in text
    assert get(front, "/health/startup")[0] == 200
    status, page = get(front, "/")
    assert status == 200 and "<h2>Members</h2>" in page
    assert get(front, "/nothing")[0] == 404
    assert get(front, "/metrics", method="POST", data=b"x")[0] == 405
    assert get(front, "/metrics", method="HEAD") == (200, "")


def test_metrics_agree_with_the_console(front: Sluice) -> None:
    with boss(front) as console, front.connect(application_name="it's \\ \"me\"") as client:
        client.execute("SELECT 1")
        status, text = get(front, "/metrics")
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert status == 200
        totals = one(console, "SHOW STATS_TOTALS", database="app")
        assert int(lines['pgbouncer_stats_totals_queries_pooled_total{database="app"}']) == totals["query_count"]
        assert lines['pgbouncer_client_connections{database="app",user="app",'
                     'application_name="it\'s \\\\ \\"me\\"",state="idle"}'] == "1"
        assert int(lines["process_resident_memory_bytes"]) > 1_000_000


def test_a_failover_is_seen_by_readiness(sluices: Start) -> None:
    front = sluices(secrets=SECRETS, clusters={"main": f"patroni=http://{HOST}:{sluices.place.port()}"},
                    databases={"*": "cluster=main"}, admin_users="boss", http_port=sluices.place.port())
    wait_until(lambda: get(front, "/health/startup")[0] == 200)
    status, text = get(front, "/health/readiness")
    assert status == 503 and text.startswith("cluster main: not ready: no leader")
    assert "Not ready" in get(front, "/")[1]


def visit(front: Sluice) -> socket.socket:
    return socket.create_connection((HOST, front.settings["http_port"]), 20)


def test_http_garbage_hurts_nobody(front: Sluice) -> None:
    before = front.descriptors
    for data in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 20000 + b" HTTP/1.1\r\n\r\n", b"BLA / HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n",
                 b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", b"GET http://[::1/ HTTP/1.1\r\n\r\n",
                 b"GET /%00 HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b""):
        with visit(front) as visitor:
            visitor.sendall(data)
            visitor.shutdown(socket.SHUT_WR)
            try:
                while visitor.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    for _ in range(50):  # and those who do not wait for the answer
        with visit(front) as visitor:
            visitor.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert get(front, "/health/liveness")[0] == 200
    wait_until(lambda: front.descriptors <= before, what="the end of all visits")


def test_a_slow_visitor_has_a_limit_as_a_whole(front: Sluice) -> None:
    with visit(front) as visitor:
        visitor.settimeout(0.5)
        began = time.monotonic()
        for byte in b"GET /metrics HTTP/1.1\r\nHost: " + b"x" * 200:
            try:
                visitor.sendall(bytes([byte]))
                if visitor.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        took = time.monotonic() - began
        assert 8 < took < 40, f"cut after {took:.1f} s"


def test_more_visitors_than_are_served_at_once(front: Sluice) -> None:
    before = front.descriptors
    visitors = []
    for _ in range(300):
        visitor = socket.socket()
        visitor.setblocking(False)
        visitor.connect_ex((HOST, front.settings["http_port"]))
        visitors.append(visitor)
    front.connect().close()
    assert front.descriptors <= before + 256 + 10
    assert get(front, "/health/liveness")[0] == 200  # when the idle ones were sent away
    for visitor in visitors:
        visitor.close()
    wait_until(lambda: front.descriptors <= before + 1, what="the end of all visits")


def test_the_console_refuses_what_it_can_not_read(front: Sluice) -> None:
    for data, expected in ((wire.message(b"c"), "unsupported packet type"), (b"Q\0\0\0\1", "invalid message length"),
                           (wire.message(b"B", b"x"), "malformed Bind"), (b"Q\x7f\xff\xff\xff", "invalid message length")):
        with Wire(front.port) as client:
            client.login(user="boss", database="pgsluice").send(data)
            assert expected in client.refused()["M"]
