"""
stage.py - where a suite plays: one PostgreSQL, a pgsluice in front of it for as long as one run lasts, and new databases each time.

Owns: both processes, the roles, the rules of who may log in (the same for PostgreSQL and pgsluice).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping, Pattern

from kit.place import HOST, Place
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice

SUPERUSER = "suite"
# How they log in; all others need no password.
ASKED = {"pgx_pw": "password", "pgx_md5": "md5", "pgx_scram": "scram-sha-256"}


@dataclasses.dataclass
class Result:
    """Of one test."""

    status: str  # passed, failed, skipped
    output: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def skipped(self) -> bool:
        return self.status == "skipped"


Results = dict[str, Result]


@dataclasses.dataclass
class Target:
    """Where the suite is to connect to, as SUPERUSER, who needs no password."""

    host: str
    port: int
    socket_dir: Path
    logs: Path  # a directory for this run, which the suite may write to
    through: bool


class Suite:
    """One of them. What it needs is prepared once, run() is called for each run."""

    about = ""
    packages: list[str] = []
    databases: list[str] = []
    settings: Mapping[str, Any] = {"server_round_robin": 1, "min_pool_size": 4}
    known: Mapping[str, str] = {}  # tests that may be different through pgsluice, and why they may
    fresh = False  # each run has a PostgreSQL of its own

    def __init__(self, stage: "Stage", name: str, only: Pattern[str] | None) -> None:
        self.stage = stage
        self.place = stage.place
        self.name = name
        self.only = only
        self.dir = stage.place.make_dir(name)

    def prepare(self) -> str:
        """Why it can't run, or "". """
        return ""

    def fill(self, target: Target) -> None:
        """What its databases need, done directly before each run."""

    def run(self, target: Target) -> Results:
        raise NotImplementedError

    def wants(self, test: str) -> bool:
        return not self.only or bool(self.only.search(test))


class Stage:
    def __init__(self, place: Place, build: Path) -> None:
        self.place = place
        self.build = build
        rules = [f"host all {user} 127.0.0.0/8 {how}" for user, how in ASKED.items()]
        self.rules = "\n".join([*rules, "host all all 127.0.0.0/8 trust", "local all all trust",
                                "host replication all 127.0.0.0/8 trust"]) + "\n"
        self._shared: Postgres | None = None
        self.postgres: Postgres  # of the run

    def _new_postgres(self, **parameters: Any) -> Postgres:
        postgres = Postgres(self.place, max_connections=200, **parameters)
        with postgres.connect() as connection:
            connection.execute(f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN REPLICATION")
            for name, how in ASKED.items():
                connection.execute(f"SET password_encryption = '{'md5' if how == 'md5' else 'scram-sha-256'}'")
                connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        self.place.write(postgres.data / "pg_hba.conf", self.rules)
        postgres.sql("SELECT pg_reload_conf()")
        return postgres

    def run(self, suite: Suite, through: bool, label: str) -> Results:
        if suite.fresh:
            self.postgres = self._new_postgres()
            try:
                return self._run(suite, through, label)
            finally:
                self.postgres.stop()
        if not self._shared:
            self._shared = self._new_postgres(wal_level="logical")
        self.postgres = self._shared
        return self._run(suite, through, label)

    def stop(self) -> None:
        if self._shared:
            self._shared.stop()

    def _run(self, suite: Suite, through: bool, label: str) -> Results:
        for name in suite.databases:
            self.postgres.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self.postgres.sql(f"CREATE DATABASE {name} OWNER {SUPERUSER} TEMPLATE template0 LOCALE 'C'")
        logs = self.place.make_dir(label)
        direct = Target(HOST, self.postgres.port, self.postgres.dir, logs, False)
        suite.fill(direct)
        if not through:
            return suite.run(direct)
        sluice = Sluice(self.place, databases={"*": f"host={HOST} port={self.postgres.port}"}, auth_type="hba",
                        auth_hba_file=self.place.write(logs / "hba.conf", self.rules), default_pool_size=40,
                        secrets={name: "secret" for name in ASKED} | {SUPERUSER: "", "postgres": PASSWORD},
                        **{"auth_failure_limit": 0, **suite.settings})
        sluice.start()
        try:
            results = suite.run(Target(HOST, sluice.port, sluice.dir, logs, True))
            self._tell_pool(suite)
        finally:
            sluice.stop()
        return results

    def _tell_pool(self, suite: Suite) -> None:
        """That all of the pool was used is part of the claim."""
        rows = self.postgres.sql("SELECT datname, count(*), count(*) FILTER (WHERE query <> '') FROM pg_stat_activity"
                                 " WHERE backend_type = 'client backend' AND datname = ANY(%s) GROUP BY 1", suite.databases)
        for name, count, used in rows:
            print(f"{suite.name}: at the end {name} has {count} server connections, {used} of them were used")
