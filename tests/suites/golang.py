"""
golang.py - the tests of Go's PostgreSQL drivers and of what is built on them, from Debian's packages.

Each package is compiled once, and its test program runs in the package's directory. A program that dies takes the tests behind
the one that killed it along: those are run again, one by one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from stage import SUPERUSER, Result, Results, Suite, Target

SOURCES = Path("/usr/share/gocode/src")
HERE = Path(__file__).resolve().parent
# What the tests import and Debian does not have, or not under this name.
STAND_INS = {"github.com/jackc/pgmock": HERE / "go/pgmock", "github.com/jackc/pgtype/testutil": HERE / "go/testutil",
             "github.com/Masterminds/semver/v3": SOURCES / "github.com/Masterminds/semver"}
PROGRAM_TIMEOUT = 240  # seconds; one package
TEST_TIMEOUT = 60


class Golang(Suite):
    roots: list[str] = []  # whose packages, with all below them
    left_out: list[str] = []

    def prepare(self) -> str:
        cache = self.place.root / "gocache"
        if not cache.exists():
            self.place.make_dir("gocache")
        ours = self.place.make_dir("gopath")
        for path, source in STAND_INS.items():
            at = ours / "src" / path
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, at)
        self.env = {"GO111MODULE": "off", "GOPATH": f"{SOURCES.parent}:{ours}", "GOFLAGS": "", "GOCACHE": str(cache)}
        listed = self._go("list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}",
                          *[f"{root}/..." for root in self.roots])
        self.programs: dict[str, Path] = {}
        for package in listed.split():
            if package in self.left_out:
                continue
            program = self.dir / (package.replace("/", "_") + ".test")
            built = self._run_go("test", "-c", "-vet=off", "-o", str(program), package)
            if built.returncode or not program.exists():
                print(f"{self.name}: {package} can't be compiled: {built.stderr.strip()[-300:]}")
                continue
            self.programs[package] = program
        return "" if self.programs else "none of its packages can be compiled"

    def environment(self, target: Target) -> dict[str, str]:
        return {}

    def run(self, target: Target) -> Results:
        results: Results = {}
        for package, program in self.programs.items():
            results.update(self._run_package(package, program, target))
        return results

    def _run_package(self, package: str, program: Path, target: Target) -> Results:
        listed = self._start(package, program, target, "-test.list", ".")
        names = [line for line in listed.splitlines() if line.startswith("Test") and self.wants(f"{package}.{line}")]
        if not names:
            return {}
        chosen = "^(" + "|".join(names) + ")$"
        results = self._told(package, self._start(package, program, target, "-test.run", chosen, f"-test.timeout={PROGRAM_TIMEOUT}s"))
        for name in names:
            if f"{package}.{name}" not in results or results[f"{package}.{name}"].status == "cut":
                again = self._told(package, self._start(package, program, target, "-test.run", f"^{name}$",
                                                        f"-test.timeout={TEST_TIMEOUT}s"))
                results.update(again)
                result = results.setdefault(f"{package}.{name}", Result("failed", "It was not told how it ended."))
                if result.status == "cut":
                    result.status = "failed"
        for result in results.values():
            if result.status == "cut":
                result.status = "failed"
        return results

    def _start(self, package: str, program: Path, target: Target, *arguments: str) -> str:
        env = {**self.env, **self.environment(target)}
        verbose = [] if arguments[0] == "-test.list" else ["-test.v", "-test.count=1"]
        try:
            done = self.place.run([str(program), *verbose, *arguments], cwd=SOURCES / package, env={**env, "HOME": str(self.dir)},
                                  timeout=PROGRAM_TIMEOUT + 60)
            said = done.stdout + done.stderr
        except subprocess.TimeoutExpired as late:
            said = "".join(part.decode(errors="replace") for part in (late.stdout, late.stderr) if part)
        if verbose:
            with open(target.logs / (package.replace("/", "_") + ".log"), "a", encoding="utf-8") as log:
                log.write(said)
        return said

    def _told(self, package: str, said: str) -> Results:
        """What the program said, test by test. "cut": it began, and was never told to have ended."""
        done = subprocess.run(["go", "tool", "test2json"], input=said, capture_output=True, text=True, check=True,
                              env={**os.environ, **self.env})
        output: dict[str, str] = {}
        results: Results = {}
        for line in done.stdout.splitlines():
            event = json.loads(line)
            test = event.get("Test")
            if not test:
                continue
            name = f"{package}.{test}"
            results.setdefault(name, Result("cut"))
            if event["Action"] == "output":
                output[name] = output.get(name, "") + event["Output"]
            elif event["Action"] in ("pass", "fail", "skip"):
                results[name].status = {"pass": "passed", "fail": "failed", "skip": "skipped"}[event["Action"]]
        for name, result in results.items():
            result.output = output.get(name, "")
        return results

    def _run_go(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.place.run(["go", *arguments], cwd=self.dir, env=self.env, timeout=600)

    def _go(self, *arguments: str) -> str:
        done = self._run_go(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Pq(Golang):
    about = "lib/pq, Go's first driver"
    packages = ["golang-go", "golang-github-lib-pq-dev"]
    roots = ["github.com/lib/pq"]
    databases = ["pqgotest"]

    def environment(self, target: Target) -> dict[str, str]:
        return {"PGHOST": target.host, "PGPORT": str(target.port), "PGUSER": SUPERUSER, "PGDATABASE": "pqgotest",
                "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "20"}


class Pgx(Golang):
    about = "pgx 4 with pgconn, pgtype, pgproto3, pgxpool, and its driver for database/sql"
    packages = ["golang-go", "golang-github-jackc-pgx-v4-dev", "golang-github-lib-pq-dev", "golang-github-masterminds-semver-dev"]
    roots = ["github.com/jackc"]
    databases = ["pgx_test"]

    def fill(self, target: Target) -> None:
        for statement in ("CREATE EXTENSION hstore", "CREATE DOMAIN uint64 AS numeric(20,0)", "CREATE EXTENSION ltree"):
            self.stage.postgres.sql(statement, dbname="pgx_test")

    def environment(self, target: Target) -> dict[str, str]:
        tcp = f"host={target.host} port={target.port} dbname=pgx_test sslmode=disable"
        asked = {f"PGX_TEST_{name}_CONN_STRING": f"{tcp} user={user} password=secret" for name, user in
                 (("PLAIN_PASSWORD", "pgx_pw"), ("MD5_PASSWORD", "pgx_md5"), ("SCRAM_PASSWORD", "pgx_scram"))}
        return {"PGX_TEST_DATABASE": f"{tcp} user={SUPERUSER}", "PGX_TEST_CONN_STRING": f"{tcp} user={SUPERUSER}",
                "PGX_TEST_TCP_CONN_STRING": f"{tcp} user={SUPERUSER}",
                "PGX_TEST_UNIX_SOCKET_CONN_STRING": f"host={target.socket_dir} port={target.port} dbname=pgx_test user={SUPERUSER}",
                **asked}


class Sqlx(Golang):
    about = "sqlx, on top of lib/pq"
    packages = ["golang-go", "golang-github-jmoiron-sqlx-dev", "golang-github-lib-pq-dev"]
    roots = ["github.com/jmoiron/sqlx"]
    databases = ["sqlx"]

    def environment(self, target: Target) -> dict[str, str]:
        return {"SQLX_POSTGRES_DSN": f"host={target.host} port={target.port} user={SUPERUSER} dbname=sqlx sslmode=disable",
                "SQLX_MYSQL_DSN": "skip", "SQLX_SQLITE_DSN": "skip"}
