"""What statements are said to do (tests/sql/statements) against what they do to a real PostgreSQL."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import sluice as kit_sluice
from kit.postgres import PASSWORD, Postgres

CHECKOUT = Path(__file__).resolve().parents[2]
READING = {"reads", "leader-only", "copy-out"}

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, a int, b text, j jsonb, arr int[]);
INSERT INTO t SELECT i, i, 'x' || i, '{"a": {"b": 1}}', ARRAY[i] FROM generate_series(1, 5) i;
CREATE TABLE s (id int);
CREATE VIEW v AS SELECT 1 AS one;
CREATE SEQUENCE seq;
CREATE TABLE "My Table" ("weird name" int, "a""b" int);
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
"""

# Of a transaction and of its session: whether it has an id, and what the session keeps.
STATE = """
SELECT pg_current_xact_id_if_assigned()::text,
       (SELECT md5(string_agg(name || '=' || setting, ';' ORDER BY name)) FROM pg_settings
         WHERE name NOT LIKE 'transaction_%' AND name <> 'in_hot_standby'),
       current_user, session_user, current_setting('my.variable', true), current_setting('a.b', true),
       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),
       (SELECT count(*) FROM pg_listening_channels()), pg_my_temp_schema(),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
"""


def statements() -> Iterator[tuple[str, set[str], str]]:
    """Kinds and effects of all its parts, and the text; what is not parsed has none."""
    for path in sorted((CHECKOUT / "tests/sql/statements").glob("*.sql")):
        text = re.sub(r"^--- .*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
        for block in filter(None, text.split("\n\n")):
            expected, statement = block.strip("\n").split("\n", 1)
            words = expected[3:].split(" | ")[0].replace(";", " ").split()
            yield path.name, set(words[1:]), statement


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[Postgres]:
    postgres.sql("CREATE DATABASE statements")
    with postgres.connect(dbname="statements") as connection:
        connection.execute(TABLES)
    yield postgres
    postgres.sql("DROP DATABASE statements WITH (FORCE)")


def run(connection: psycopg.Connection[Any], statement: str) -> None:
    if statement.startswith("COPY"):
        with connection.cursor().copy(statement) as copy:
            for _ in copy:
                pass
    else:
        connection.execute(statement)


def state(connection: psycopg.Connection[Any]) -> Any:
    return connection.execute(STATE).fetchone()


def test_what_is_said_to_read_reads(database: Postgres) -> None:
    """No id of a transaction, nothing changed in the session, and it may run in a read-only transaction."""
    count = 0
    with database.connect(dbname="statements", prepare_threshold=None) as connection:
        for file, effects, statement in statements():
            if file != "reads.sql" or "begins" in effects or "$1" in statement:
                continue
            connection.execute("BEGIN")
            before = state(connection)
            run(connection, statement)
            assert state(connection) == before and before[0] is None, statement
            connection.execute("ROLLBACK")
            if "leader-only" not in effects:
                connection.execute("BEGIN READ ONLY")
                run(connection, statement)
                connection.execute("ROLLBACK")
            count += 1
    assert count > 80


def test_what_touches_the_session_is_said_to(database: Postgres) -> None:
    """Whatever is not said to touch it leaves it as it was. Statements that fail here show nothing."""
    count = 0
    for _, effects, statement in statements():
        if effects & {"session", "ends", "begins", "transaction", "subtransaction", "no-block", "copy-in",
                      "code", "locks"}:
            continue
        if not effects or "$1" in statement or "pg_terminate" in statement:
            continue
        with database.connect(dbname="statements", prepare_threshold=None) as connection:
            connection.execute("BEGIN")
            before = state(connection)
            try:
                run(connection, statement)
            except psycopg.Error:
                continue
            after = state(connection)
            assert after[1:] == before[1:], statement
            assert after[0] is None or effects - READING, statement
            count += 1
            connection.execute("ROLLBACK")
    assert count > 120


def builtins() -> list[str]:
    table = (CHECKOUT / "src/sql/builtins.c").read_text(encoding="ascii")
    functions = table[table.index("sql_functions[]"):table.index("sql_functions_count")]
    known = re.findall(r'{ "(\w+)", 0, NONE }', (CHECKOUT / "src/sql/functions.c").read_text(encoding="ascii"))
    return [name for name in re.findall(r'"(\w+)"', functions) + known if name not in ("set_config", "pg_sleep_for")]


CALLS = r"""
CREATE TEMP TABLE called (name text, outcome text);
CREATE FUNCTION pg_temp.value_of(t oid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	written text;
	type_name text := format_type(CASE t WHEN 'anyelement'::regtype THEN 'int'::regtype
		WHEN 'anycompatible'::regtype THEN 'int'::regtype WHEN 'anynonarray'::regtype THEN 'int'::regtype
		WHEN 'anycompatiblenonarray'::regtype THEN 'int'::regtype WHEN '"any"'::regtype THEN 'int'::regtype
		WHEN 'anyarray'::regtype THEN 'int[]'::regtype WHEN 'anycompatiblearray'::regtype THEN 'int[]'::regtype
		WHEN 'anyrange'::regtype THEN 'int4range'::regtype WHEN 'anymultirange'::regtype THEN 'int4multirange'::regtype
		ELSE t END, NULL);
BEGIN
	FOREACH written IN ARRAY ARRAY['1', '{1}', '{}', '[1,2)', '2020-01-01', '00:01', '(1,1)', '((0,0),(1,1))',
		'((0,0),(1,1),(2,0))', '<(1,1),1>', '127.0.0.1', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(0,1)', '1/1',
		'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'pg_class', '$.a', 'x', '1:1:', 'now()', 'lower(text)', '+(int,int)']
	LOOP
		BEGIN
			EXECUTE format('SELECT %L::%s', written, type_name);
			RETURN format('%L::%s', written, type_name);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	RETURN 'NULL::' || type_name;
END$$;
"""

CALL_ALL = r"""
DO $$
DECLARE
	call record;
BEGIN
	FOR call IN EXECUTE format($q$
		SELECT p.oid::regprocedure::text AS name, format('SELECT pg_catalog.%%I(%%s)%%s', p.proname,
			(SELECT string_agg(pg_temp.value_of(t), ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n)),
			CASE p.prokind WHEN 'w' THEN ' OVER ()' END) AS query
		FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%L)$q$,
		current_setting('test.names')::text[])
	LOOP
		BEGIN
			EXECUTE call.query;
			RAISE NOTICE 'called %', call.name;
		EXCEPTION
			WHEN read_only_sql_transaction THEN RAISE EXCEPTION '% writes: %', call.name, call.query;
			WHEN OTHERS THEN NULL; /* the arguments do not suit it */
		END;
		IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
			RAISE EXCEPTION '% took an id: %', call.name, call.query;
		END IF;
	END LOOP;
END$$
"""


def test_functions_that_are_said_to_read_do_so_when_they_are_called(database: Postgres) -> None:
    called: list[str] = []
    with database.connect(dbname="statements", prepare_threshold=None) as connection:
        connection.execute(CALLS)
        connection.execute("SELECT set_config('test.names', %s, false)", ("{" + ",".join(builtins()) + "}",))
        connection.add_notice_handler(lambda notice: called.append(notice.message_primary or ""))
        connection.execute("BEGIN READ ONLY")
        before = state(connection)
        connection.execute(CALL_ALL)
        assert state(connection) == before
        connection.execute("ROLLBACK")
    assert len([line for line in called if line.startswith("called ")]) > 1500


def test_the_table_of_builtins_is_what_the_catalog_says(database: Postgres) -> None:
    if database.sql("SHOW server_version_num")[0][0][:2] != "15":
        pytest.skip("the table is made from PostgreSQL 15")
    where = f"host={database.host} port={database.port} user=postgres password={PASSWORD} dbname=template1"
    done = subprocess.run([str(CHECKOUT / "contrib/sql-builtins"), where], capture_output=True, text=True, check=True)
    assert done.stdout == (CHECKOUT / "src/sql/builtins.c").read_text(encoding="ascii")


def test_what_the_server_does_not_parse_neither_do_we(database: Postgres) -> None:
    """Its own parser says the same of every statement of the files."""
    describe = kit_sluice.built().parent / "tests/sql/describe"
    all_of_them = [text.replace("\n", " ") for _, _, text in statements() if "--" not in text and "'a'\n" not in text]
    done = subprocess.run([str(describe)], input="\n".join(all_of_them) + "\n", capture_output=True, text=True, check=True)
    with database.connect(dbname="statements", prepare_threshold=None) as connection:
        for text, facts in zip(all_of_them, done.stdout.splitlines(), strict=True):
            try:
                # Nothing is run: the whole is parsed before its first statement, which fails.
                connection.execute(f"SELECT no_such_function(); {text}", prepare=False)
                raise AssertionError(text)
            except psycopg.errors.SyntaxError:
                assert facts == "not-parsed", text
            except psycopg.Error:
                assert facts != "not-parsed", text
