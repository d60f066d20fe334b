"""test_state.py - what a session has follows its client from server to server, and is seen by nobody else."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def front(module_sluices: Start) -> Sluice:
    """Each transaction meets the other server."""
    return module_sluices(default_pool_size=2, min_pool_size=2, server_round_robin=1)


def value(connection: psycopg.Connection[Any], text: str) -> Any:
    row = connection.execute(text).fetchone()
    return row[0] if row else None


def servers_met(connection: psycopg.Connection[Any], times: int = 4) -> set[int]:
    return {value(connection, "SELECT pg_backend_pid()") for _ in range(times)}


SETS = {
    "SET work_mem = '5MB'": ("SHOW work_mem", "5MB", "4MB"),
    "SET search_path = pg_catalog, public": ("SHOW search_path", "pg_catalog, public", '"$user", public'),
    "SET TIME ZONE 'Asia/Tokyo'": ("SHOW timezone", "Asia/Tokyo", None),
    "SELECT set_config('app.user', 'joe''s', false)": ("SELECT current_setting('app.user', true)", "joe's", None),
    "SET app.tenant TO 7": ("SELECT current_setting('app.tenant', true)", "7", None),
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE":
        ("SHOW transaction_isolation", "serializable", "read committed"),
    "DO $$ BEGIN PERFORM set_config('enable_seqscan', 'off', false); END $$": ("SHOW enable_seqscan", "off", "on"),
}


@pytest.mark.parametrize("statement", SETS)
def test_settings_follow_their_client_and_nobody_else(front: Sluice, statement: str) -> None:
    asks, expected, otherwise = SETS[statement]
    with front.connect() as one, front.connect() as other:
        before = value(other, asks)
        one.execute(statement)
        for _ in range(4):
            assert value(one, asks) == expected
            assert value(other, asks) in (before, "")
        if otherwise:
            assert before == otherwise
        wait_until(lambda: len(servers_met(one)) == 2, what="the other server")


def test_what_is_rolled_back_was_not_set(front: Sluice) -> None:
    with front.connect() as one:
        one.execute("SET work_mem = '6MB'")
        with pytest.raises(psycopg.Error):
            one.execute("SET work_mem = '7MB'; SELECT 1/0")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"6MB"}
        one.execute("BEGIN; SET work_mem = '8MB'; SAVEPOINT a; SET work_mem = '9MB'; ROLLBACK TO a; COMMIT")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"8MB"}
        one.execute("BEGIN; SET LOCAL work_mem = '11MB'; COMMIT")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"8MB"}
        one.execute("RESET work_mem")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"4MB"}


def test_reset_goes_back_to_what_the_startup_packet_said(front: Sluice) -> None:
    with front.connect(options="-c work_mem=5MB", application_name="mine") as one:
        one.execute("SET work_mem = '6MB'; SET application_name = 'other'")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"6MB"}
        for again in ("RESET ALL", "DISCARD ALL", "RESET work_mem; RESET application_name"):
            one.execute("SET work_mem = '6MB'; SET application_name = 'other'")
            one.execute(again)
            assert {value(one, "SHOW work_mem") for _ in range(4)} == {"5MB"}
            assert {value(one, "SHOW application_name") for _ in range(4)} == {"mine"}
            assert one.info.parameter_status("application_name") == "mine"


def test_a_parameter_of_its_own_goes_before_the_same_in_options(front: Sluice, postgres: Postgres) -> None:
    for port in (postgres.port, front.port):
        with Wire(port) as client:
            client.login("app", "app", PASSWORD, application_name="mine", work_mem="6MB",
                         options="-c application_name=other -c work_mem=5MB -c geqo=off -c client_encoding=LATIN1",
                         client_encoding="UTF8")
            assert client.ask("SHOW application_name") == [[b"mine"]]
            assert client.ask("SHOW work_mem") == [[b"6MB"]]
            assert client.ask("SHOW geqo") == [[b"off"]]
            assert client.ask("SHOW client_encoding") == [[b"UTF8"]]


def test_a_role_follows_its_client(front: Sluice, postgres: Postgres) -> None:
    postgres.sql("DROP ROLE IF EXISTS worker")
    postgres.sql("CREATE ROLE worker")
    postgres.sql("GRANT worker TO app")
    with front.connect() as one, front.connect() as other:
        one.execute("SET ROLE worker")
        one.execute("SET work_mem = '6MB'")
        for _ in range(4):
            assert value(one, "SELECT current_user || ' ' || current_setting('work_mem')") == "worker 6MB"
            assert value(other, "SELECT current_user || ' ' || current_setting('work_mem')") == "app 4MB"
        one.execute("RESET ROLE")
        assert {value(one, "SELECT current_user") for _ in range(4)} == {"app"}
    postgres.sql("DROP ROLE worker")


def unseen(connection: psycopg.Connection[Any], body: str) -> None:
    connection.execute("CREATE OR REPLACE FUNCTION unseen() RETURNS int LANGUAGE plpgsql AS "
                       f"$f$ BEGIN {body}; RETURN 1; END $f$")


def test_what_functions_do_is_noticed_at_their_first_run(front: Sluice) -> None:
    with front.connect() as one, front.connect() as other:
        unseen(one, "PERFORM set_config('work_mem', '12MB', false)")
        one.execute("SELECT unseen()")
        for _ in range(4):
            assert value(one, "SHOW work_mem") == "12MB"
            assert value(other, "SHOW work_mem") == "4MB"
        one.execute("RESET work_mem")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"4MB"}
        one.execute("SELECT unseen()")
        assert {value(one, "SHOW work_mem") for _ in range(4)} == {"12MB"}


PINNING = {
    "CREATE TEMP TABLE mine (x int)": ("SELECT count(*) FROM mine", "DROP TABLE mine"),
    "SELECT pg_advisory_lock(4711)": ("SELECT pg_try_advisory_lock(4711) AND pg_advisory_unlock(4711)",
                                      "SELECT pg_advisory_unlock(4711)"),
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1": ("FETCH held", "CLOSE held"),
    "DO $$ BEGIN CREATE TEMP TABLE mine (x int); END $$": ("SELECT count(*) FROM mine", "DROP TABLE mine"),
    "DO $$ BEGIN PERFORM pg_advisory_lock(4711); END $$": ("SELECT 1", "SELECT pg_advisory_unlock_all()"),
}


@pytest.mark.parametrize("statement", PINNING)
def test_a_client_keeps_the_server_that_has_its_state_and_no_longer(front: Sluice, statement: str) -> None:
    uses, ends = PINNING[statement]
    with front.connect() as one, front.connect() as other:
        one.execute(statement)
        assert len(servers_met(one)) == 1
        one.execute(uses)
        assert servers_met(one).isdisjoint(servers_met(other))
        one.execute(ends)
        wait_until(lambda: len(servers_met(one)) == 2, what="the release")


def test_a_client_that_vanishes_while_it_is_pinned_leaves_nothing(front: Sluice) -> None:
    for statement in PINNING:
        one = front.connect()
        one.execute(statement)
        one.execute("SET work_mem = '13MB'")
        one.close()
        with front.connect() as other:
            for _ in range(6):
                assert value(other, "SELECT pg_my_temp_schema()::int") == 0 or value(
                    other, "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()") == 0
                assert value(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                    " AND pid = pg_backend_pid()") == 0
                assert value(other, "SELECT count(*) FROM pg_cursors WHERE name = 'held'") == 0
                assert value(other, "SHOW work_mem") == "4MB"


def test_errors_name_statements_as_their_client_does(front: Sluice) -> None:
    with Wire(front.port).login() as client:
        client.send(wire.parse("mine", "SELECT $1::int"), wire.bind("", "mine", (b"1", b"2")), wire.SYNC)
        assert client.error()["M"] == 'bind message supplies 2 parameters, but prepared statement "mine" requires 1'


def test_the_same_bytes_in_another_encoding_are_another_statement(front: Sluice) -> None:
    with front.connect() as utf8, front.connect(client_encoding="LATIN1") as latin1:
        for connection, expected in ((utf8, "é"), (latin1, "Ã©")) * 3:
            connection.prepare_threshold = 0
            text = "SELECT 'é'".encode("utf-8").decode("utf-8" if connection is utf8 else "latin-1")
            assert value(connection, text) == expected


def test_sequences_tell_nobody_of_another_s_values(front: Sluice) -> None:
    with front.connect() as one, front.connect() as other:
        one.execute("CREATE SEQUENCE IF NOT EXISTS counted")
        for _ in range(4):
            one.execute("SELECT nextval('counted')")
        for _ in range(4):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                other.execute("SELECT lastval()")
        # who has asked once is given what it asks for
        for _ in range(4):
            drawn = value(other, "SELECT nextval('counted')")
            value(one, "SELECT nextval('counted')")
            assert value(other, "SELECT lastval()") == drawn
            assert value(other, "SELECT currval('counted')") == drawn


def test_what_connect_query_sets_is_everybody_s(sluices: Start, backend: str) -> None:
    front = sluices(databases={"app": backend + " connect_query='SET work_mem = ''9MB'''"}, default_pool_size=2,
                    server_round_robin=1)
    with front.connect() as one, front.connect() as other:
        for _ in range(3):
            one.execute("SET enable_seqscan = off")
            assert value(one, "SHOW work_mem") == value(other, "SHOW work_mem") == "9MB"
            other.execute("DISCARD ALL")


def test_a_set_is_taken_at_its_word_only_if_it_was_done(front: Sluice) -> None:
    with front.connect() as one:
        one.execute("SET statement_timeout = 5000")
        assert {value(one, "SHOW statement_timeout") for _ in range(4)} == {"5s"}
        with pytest.raises(psycopg.Error):
            one.execute("SET statement_timeout = nonsense")
        assert {value(one, "SHOW statement_timeout") for _ in range(4)} == {"5s"}
        one.execute("BEGIN")
        one.execute("SET statement_timeout = 6000")
        one.execute("ROLLBACK")
        assert {value(one, "SHOW statement_timeout") for _ in range(4)} == {"5s"}
        with Wire(front.port).login() as pipelined:
            # in one transaction, whose end fails; then two transactions in one packet, of which the second fails
            pipelined.send(*(wire.parse("", text) + wire.bind() + wire.execute()
                             for text in ("SET lock_timeout = 7000", "SELECT 1/0")), wire.SYNC)
            pipelined.ready()
            assert {pipelined.ask("SHOW lock_timeout")[0][0] for _ in range(4)} == {b"0"}
            pipelined.send(wire.query("SET lock_timeout = 8000"), wire.query("SELECT 1/0"))
            pipelined.ready()
            pipelined.ready()
            assert {pipelined.ask("SHOW lock_timeout")[0][0] for _ in range(4)} == {b"8s"}


def test_what_is_parsed_after_a_definition_has_changed_is_parsed_anew(front: Sluice) -> None:
    with Wire(front.port).login() as early, Wire(front.port).login() as late:
        late.ask("DROP TABLE IF EXISTS changing; CREATE TABLE changing (x int)")
        late.ask("INSERT INTO changing VALUES (1)")
        run = (wire.parse("s", "SELECT * FROM changing"), wire.bind("", "s"), wire.execute(), wire.SYNC)
        for _ in range(2):
            assert wire.letters(early.send(*run[1 if _ else 0:]).ready()).endswith("DCZ")
        late.ask("DROP TABLE changing; CREATE TABLE changing (x text, y int)")
        late.ask("INSERT INTO changing VALUES ('a', 2)")
        for number in range(6):
            name = f"s{number}"
            late.send(wire.parse(name, "SELECT * FROM changing"), wire.bind("", name), wire.execute(), wire.SYNC)
            answer = late.ready()
            assert wire.letters(answer) == "12DCZ"
        # who had prepared it before is told where a server had it, and served as it is now where none did
        assert wire.letters(early.send(*run[1:]).ready()) in ("EZ", "2DCZ")


def test_the_same_text_over_another_s_temporary_table_is_another_statement(front: Sluice) -> None:
    with Wire(front.port).login() as one, Wire(front.port).login() as other:
        for round, columns in enumerate(("x int", "x text, y int")):
            for client in (one, other) if round == 0 else (other, one):
                client.ask(f"CREATE TEMP TABLE mine_alone ({columns})")
                client.ask("INSERT INTO mine_alone DEFAULT VALUES")
                name = f"t{round}"
                client.send(wire.parse(name, "SELECT * FROM mine_alone"), wire.bind("", name), wire.execute(), wire.SYNC)
                assert wire.letters(client.ready()) == "12DCZ"
                client.ask("DROP TABLE mine_alone")
