"""test_custom_names.py - settings that only functions name follow their client, and are seen by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from kit.postgres import Postgres
from kit.sluice import Sluice

Start = Any

# How the function is written, and the setting that it names.
BODIES = {
    "mine.plain": "BEGIN PERFORM set_config('mine.plain', x, false); END",
    "mine.upper": "BEGIN PERFORM pg_catalog.SET_CONFIG ( 'Mine.Upper' , x, false); END",
    "mine.quoted": "BEGIN PERFORM \"set_config\"(E'mine.quoted', x, false); END",
    "mine.set": "BEGIN IF true THEN SET mine.set = 'joe'; END IF; END",
    "mine.session": "BEGIN\n -- a comment\n SET SESSION mine.session TO 'joe'; END",
    "mine.dynamic": "BEGIN EXECUTE 'SET mine.dynamic = ' || quote_literal(x); END",
    "mine.nested": "BEGIN EXECUTE 'SELECT set_config(''mine.nested'', ' || quote_literal(x) || ', false)'; END",
    "mine.three.parts": "BEGIN PERFORM set_config('mine.three.parts', x, false); END",
}


def function_of(name: str) -> str:
    return "sets_" + name.replace(".", "_")


@pytest.fixture(scope="module")
def functions(postgres: Postgres) -> Iterator[None]:
    bodies = [f"CREATE FUNCTION {function_of(name)}(x text) RETURNS void LANGUAGE plpgsql AS $body$ {body} $body$"
              for name, body in BODIES.items()]
    for text in (*bodies,
                 "CREATE FUNCTION sets_in_sql(x text) RETURNS text LANGUAGE sql AS $$SELECT set_config('mine.sql', x, false)$$",
                 "CREATE FUNCTION sets_atomic(x text) RETURNS text LANGUAGE sql "
                 "BEGIN ATOMIC SELECT set_config('mine.atomic', x, false); END",
                 "CREATE FUNCTION sets_none() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET not_a.setting = 1; END $$"):
        postgres.sql(text, dbname="app")
    yield
    names = ", ".join([*map(function_of, BODIES), "sets_in_sql", "sets_atomic", "sets_none"])
    postgres.sql(f"DROP FUNCTION {names}", dbname="app")


@pytest.fixture(scope="module")
def front(functions: None, module_sluices: Start) -> Sluice:
    """Each transaction meets the other server, and the catalog has been read."""
    sluice: Sluice = module_sluices(default_pool_size=2, min_pool_size=2, server_round_robin=1)
    with sluice.connect() as one:
        one.execute("SELECT 1")
    sluice.wait_log("10 settings that its functions name are carried")
    return sluice


def value(connection: psycopg.Connection[Any], text: str) -> Any:
    row = connection.execute(text).fetchone()
    return row[0] if row else None


CALLS = {name: function_of(name) for name in BODIES} | {"mine.sql": "sets_in_sql", "mine.atomic": "sets_atomic"}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_function_sets_follows_its_client_and_nobody_else(front: Sluice, name: str) -> None:
    asks = f"SELECT current_setting('{name}', true)"
    with front.connect() as one, front.connect() as other:
        one.execute(f"SELECT {CALLS[name]}('joe')")
        for _ in range(3):
            assert value(other, asks) in (None, "")
            assert value(one, asks) == "joe"
            assert value(other, asks) in (None, "")
            assert value(one, asks) == "joe"
            value(other, "SELECT 1")  # so that they take turns


def test_what_was_left_under_a_name_before_it_was_known_is_cleaned(front: Sluice, postgres: Postgres) -> None:
    since = len(front.log_text())
    with front.connect() as one, front.connect() as other:
        postgres.sql("CREATE FUNCTION sets_late() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET mine.late = 'joe'; END $$",
                     dbname="app")
        one.execute("SELECT sets_late()")
        front.reload()
        one.execute("SELECT 1")
        front.wait_log("1 settings that its functions name are carried", since)
        asks = "SELECT current_setting('mine.late', true)"
        for _ in range(3):
            assert value(other, asks) in (None, "")
        one.execute("SELECT sets_late()")
        for _ in range(3):
            assert value(one, asks) == "joe"
            assert value(other, asks) in (None, "")
            value(other, "SELECT 1")
    postgres.sql("DROP FUNCTION sets_late", dbname="app")


def test_a_catalog_that_may_not_be_read_harms_nobody(front: Sluice, postgres: Postgres) -> None:
    since = len(front.log_text())
    postgres.sql("REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC", dbname="app")
    try:
        front.reload()
        with front.connect() as one:
            for _ in range(3):
                assert value(one, "SELECT 1") == 1
        front.wait_log("which settings its functions name could not be asked: permission denied", since)
        with front.connect() as one:
            one.execute("SELECT sets_mine_plain('joe')")
            assert {value(one, "SELECT current_setting('mine.plain', true)") for _ in range(4)} == {"joe"}
    finally:
        postgres.sql("GRANT SELECT ON pg_catalog.pg_proc TO PUBLIC", dbname="app")
