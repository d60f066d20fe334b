"""Every kind of message, through clients in use everywhere and by hand: the answers are PostgreSQL's own."""

from __future__ import annotations

import asyncio
import struct
import threading
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice, in_loop
from kit.wire import Wire


def test_simple_queries_by_psql(sluice: Sluice) -> None:
    done = sluice.psql("-c", "SELECT 1; SELECT 'two'", "-c", "SELECT 3 WHERE false", "-c", ";")
    assert (done.returncode, done.stdout) == (0, "1\ntwo\n"), done.stderr


def test_an_error_is_the_servers_own(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.SyntaxError) as caught:
            connection.execute("SELEKT 1")
        assert caught.value.diag.statement_position == "1"
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_extended_queries(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        assert connection.execute("SELECT %s::int + %b", (40, 2)).fetchone() == (42,)
        assert connection.execute("SELECT %s::bytea", (bytes(range(256)),), binary=True).fetchone() == (bytes(range(256)),)
        with connection.cursor(name="portal") as cursor, connection.transaction():
            cursor.itersize = 10
            assert [value for (value,) in cursor.execute("SELECT generate_series(1, 100)")] == list(range(1, 101))


def test_extended_queries_by_asyncpg(sluice: Sluice) -> None:
    async def work() -> None:
        connection = await sluice.asyncpg()
        assert await connection.fetchval("SELECT $1::int + 1", 41) == 42
        async with connection.transaction():
            rows = [row[0] async for row in connection.cursor("SELECT generate_series(1, 250)", prefetch=50)]
            assert rows == list(range(1, 251))
        await connection.executemany("SELECT $1::text", [("a",), ("b",)])
        await connection.close()

    in_loop(work())


def test_pipelines_answer_each_statement_and_survive_errors(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (i,)) for i in range(200)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(200))
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline() as pipeline:
                connection.execute("SELECT 1")
                connection.execute("SELECT 1 / %s", (0,))
                connection.execute("SELECT 2")
                pipeline.sync()
        assert connection.execute("SELECT 3").fetchone() == (3,)


def test_many_syncs_in_flight(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(*(wire.parse("", "SELECT $1") + wire.bind(values=(b"%d" % i,)) + wire.execute() + wire.SYNC
                      for i in range(500)))
        for i in range(500):
            answer = client.ready()
            assert wire.letters(answer) == "12DCZ"
            assert wire.row(answer[2][1]) == [b"%d" % i]


def test_an_error_in_a_pipeline_skips_to_the_next_sync(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(wire.parse("", "SELECT 1"), wire.bind(), wire.execute(),
                    wire.parse("", "SELECT nonsense"), wire.bind(), wire.execute(), wire.parse("x", "SELECT 9"), wire.SYNC,
                    wire.query("SELECT 2"), wire.parse("", "SELECT 3"), wire.bind(), wire.execute(), wire.SYNC)
        assert wire.letters(client.ready()) == "12DCEZ"
        assert wire.letters(client.ready()) == "TDCZ"
        assert wire.letters(client.ready()) == "12DCZ"
        client.send(wire.describe("S", "x"), wire.SYNC)  # its Parse was skipped, so that it does not exist
        assert wire.fields(client.ready()[0][1])["C"] == "26000"


def test_flush_and_portals_in_pieces(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(wire.parse("", "SELECT generate_series(1, 5)"), wire.describe("S"), wire.FLUSH)
        assert wire.letters(client.until(b"T")) == "1tT"
        client.send(wire.bind("p"), wire.describe("P", "p"), wire.execute("p", 2), wire.FLUSH)
        assert wire.letters(client.until(b"s")) == "2TDDs"
        client.send(wire.execute("p", 0), wire.close("P", "p"), wire.SYNC)
        assert wire.letters(client.ready()) == "DDDC3Z"


def test_a_sync_alone_and_an_empty_query(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(wire.SYNC, wire.SYNC, wire.query(""), wire.query(" ; "), wire.FLUSH, wire.SYNC)
        assert wire.letters(client.ready() + client.ready()) == "ZZ"
        assert wire.letters(client.ready() + client.ready()) == "IZIZ"
        assert wire.letters(client.ready()) == "Z"


def test_function_call(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        (oid,) = connection.execute("SELECT 'pg_catalog.length(text)'::regprocedure::oid").fetchone() or (0,)
    with Wire(sluice.port) as client:
        client.login()
        answer = client.send(wire.function_call(oid, b"seven77")).ready()
        assert wire.letters(answer) == "VZ"
        assert answer[0][1] == struct.pack("!i", 1) + b"7"
        assert wire.letters(client.send(wire.function_call(1, b"x")).ready()) == "EZ"
        assert client.ask("SELECT 1") == [[b"1"]]


def test_copy_in_and_out_by_psycopg(sluice: Sluice) -> None:
    rows = [(i, f"line {i}\twith \\ and\nnewline") for i in range(20000)]
    with sluice.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS copied; CREATE TABLE copied (id int, said text)")
        with connection.cursor() as cursor:
            with cursor.copy("COPY copied FROM STDIN") as copy:
                for each in rows:
                    copy.write_row(each)
            with cursor.copy("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT") as copy:
                copy.set_types(["int4", "text"])
                assert list(copy.rows()) == rows


def test_copy_in_and_out_by_asyncpg(sluice: Sluice) -> None:
    async def work() -> None:
        connection = await sluice.asyncpg()
        await connection.execute("DROP TABLE IF EXISTS copied2; CREATE TABLE copied2 (id int, said text)")
        rows = [(i, f"value {i}") for i in range(5000)]
        assert await connection.copy_records_to_table("copied2", records=rows) == "COPY 5000"
        seen: list[bytes] = []

        async def take(data: bytes) -> None:
            seen.append(data)

        await connection.copy_from_query("SELECT * FROM copied2 ORDER BY id", output=take)
        assert b"".join(seen) == b"".join(b"%d\tvalue %d\n" % (i, i) for i in range(5000))
        await connection.close()

    in_loop(work())


def test_copy_by_psql(sluice: Sluice) -> None:
    done = sluice.psql("-c", "CREATE TEMP TABLE t (a int); COPY t FROM PROGRAM 'x'")
    assert done.returncode != 0 and "superuser" in done.stderr
    done = sluice.psql("-c", "\\copy (SELECT g FROM generate_series(1, 3) g) TO STDOUT")
    assert (done.returncode, done.stdout) == (0, "1\n2\n3\n")


def test_a_copy_may_fail_on_either_side(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS copied3; CREATE TABLE copied3 (id int PRIMARY KEY)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            with connection.cursor().copy("COPY copied3 FROM STDIN") as copy:
                copy.write(b"1\n1\n" + b"".join(b"%d\n" % i for i in range(2, 100000)))
        with pytest.raises(psycopg.errors.BadCopyFileFormat):
            with connection.cursor().copy("COPY copied3 FROM STDIN") as copy:
                copy.write(b"not a number, and too many\tcolumns\n")
        with pytest.raises(psycopg.errors.QueryCanceled):  # a CopyFail, which says why
            with connection.cursor().copy("COPY copied3 FROM STDIN") as copy:
                copy.write(b"5\n")
                raise ZeroDivisionError
        assert connection.execute("SELECT count(*) FROM copied3").fetchone() == (0,)


def test_copy_in_by_the_extended_protocol(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.ask("DROP TABLE IF EXISTS copied4; CREATE TABLE copied4 (id int)")
        client.send(wire.parse("", "COPY copied4 FROM STDIN"), wire.bind(), wire.execute(), wire.SYNC)
        assert wire.letters(client.until(b"G")) == "12G"
        client.send(wire.message(b"d", b"1\n"), wire.FLUSH, wire.message(b"d", b"2\n"), wire.COPY_DONE, wire.SYNC)
        assert wire.letters(client.ready()) == "CZ"
        assert client.ask("SELECT count(*) FROM copied4") == [[b"2"]]


def test_large_values_both_ways(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        value = "0123456789abcdef" * (1 << 20)  # 16 MB
        (back,) = connection.execute("SELECT %s::text", (value,)).fetchone() or ("",)
        assert back == value
        assert len((connection.execute("SELECT repeat('x', 30000000)").fetchone() or ("",))[0]) == 30000000


def test_a_slow_reader_gets_everything(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(wire.query("SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g"))
        wait_until(lambda: client.socket.recv(1, 2) != b"", what="the beginning of the answer")  # MSG_PEEK
        with sluice.connect() as other:  # nobody else waits for the slow one
            assert other.execute("SELECT 1").fetchone() == (1,)
        answer = client.ready()
        assert [int(wire.row(body)[0] or 0) for letter, body in answer if letter == b"D"] == list(range(1, 20001))


def test_notices_come_through(sluice: Sluice) -> None:
    with sluice.connect() as connection:
        heard: list[str] = []
        connection.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary or ""))
        connection.execute("DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; END $$")
        assert heard == ["first", "second"]


def test_transactions_hold_their_server_and_give_it_back(sluice: Sluice, postgres: Postgres) -> None:
    with sluice.connect(autocommit=False) as connection:
        backend = connection.execute("SELECT pg_backend_pid()").fetchone()
        for _ in range(5):
            assert connection.execute("SELECT pg_backend_pid()").fetchone() == backend
        with sluice.connect() as other:
            assert other.execute("SELECT pg_backend_pid()").fetchone() != backend
        connection.commit()


def test_two_phase_commit_and_savepoints(sluice: Sluice) -> None:
    with sluice.connect(autocommit=False) as connection:
        connection.execute("DROP TABLE IF EXISTS phases; CREATE TABLE phases (id int)")
        connection.commit()
        with connection.transaction():
            connection.execute("INSERT INTO phases VALUES (1)")
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("INSERT INTO phases VALUES (2)")
                connection.execute("SELECT 1 / 0")
        connection.commit()
        connection.tpc_begin(connection.xid(1, "gtrid", "bqual"))
        connection.execute("INSERT INTO phases VALUES (3)")
        connection.tpc_prepare()
        connection.tpc_commit()
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM phases").fetchone() == ([1, 3],)


def test_many_clients_share_few_servers(module_sluices: Any, postgres: Postgres) -> None:
    few = module_sluices(default_pool_size=3)
    backends: set[int] = set()

    def work() -> None:
        with few.connect() as connection:
            for _ in range(20):
                backends.add((connection.execute("SELECT pg_backend_pid()").fetchone() or (0,))[0])

    threads = [threading.Thread(target=work, daemon=True) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 1 <= len(backends) <= 3


def test_asyncio_clients_in_crowds(sluice: Sluice) -> None:
    async def one(number: int) -> int:
        connection = await sluice.asyncpg()
        try:
            total = 0
            for i in range(10):
                total += await connection.fetchval("SELECT $1::int * 2", number + i)
            return total
        finally:
            await connection.close()

    async def work() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(50)))

    assert in_loop(work()) == [sum(2 * (number + i) for i in range(10)) for number in range(50)]
