"""
tools.py - PostgreSQL's own programs: pg_dump, pg_restore, psql, pgbench, vacuumdb ... through the port of applications.

Each step is a test. What a step makes is read by pg_dump directly afterwards, and has to be what the same step makes directly: so
the result of a step is its exit status and that text, and it passes if both are as in the first direct run.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from lab.node import postgres_bin
from stage import SUPERUSER, Result, Results, Suite, Target

TABLES = 120


def schema() -> str:
    """A large schema, in the manner of those that grew: types, tables with keys between them, indices, views, functions, triggers."""
    made = ["SET check_function_bodies = false; SET client_min_messages = warning;",
            "CREATE SCHEMA shop; CREATE SCHEMA \"Odd Name\"; SET search_path = shop, public;",
            "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');",
            "CREATE TYPE pair AS (a integer, b text); CREATE SEQUENCE numbers START 1000 INCREMENT 5;",
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.changed := '2024-01-01'; RETURN NEW; END$$;",
            "CREATE FUNCTION later(x integer) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t000 WHERE id > x';"]
    for i in range(TABLES):
        keys = f", parent integer REFERENCES t{i - 1:03}(id) ON DELETE CASCADE" if i else ""
        made.append(f"CREATE TABLE t{i:03} (id serial PRIMARY KEY, name varchar(40) NOT NULL DEFAULT 'n{i}', feeling mood, mail email,"
                    f" pairs pair[], price numeric(10,2) CHECK (price >= 0), data jsonb, changed timestamptz{keys});")
        made.append(f"COMMENT ON TABLE t{i:03} IS 'table ''{i}'' of \"many\"';")
        made.append(f"CREATE INDEX ON t{i:03} (lower(name)) WHERE price > {i}; CREATE UNIQUE INDEX ON t{i:03} (name, id);")
        made.append(f"CREATE TRIGGER stamp BEFORE UPDATE ON t{i:03} FOR EACH ROW EXECUTE FUNCTION stamp();")
        if i % 10 == 0:
            made.append(f"CREATE VIEW v{i:03} AS SELECT id, name, price * 1.19 AS gross FROM t{i:03};"
                        f" CREATE MATERIALIZED VIEW m{i:03} AS SELECT name, count(*) FROM t{i:03} GROUP BY 1;")
    made += ["SET search_path = \"Odd Name\"; CREATE TABLE \"Weird \"\"table\"\"\" (\"a b\" int, \"ü\" text COLLATE \"C\");",
             "RESET search_path; SET search_path = shop;",
             "CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);"
             "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
             "CREATE TABLE parts_2 PARTITION OF parts DEFAULT;",
             "ALTER TABLE t005 ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t005 USING (name = current_user);"]
    made.append("BEGIN; SET LOCAL synchronous_commit = off;")
    for i in range(0, TABLES, 4):
        made.append(f"INSERT INTO t{i:03} (name, feeling, mail, pairs, price, data) SELECT 'row ' || n, 'ok', n || '@x.test',"
                    f" ARRAY[(n, 'p''q')::pair], n, jsonb_build_object('n', n) FROM generate_series(1, 40) n;")
    made += ["COMMIT;", "COPY parts (id, at) FROM stdin;", *[f"{i}\t202{i % 3 + 3}-05-01" for i in range(60)], "\\.",
             "CREATE TEMPORARY TABLE notes (x int); INSERT INTO notes SELECT generate_series(1, 9);",
             "INSERT INTO t000 (name, price) SELECT 'note ' || x, x FROM notes; DROP TABLE notes;",
             "PREPARE add (text) AS INSERT INTO t001 (name, price) VALUES ($1, 1); EXECUTE add('one'); EXECUTE add('two'); DEALLOCATE add;",
             "SELECT lo_from_bytea(4711, 'a large object'); SELECT setval('numbers', 5000);",
             "REFRESH MATERIALIZED VIEW m000;"]
    return "\n".join(made) + "\n"


class Tools(Suite):
    about = "pg_dump, pg_restore, psql -f of a large schema, pgbench, vacuumdb, reindexdb, with pgsluice's default settings"
    packages = ["postgresql"]
    databases = ["source", "copy_plain", "copy_custom", "copy_directory", "bench", "loaded"]
    settings: dict[str, Any] = {}

    def prepare(self) -> str:
        self.schema = self.place.write(self.dir / "schema.sql", schema(), 0o644)
        self.first: dict[str, tuple[int, str]] = {}
        return ""

    def fill(self, target: Target) -> None:
        done = self._tool(target, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(self.schema), dbname="source")
        assert done.returncode == 0, done.stderr

    def run(self, target: Target) -> Results:
        self.results: Results = {}
        self.target = target
        at = target.logs
        plain, custom, directory = str(at / "plain.sql"), str(at / "custom"), str(at / "directory")
        step = self._step
        step("psql -f of a schema", "loaded", lambda: self._tool(target, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f",
                                                                 str(self.schema), dbname="loaded"))
        step("psql -1 -f of a schema, again", "loaded", lambda: self._tool(
            target, "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-c", 'DROP SCHEMA shop CASCADE; DROP SCHEMA "Odd Name" CASCADE',
            "-c", "SELECT lo_unlink(4711)", "-f", str(self.schema), dbname="loaded"))
        step("pg_dump", "", lambda: self._tool(target, "pg_dump", "--no-sync", "-f", plain, dbname="source"), at / "plain.sql")
        step("pg_dump -Fc", "source", lambda: self._tool(target, "pg_dump", "--no-sync", "-Fc", "-f", custom, dbname="source"))
        step("pg_dump --schema-only --serializable-deferrable", "", lambda: self._tool(
            target, "pg_dump", "--no-sync", "-s", "--serializable-deferrable", "-f", str(at / "s.sql"), dbname="source"), at / "s.sql")
        step("pg_dump --inserts --role", "", lambda: self._tool(
            target, "pg_dump", "--no-sync", "--inserts", "--role=postgres", "-f", str(at / "i.sql"), dbname="source"), at / "i.sql")
        step("pg_dump -Fd -j3", "source", lambda: self._tool(target, "pg_dump", "--no-sync", "-Fd", "-j3", "-f", directory, dbname="source"))
        step("pg_dumpall -g", "", lambda: self._tool(target, "pg_dumpall", "--no-sync", "-g", "-f", str(at / "g.sql")), at / "g.sql")
        step("psql -f of the dump", "copy_plain", lambda: self._tool(target, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", plain,
                                                                     dbname="copy_plain"))
        step("pg_restore", "copy_custom", lambda: self._tool(target, "pg_restore", "-e", "-d", "copy_custom", custom))
        step("pg_restore --clean", "copy_custom", lambda: self._tool(target, "pg_restore", "-e", "-c", "--if-exists", "-1", "-d",
                                                                     "copy_custom", custom))
        step("pg_restore -j3", "copy_directory", lambda: self._tool(target, "pg_restore", "-e", "-j3", "-d", "copy_directory", directory))
        step("pgbench -i", "bench", lambda: self._tool(target, "pgbench", "-q", "-i", "-s", "2", "--foreign-keys", dbname="bench"))
        for protocol in ("simple", "extended", "prepared"):
            step(f"pgbench -M {protocol}", "", lambda protocol=protocol: self._tool(
                target, "pgbench", "-n", "-M", protocol, "-c", "8", "-j", "2", "-t", "200", "--random-seed=7", dbname="bench"))
        step("vacuumdb --analyze -j2", "", lambda: self._tool(target, "vacuumdb", "-q", "-z", "-j2", dbname="bench"))
        step("reindexdb -j2", "source", lambda: self._tool(target, "reindexdb", "-q", "-j2", "--schema=shop", dbname="source"))
        step("clusterdb", "source", lambda: self._tool(target, "clusterdb", "-q", dbname="source"))
        step("pg_isready", "", lambda: self._tool(target, "pg_isready", "-q"))
        for describe in ("\\d+ shop.*", "\\df+ shop.*", "\\l", "\\dn+", "\\dT+ shop.*", "\\dd", "\\dp shop.*"):
            step(f"psql {describe}", "", lambda describe=describe: self._tool(target, "psql", "-X", "-c", describe, dbname="source"))
        return {name: result for name, result in self.results.items() if self.wants(name)}

    def _tool(self, target: Target, program: str, *arguments: str, dbname: str = "") -> Any:
        env = {"PGHOST": target.host, "PGPORT": str(target.port), "PGUSER": SUPERUSER, "PGDATABASE": dbname or "postgres"}
        return self.place.run([str(postgres_bin() / program), *arguments], cwd=target.logs, env=env, timeout=300)

    def _step(self, name: str, makes: str, run: Callable[[], Any], file: Any = None) -> None:
        """makes: the database in which the step makes something; file: what it writes."""
        done = run()
        made = ""
        if makes:
            direct = Target(self.target.host, self.stage.postgres.port, self.target.socket_dir, self.target.logs, False)
            made = self._tool(direct, "pg_dump", dbname=makes).stdout
        if file:
            made = file.read_text(encoding="utf-8") if file.exists() else "There is no file."
        made = re.sub(r"^-- (Started|Completed) on.*|^\\(un)?restrict .*", "", made, flags=re.M)
        said = done.stdout if name.startswith("psql \\") else ""
        now = (done.returncode, said + made)
        first = self.first.setdefault(name, now)
        output = f"exit status {done.returncode}\n{done.stderr}"
        if now[1] != first[1]:
            output += "\n".join(f"- {a}\n+ {b}" for a, b in zip(first[1].splitlines(), now[1].splitlines()) if a != b)
        self.results[name] = Result("passed" if now == first and done.returncode == 0 else "failed", output)
