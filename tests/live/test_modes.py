"""Pool modes, named prepared statements across servers, and the session parameters of each client."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice, in_loop
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def two(module_sluices: Start) -> Sluice:
    """Two servers that take turns: what one client leaves behind would be found by the next one."""
    return module_sluices(default_pool_size=2, server_round_robin=1)


def backend_of(connection: psycopg.Connection[Any]) -> int:
    return (connection.execute("SELECT pg_backend_pid()").fetchone() or (0,))[0]


def both_servers(sluice: Sluice) -> set[int]:
    """Makes sure that the pool has two."""
    with sluice.connect(autocommit=False) as a, sluice.connect(autocommit=False) as b:
        return {backend_of(a), backend_of(b)}


# Prepared statements.

def test_named_statements_work_on_every_server(two: Sluice) -> None:
    assert len(both_servers(two)) == 2
    seen = set()
    with two.connect(prepare_threshold=0) as a, two.connect(prepare_threshold=0) as b:
        for i in range(30):
            for connection in (a, b):
                row = connection.execute("SELECT pg_backend_pid(), %s::int + 1", (i,), prepare=True).fetchone()
                assert row and row[1] == i + 1
                seen.add(row[0])
    assert len(seen) == 2


def test_asyncpg_caches_statements_and_it_works(two: Sluice) -> None:
    async def work() -> None:
        connections = [await two.asyncpg() for _ in range(3)]
        for i in range(20):
            for connection in connections:
                assert await connection.fetchval("SELECT $1::int - 1", i) == i - 1
                statement = await connection.prepare("SELECT $1::text || 'x'")
                assert await statement.fetchval(str(i)) == f"{i}x"
        for connection in connections:
            await connection.close()

    in_loop(work())


def test_the_same_name_means_each_clients_own_statement(two: Sluice) -> None:
    with Wire(two.port) as a, Wire(two.port) as b:
        for client, value in ((a, "of a"), (b, "of b")):
            client.login()
            client.send(wire.parse("s1", f"SELECT '{value}'"), wire.SYNC).ready()
        for _ in range(6):
            for client, value in ((a, b"of a"), (b, b"of b")):
                answer = client.send(wire.bind("", "s1"), wire.execute(), wire.SYNC).ready()
                assert wire.letters(answer) == "2DCZ" and wire.row(answer[1][1]) == [value]


def test_names_behave_as_on_a_server_of_ones_own(two: Sluice) -> None:
    with Wire(two.port) as client:
        client.login()
        client.send(wire.bind("", "never"), wire.SYNC)
        assert wire.fields(client.ready()[0][1])["C"] == "26000"
        client.send(wire.parse("s", "SELECT 1"), wire.describe("S", "s"), wire.SYNC)
        assert wire.letters(client.ready()) == "1tTZ"
        answer = client.send(wire.parse("s", "SELECT 2"), wire.SYNC).ready()
        assert wire.fields(answer[0][1])["C"] == "42P05"
        assert 'prepared statement "s" already exists' in wire.fields(answer[0][1])["M"]
        client.send(wire.close("S", "s"), wire.parse("s", "SELECT 3"), wire.bind("", "s"), wire.execute(), wire.SYNC)
        answer = client.ready()
        assert wire.letters(answer) == "312DCZ" and wire.row(answer[3][1]) == [b"3"]
        client.send(wire.close("S", "s"), wire.close("S", "never was"), wire.SYNC)
        assert wire.letters(client.ready()) == "33Z"
        client.send(wire.describe("S", "s"), wire.SYNC)
        assert wire.letters(client.ready()) == "EZ"


def test_a_statement_that_cannot_be_prepared_is_not_there(two: Sluice) -> None:
    with Wire(two.port) as client:
        client.login()
        client.send(wire.parse("bad", "SELECT * FROM no_such_table"), wire.SYNC)
        assert wire.fields(client.ready()[0][1])["C"] == "42P01"
        client.send(wire.bind("", "bad"), wire.SYNC)
        assert wire.fields(client.ready()[0][1])["C"] == "26000"
        client.send(wire.parse("bad", "SELECT 'good now'"), wire.bind("", "bad"), wire.execute(), wire.SYNC)
        assert wire.letters(client.ready()) == "12DCZ"


def test_the_unnamed_statement_follows_its_client(two: Sluice) -> None:
    with Wire(two.port) as a, Wire(two.port) as b:
        a.login()
        b.login()
        a.send(wire.parse("", "SELECT 'a'"), wire.SYNC).ready()
        b.send(wire.parse("", "SELECT 'b'"), wire.SYNC).ready()
        for _ in range(4):
            for client, value in ((a, b"a"), (b, b"b")):
                answer = client.send(wire.bind(), wire.execute(), wire.SYNC).ready()
                assert wire.row(answer[1][1]) == [value]
        a.ask("SELECT 1")  # a simple query drops it, as PostgreSQL says
        assert wire.letters(a.send(wire.bind(), wire.SYNC).ready()) == "EZ"


def test_more_statements_than_a_server_may_hold(sluices: Start) -> None:
    small = sluices(default_pool_size=2, server_round_robin=1, max_prepared_statements=5, admin_users="app")
    with Wire(small.port) as client:
        client.login()
        for i in range(40):
            client.send(wire.parse(f"s{i}", f"SELECT {i}"), wire.SYNC).ready()
        for i in list(range(40)) + list(range(39, -1, -3)):
            answer = client.send(wire.bind("", f"s{i}"), wire.execute(), wire.SYNC).ready()
            assert wire.row(answer[1][1]) == [b"%d" % i]
        assert client.ask("SELECT count(*) FROM pg_prepared_statements") == [[b"40"]]
        client.send(wire.bind("", "s1"), wire.execute(), wire.SYNC).ready()
        client.ask("SELECT 1")
        with small.connect(dbname="pgsluice", cursor_factory=psycopg.ClientCursor) as console:
            shown = console.execute("SHOW SERVERS")
            column = [c.name for c in shown.description or []].index("prepared_statements")
            assert all(row[column] <= 5 for row in shown)


def test_what_a_failed_pipeline_left_out_is_not_taken_for_done(sluices: Start) -> None:
    """A server may hold one: each Parse makes the statement before it go, in messages that the server then skips."""
    tight = sluices(default_pool_size=1, max_prepared_statements=1)
    fails = wire.bind("", "never")
    with Wire(tight.port) as client:
        client.login()
        client.send(fails, wire.parse("v", "SELECT 'v'"), wire.SYNC, fails, wire.parse("c", "SELECT 'c'"), wire.SYNC)
        assert wire.letters(client.ready() + client.ready()) == "EZEZ"
        client.send(wire.parse("v", "SELECT 'v'"), wire.bind("", "v"), wire.execute(), wire.SYNC)
        assert wire.letters(client.ready()) == "12DCZ"
        client.send(wire.query("SELECT 1"), fails, wire.parse("v2", "SELECT 'v'"), wire.SYNC,
                    wire.parse("c", "SELECT 'c'"), wire.SYNC)
        assert wire.letters(client.ready() + client.ready() + client.ready()) == "TDCZEZ1Z"
        client.send(wire.bind("", "v"), wire.execute(), wire.bind("", "c"), wire.execute(), wire.SYNC)
        assert wire.letters(client.ready()) == "2DC2DCZ"


def test_discard_all_and_deallocate_all(two: Sluice) -> None:
    for statement in ("DISCARD ALL", "DEALLOCATE ALL"):
        with Wire(two.port) as client:
            client.login()
            client.send(wire.parse("s", "SELECT 1"), wire.SYNC).ready()
            client.ask(statement)
            client.send(wire.bind("", "s"), wire.SYNC)
            assert wire.fields(client.ready()[0][1])["C"] == "26000"


# Modes.

def test_session_mode_keeps_the_server_and_cleans_it_afterwards(sluices: Start, postgres: Postgres) -> None:
    session = sluices(pool_mode="session", default_pool_size=1)
    with session.connect() as connection:
        backend = backend_of(connection)
        connection.execute("CREATE TEMP TABLE mine (id int); SET work_mem = '7MB'; PREPARE p AS SELECT 1;"
                           " SELECT pg_advisory_lock(77)")
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert backend_of(connection) == backend
    with session.connect() as connection:
        assert backend_of(connection) == backend
        assert connection.execute("SHOW work_mem").fetchone() != ("7MB",)
        assert connection.execute("SELECT to_regclass('mine'), (SELECT count(*) FROM pg_prepared_statements),"
                                  " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')").fetchone() == (None, 0, 0)


def test_statement_mode_refuses_transaction_blocks(sluices: Start) -> None:
    statement = sluices(pool_mode="statement")
    with statement.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with Wire(statement.port) as client:
        client.login()
        error = client.send(wire.query("BEGIN")).refused()
        assert "statement pooling mode" in error["M"]
    with statement.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in tr%'").fetchone() == (0,)


def test_modes_of_a_database_and_of_a_user(sluices: Start, backend: str) -> None:
    mixed = sluices(databases={"app": f"{backend} pool_mode=session", "*": backend}, default_pool_size=1,
                    users={"other": "pool_mode=session"}, secrets={"app": "sesame", "other": "sesame"})
    with mixed.connect() as session, mixed.connect(dbname="postgres") as transaction:
        session.execute("SELECT 1")
        transaction.execute("SELECT 1")
        with mixed.connect(dbname="postgres") as second:  # the one server is free between transactions
            assert backend_of(second) == backend_of(transaction)
    with mixed.connect(user="other", dbname="postgres") as session:
        session.execute("SET work_mem = '9MB'")
        assert session.execute("SHOW work_mem").fetchone() == ("9MB",)


# Parameters.

def test_each_client_keeps_its_own_parameters(two: Sluice) -> None:
    wanted = [
        {"application_name": "first", "options": "-c TimeZone=Asia/Tokyo -c search_path=pg_catalog"},
        {"application_name": "second", "options": "-c TimeZone=America/Lima -c DateStyle=German"},
        {"options": "-c extra_float_digits=0 -c work_mem=3MB"},
        {"client_encoding": "latin1"},
    ]
    show = ("SELECT current_setting('application_name'), current_setting('TimeZone'), current_setting('search_path'),"
            " current_setting('DateStyle'), current_setting('extra_float_digits'), current_setting('work_mem'),"
            " current_setting('client_encoding')")
    connections = [two.connect(**each) for each in wanted]
    expected = []
    for connection in connections:
        expected.append(connection.execute(show).fetchone())
    assert expected[0] and expected[0][:3] == ("first", "Asia/Tokyo", "pg_catalog")
    assert expected[1] and expected[1][:2] == ("second", "America/Lima") and expected[1][3].startswith("German")
    assert expected[2] and expected[2][4:6] == ("0", "3MB")
    assert expected[3] and expected[3][6] == "LATIN1"
    for _ in range(5):
        for connection, values in zip(connections, expected):
            assert connection.execute(show).fetchone() == values
    with two.connect() as plain:
        assert (plain.execute(show).fetchone() or ())[2:6] == ('"$user", public', "ISO, MDY", "1", "4MB")
    for connection in connections:
        connection.close()


def test_set_of_a_reported_parameter_stays_with_its_client(two: Sluice) -> None:
    with two.connect() as a, two.connect() as b:
        a.execute("SET TimeZone = 'Europe/Rome'")
        a.execute("SET application_name = 'changed'")
        for _ in range(6):
            assert a.execute("SHOW TimeZone").fetchone() == ("Europe/Rome",)
            assert a.execute("SHOW application_name").fetchone() == ("changed",)
            assert (b.execute("SHOW TimeZone").fetchone() or ("",))[0] != "Europe/Rome"
        assert a.info.parameter_status("TimeZone") == "Europe/Rome"


def test_welcome_reports_what_the_server_reports(two: Sluice, postgres: Postgres) -> None:
    with Wire(two.port) as through, Wire(postgres.port) as direct:
        through.login()
        direct.login()
        assert {name: value for name, value in direct.parameters.items()} == through.parameters


@pytest.mark.parametrize("parameters, sqlstate", [
    ({"TimeZone": "Nowhere/Land"}, "22023"),
    ({"options": "-c work_mem=lots"}, "22023"),
    ({"no_such_parameter": "1"}, "42704"),
    ({"options": "-c max_connections=3"}, "55P02"),
    ({"options": "-c wal_level=logical"}, "55P02"),
    ({"client_encoding": "klingon"}, "22023"),
    ({"replication": "database"}, "42501"),
    ({"replication": "perhaps"}, "22023"),
    ({"options": "--"}, "0A000"),
], ids=str)
def test_parameters_that_cannot_be_honoured_are_refused(two: Sluice, parameters: dict[str, str], sqlstate: str) -> None:
    with Wire(two.port) as client:
        with pytest.raises(AssertionError) as caught:
            client.login(**parameters)
        assert f"'C': '{sqlstate}'" in str(caught.value)
    with two.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_ignored_startup_parameters(sluices: Start) -> None:
    ignoring = sluices(ignore_startup_parameters="no_such_parameter, extra_float_digits")
    with Wire(ignoring.port) as client:
        client.login(no_such_parameter="1", extra_float_digits="-3")
        assert client.ask("SHOW extra_float_digits") == [[b"1"]]


def test_newer_protocols_are_negotiated(two: Sluice) -> None:
    with Wire(two.port) as client:
        client.login(minor=2)
        assert len(client.key) == 32
        assert client.ask("SELECT 1") == [[b"1"]]
    with Wire(two.port) as client:
        client.send(wire.startup(9, user="app", database="app", **{"_pq_.unknown": "x"}))
        letter, body = client.next()
        assert letter == b"v" and body[:4] == (3 << 16 | 2).to_bytes(4, "big") and b"_pq_.unknown" in body


# A client that goes away.

def test_a_client_that_dies_in_a_transaction_leaves_no_lock(two: Sluice, postgres: Postgres) -> None:
    with two.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS locked; CREATE TABLE locked AS SELECT 1 AS id")
    backends = both_servers(two)
    client = Wire(two.port).login()
    client.ask("BEGIN")
    client.ask("UPDATE locked SET id = 2")
    client.abort()
    with two.connect() as connection:
        connection.execute("SET statement_timeout = '30s'; UPDATE locked SET id = id + 10")
        assert connection.execute("SELECT id FROM locked").fetchone() == (11,)
    wait_until(lambda: postgres.backends("datname = 'app' AND state <> 'idle'") == 0, what="idle servers")
    assert both_servers(two) == backends


@pytest.mark.parametrize("end", ["answered", "at once", "goodbye"])
def test_a_pipeline_without_its_sync_is_not_committed(two: Sluice, end: str) -> None:
    """PostgreSQL commits it at the Sync, and rolls it back when there is none."""
    with two.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS half; CREATE TABLE half (id int)")
        with Wire(two.port) as client:
            client.login()
            client.send(wire.parse("", "INSERT INTO half VALUES (1)"), wire.bind(), wire.execute())
            if end == "answered":
                client.send(wire.FLUSH).until(b"C")
            elif end == "goodbye":
                client.send(wire.TERMINATE)
        connection.execute("BEGIN; LOCK TABLE half; COMMIT")  # then the other one has ended, one way or another
        assert connection.execute("SELECT count(*) FROM half").fetchone() == (0,)


def test_a_client_that_dies_in_a_query_gets_it_cancelled(two: Sluice, postgres: Postgres) -> None:
    backends = both_servers(two)
    client = Wire(two.port).login()
    client.send(wire.query("BEGIN; SELECT pg_sleep(600)"))
    wait_until(lambda: postgres.backends("query LIKE '%pg_sleep(600)' AND state = 'active'") == 1, what="the query")
    client.abort()
    wait_until(lambda: postgres.backends("query LIKE '%pg_sleep(600)' AND state = 'active'") == 0,
               what="the end of the query")
    assert both_servers(two) == backends


def test_a_client_that_dies_in_a_copy(two: Sluice, postgres: Postgres) -> None:
    backends = both_servers(two)
    with two.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS torn; CREATE TABLE torn (id int)")
    client = Wire(two.port).login()
    client.send(wire.query("COPY torn FROM STDIN")).until(b"G")
    client.send(wire.message(b"d", b"1\n"))
    client.abort()
    wait_until(lambda: postgres.backends("datname = 'app' AND state <> 'idle'") == 0, what="the end of the copy")
    with two.connect() as connection:
        assert connection.execute("SELECT count(*) FROM torn").fetchone() == (0,)
    assert both_servers(two) == backends


# A mode that changes while clients are there.

def test_named_statements_outlive_a_change_to_session_mode(sluices: Start) -> None:
    front: Sluice = sluices()
    with front.connect(prepare_threshold=0) as connection:
        assert connection.execute("SELECT %s::int + 1", (1,), prepare=True).fetchone() == (2,)
        front.write_ini(pool_mode="session")
        assert "reloaded" in front.reload()
        assert connection.execute("SELECT %s::int + 1", (2,), prepare=True).fetchone() == (3,)
        assert connection.execute("SELECT %s::int + 2", (2,), prepare=True).fetchone() == (4,)


def test_a_change_from_session_mode_hands_no_session_on(sluices: Start) -> None:
    """What the client left on its server, no reset query takes away any more."""
    front: Sluice = sluices(pool_mode="session", default_pool_size=1)
    with front.connect() as leaving, front.connect() as next_one:
        leaving.execute("CREATE TEMPORARY TABLE of_the_session (id int)")
        leaving.execute("SELECT pg_advisory_lock(77)")
        front.write_ini(pool_mode="transaction")
        assert "reloaded" in front.reload()
        leaving.execute("SELECT 1")
        assert next_one.execute("SELECT to_regclass('pg_temp.of_the_session')").fetchone() == (None,)
        assert next_one.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").fetchone() == (0,)
