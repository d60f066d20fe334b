"""test_tools.py - pg_dump, pg_restore, psql -f and pgbench through the port of applications; all of them: tests/suites/run tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterator

import pytest
from kit.place import Place
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from lab.node import postgres_bin

Start = Any

SCHEMA = """
CREATE SCHEMA shop;
SET search_path = shop, public;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE FUNCTION twice(x integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE SET search_path = shop AS $$ BEGIN RETURN x * 2; END $$;
CREATE TABLE parents (id serial PRIMARY KEY, name text NOT NULL, feels mood, twice integer GENERATED ALWAYS AS (twice(7)) STORED);
CREATE TABLE children (id serial PRIMARY KEY, parent integer REFERENCES parents ON DELETE CASCADE, at timestamptz DEFAULT '2024-01-01');
CREATE INDEX ON children (parent) WHERE id > 3;
CREATE VIEW families AS SELECT p.name, count(*) FROM parents p JOIN children c ON c.parent = p.id GROUP BY 1;
SET client_min_messages = error;
CREATE TEMPORARY TABLE notes AS SELECT n, 'name ' || n AS name FROM generate_series(1, 50) n;
INSERT INTO parents (name, feels) SELECT name, 'happy' FROM notes;
PREPARE child AS INSERT INTO children (parent) VALUES ($1);
EXECUTE child(1);
EXECUTE child(2);
COPY children (parent) FROM stdin;
3
4
\\.
SELECT set_config('search_path', '', false);
INSERT INTO shop.children (parent) SELECT 5;
"""


@pytest.fixture(scope="module")
def front(module_sluices: Start, postgres: Postgres) -> Iterator[Sluice]:
    """With default settings, but that each transaction meets another server."""
    names = ("first", "second", "third", "bench")
    for name in names:
        postgres.sql(f"CREATE DATABASE tools_{name} OWNER app")
    yield module_sluices(min_pool_size=3, server_round_robin=1)
    for name in names:
        postgres.sql(f"DROP DATABASE tools_{name} WITH (FORCE)")


def tool(place: Place, port: int, program: str, *arguments: str) -> str:
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "app", "PGPASSWORD": PASSWORD}
    done = place.run([str(postgres_bin() / program), *arguments], env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return re.sub(r"^\\(un)?restrict .*\n", "", done.stdout, flags=re.M)


def test_a_schema_is_loaded_dumped_and_restored(front: Sluice, place: Place, postgres: Postgres) -> None:
    directory = place.make_dir("tools")
    schema = place.write(directory / "schema.sql", SCHEMA)
    custom, plain = str(directory / "custom"), str(directory / "plain.sql")
    load = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "tools_first", "-f", str(schema))
    tool(place, front.port, *load)
    tool(place, front.port, "psql", "-X", "-q", "-d", "tools_first", "-c", "DROP SCHEMA shop CASCADE")
    tool(place, front.port, *load)  # nothing of the first time is in the way
    directly = tool(place, postgres.port, "pg_dump", "tools_first")
    assert "name 50" in directly and "COPY shop.children" in directly
    assert tool(place, front.port, "pg_dump", "tools_first") == directly
    tool(place, front.port, "pg_dump", "-Fc", "-f", custom, "tools_first")
    tool(place, front.port, "pg_restore", "-e", "-j2", "-d", "tools_second", custom)
    assert tool(place, postgres.port, "pg_dump", "tools_second") == directly
    Path(plain).write_text(directly, encoding="utf-8")
    Path(plain).chmod(0o644)
    tool(place, front.port, "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", "tools_third", "-f", plain)
    assert tool(place, postgres.port, "pg_dump", "tools_third") == directly


def test_pgbench(front: Sluice, place: Place, postgres: Postgres) -> None:
    tool(place, front.port, "pgbench", "-q", "-i", "-s", "1", "--foreign-keys", "tools_bench")
    for protocol in ("simple", "extended", "prepared"):
        said = tool(place, front.port, "pgbench", "-n", "-M", protocol, "-c", "5", "-t", "20", "tools_bench")
        assert "number of transactions actually processed: 100/100" in said
    rows = postgres.sql("SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),"
                        " (SELECT count(*) FROM pgbench_history)", dbname="tools_bench")
    assert rows == [(True, 300)]
