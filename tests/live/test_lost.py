"""A server is lost under its client: the client keeps its connection, and is told what is known. Drivers can go on."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any, Callable, Iterator

import asyncpg
import psycopg
import pytest
from conftest import Start
from kit import wire
from kit.place import Place, wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice, in_loop
from kit.wire import Wire, fields, letters
from psycopg.pq import TransactionStatus


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Postgres]:
    """One of our own, which may be killed."""
    own = Postgres(place, "lost")
    own.add_user("app", "scram-sha-256")
    own.sql("CREATE DATABASE app OWNER app")
    with own.connect(dbname="app") as connection:
        connection.execute("CREATE TABLE kept (v text); GRANT ALL ON kept TO app")
    yield own
    own.stop()


@pytest.fixture(scope="module")
def front(module_sluices: Start, server: Postgres) -> Sluice:
    return module_sluices(clusters={"main": f"hosts={server.host}:{server.port}"}, databases={"app": "cluster=main"})


def kill(server: Postgres, pid: int) -> None:
    """As an administrator does; gone when this returns."""
    with server.connect() as admin:
        assert admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)


def pid_of(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row
    return int(row[0])


def kept(server: Postgres, value: str) -> int:
    with server.connect(dbname="app") as connection:
        row = connection.execute("SELECT count(*) FROM kept WHERE v = %s", (value,)).fetchone()
        assert row
        return int(row[0])


def test_a_transaction_context_of_psycopg(server: Postgres, front: Sluice) -> None:
    with front.connect() as connection:
        before = connection.info.backend_pid
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            with connection.transaction():
                connection.execute("INSERT INTO kept VALUES ('context')")
                kill(server, pid_of(connection))
                connection.execute("INSERT INTO kept VALUES ('context')")
        assert "rolled back" in str(caught.value)
        assert "administrator command" in (caught.value.diag.message_detail or "")
        assert connection.info.transaction_status == TransactionStatus.IDLE
        with connection.transaction():
            connection.execute("INSERT INTO kept VALUES (%s)", ("context",))
        assert connection.info.backend_pid == before
    assert kept(server, "context") == 1


def test_commit_is_the_first_to_hear_of_it(server: Postgres, front: Sluice) -> None:
    with front.connect() as connection:
        with pytest.raises(psycopg.errors.SerializationFailure):
            with connection.transaction():
                connection.execute("INSERT INTO kept VALUES ('commit')")
                kill(server, pid_of(connection))
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert kept(server, "commit") == 0


def test_commit_and_rollback_of_a_connection_without_autocommit(server: Postgres, front: Sluice) -> None:
    with front.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO kept VALUES ('plain')")
        kill(server, pid_of(connection))
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        connection.execute("INSERT INTO kept VALUES ('plain')")
        kill(server, pid_of(connection))
        connection.rollback()
        connection.execute("INSERT INTO kept VALUES ('plain')")
        connection.commit()
    assert kept(server, "plain") == 1


def test_a_pipeline_of_psycopg(server: Postgres, front: Sluice) -> None:
    with front.connect() as connection:
        with pytest.raises(psycopg.errors.SerializationFailure):
            with connection.pipeline() as pipeline, connection.transaction():
                pid = connection.execute("SELECT pg_backend_pid()").fetchone()
                assert pid
                pipeline.sync()
                kill(server, pid[0])
                for _ in range(20):
                    connection.execute("INSERT INTO kept VALUES (%s)", ("pipeline",))
        assert connection.info.transaction_status == TransactionStatus.IDLE
        with connection.pipeline(), connection.transaction():
            connection.execute("INSERT INTO kept VALUES (%s)", ("pipeline",))
    assert kept(server, "pipeline") == 1


def test_a_transaction_of_asyncpg(server: Postgres, front: Sluice) -> None:
    async def work() -> None:
        connection = await front.asyncpg()
        assert await connection.fetchval("SELECT $1::int", 1) == 1  # prepared, and prepared again elsewhere
        with pytest.raises(asyncpg.exceptions.SerializationError):
            async with connection.transaction():
                await connection.execute("INSERT INTO kept VALUES ($1)", "asyncpg")
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await asyncio.to_thread(kill, server, pid)
                await connection.execute("INSERT INTO kept VALUES ($1)", "asyncpg")
        assert not connection.is_closed() and not connection.is_in_transaction()
        assert await connection.fetchval("SELECT $1::int", 1) == 1
        async with connection.transaction():
            await connection.execute("INSERT INTO kept VALUES ($1)", "asyncpg")
        await connection.close()

    in_loop(work())
    assert kept(server, "asyncpg") == 1


def test_a_copy_of_psycopg(server: Postgres, front: Sluice) -> None:
    with front.connect() as connection:
        with pytest.raises(psycopg.errors.SerializationFailure):
            with connection.cursor() as cursor, cursor.copy("COPY kept FROM STDIN") as copy:
                copy.write("copy\n")
                with server.connect() as admin:
                    def is_copying() -> list[Any]:
                        return admin.execute("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'COPY kept "
                                             "FROM STDIN'").fetchall()
                    wait_until(is_copying, what="the COPY")
                    kill(server, is_copying()[0][0])
                copy.write("copy\n")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert kept(server, "copy") == 0


def in_flight(server: Postgres, client: Wire, sql: str, then: Callable[[int], None]) -> None:
    """Send it; when the server sleeps in it, do something to its process."""
    client.send(wire.query(sql))
    with server.connect() as admin:
        def sleeps() -> list[Any]:
            return admin.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = %s", (sql,)).fetchall()
        wait_until(sleeps, what="the sleep")
        pid = sleeps()[0][0]
    then(pid)


def test_what_the_server_has_broken_off_is_not_in_doubt(server: Postgres, front: Sluice) -> None:
    with Wire(front.port).login() as client:
        in_flight(server, client, "INSERT INTO kept SELECT 'alone' FROM pg_sleep(60)", lambda pid: kill(server, pid))
        answer = client.ready()
        assert letters(answer) == "EZ" and answer[-1][1] == b"I"
        error = fields(answer[0][1])
        assert error["C"] == "40001" and error["S"] == "ERROR" and "administrator command" in error["D"]
        assert client.ask("SELECT 1") == [[b"1"]]
    assert kept(server, "alone") == 0


def test_a_multi_statement_begin_and_what_is_in_doubt(server: Postgres, front: Sluice) -> None:
    with Wire(front.port).login() as client:
        client.ask("BEGIN")
        in_flight(server, client, "SELECT pg_sleep(60)", lambda pid: kill(server, pid))
        assert client.error()["C"] == "40001"
        assert client.heard[-1] == (b"Z", b"E")
        assert client.send(wire.query("COMMIT")).ready() == [(b"C", b"ROLLBACK\0"), (b"Z", b"I")]
        client.ask("BEGIN")
        in_flight(server, client, "SELECT pg_sleep(60); COMMIT", lambda pid: kill(server, pid))
        assert client.error()["C"] == "08007"
        assert client.heard[-1] == (b"Z", b"I")


def test_postgresql_is_killed_and_started_again(server: Postgres, front: Sluice) -> None:
    """kill -9: nobody says a word. Idle clients and those who wait see nothing, the others keep their connections."""
    with front.connect() as idle, front.connect() as busy, Wire(front.port).login() as alone:
        idle.execute("SELECT 1")
        busy.execute("BEGIN")
        busy.execute("INSERT INTO kept VALUES ('killed')")
        in_flight(server, alone, "INSERT INTO kept SELECT 'killed' FROM pg_sleep(60)",
                  lambda _: server.stop(signal.SIGKILL))
        answers: list[Any] = []
        waiting = threading.Thread(target=lambda: answers.append(idle.execute("SELECT 2").fetchone()), daemon=True)
        waiting.start()
        assert alone.error()["C"] == "08007"
        with pytest.raises(psycopg.errors.SerializationFailure):
            busy.execute("INSERT INTO kept VALUES ('killed')")
        busy.execute("ROLLBACK")
        server.start()
        waiting.join(60)
        assert answers == [(2,)]
        assert busy.execute("SELECT 3").fetchone() == (3,)
        assert alone.ask("SELECT 4") == [[b"4"]]
    assert kept(server, "killed") == 0


def test_the_other_sqlstate_and_the_session_that_is_its_server(server: Postgres, sluices: Start) -> None:
    databases = {"app": f"host={server.host} port={server.port}",
                 "whole": f"host={server.host} port={server.port} dbname=app pool_mode=session"}
    front = sluices(databases=databases, failover_aborted_sqlstate="57P01")
    with front.connect() as connection:
        connection.execute("BEGIN")
        kill(server, pid_of(connection))
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with Wire(front.port).login(database="whole") as whole:
        kill(server, int(whole.ask("SELECT pg_backend_pid()")[0][0] or 0))
        error = whole.refused()
        assert (error["S"], error["C"]) == ("FATAL", "57P01")
