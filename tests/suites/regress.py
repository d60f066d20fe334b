"""
regress.py - PostgreSQL's own regression tests: each file of src/test/regress/sql by psql, what it prints beside what is expected.

Debian ships them only as source, which is fetched once into the build. A file passes if psql prints what PostgreSQL's authors
expect, in one of their variants, or what it printed when it first ran directly: the source may be a little older than the server.
Source: PostgreSQL 15, src/test/regress/README, pg_regress.c, pg_regress_main.c.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.node import postgres_bin
from stage import SUPERUSER, Result, Results, Suite, Target

AT_ONCE = 4
FILE_TIMEOUT = 120
DATABASE_SETTINGS = ("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'",
                     "timezone_abbreviations TO 'Default'")


def fetch_source(package: str, into: Path) -> Path | None:
    """The unpacked source of a Debian package, of the newest version that can be had; nothing that is installed is changed."""
    unpacked = into / package
    if unpacked.exists():
        return unpacked
    apt = into / "apt"
    for each in (apt / "lists/partial", apt / "cache/archives/partial"):
        each.mkdir(parents=True, exist_ok=True)
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"), re.M))["VERSION_CODENAME"]
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    (apt / "sources.list").write_text(f"deb-src {key} http://deb.debian.org/debian {release} main\n"
                                      f"deb-src {key} http://deb.debian.org/debian-security {release}-security main\n", encoding="ascii")
    (apt / "status").touch()
    options = [f"-o{name}" for name in (
        f"Dir::Etc::SourceList={apt}/sources.list", "Dir::Etc::SourceParts=-", f"Dir::State::Lists={apt}/lists",
        f"Dir::State::Status={apt}/status", f"Dir::Cache={apt}/cache", "Acquire::Retries=1", "APT::Sandbox::User=")]

    def run(*argv: str) -> str:
        return subprocess.run([argv[0], *options, *argv[1:]], cwd=apt, capture_output=True, text=True, check=False).stdout

    run("apt-get", "update")
    versions = re.findall(r"^Version: (\S+)", run("apt-cache", "showsrc", package), re.M)
    for version in sorted(versions, reverse=True):
        run("apt-get", "source", "--download-only", f"{package}={version}")
        tars = [path for path in apt.glob("*.orig.tar.*") if path.suffix != ".asc"]
        if tars:
            (apt / "new").mkdir()
            subprocess.run(["tar", "-xf", str(tars[0]), "--strip-components=1", "-C", str(apt / "new")], check=True)
            (apt / "new").rename(unpacked)
            break
    shutil.rmtree(apt)
    return unpacked if unpacked.exists() else None


class Regress(Suite):
    about = "PostgreSQL's own regression tests, each file one test"
    packages = ["postgresql", "postgresql-contrib", "postgresql-server-dev-all", "gcc"]
    databases = ["regression"]
    fresh = True
    known = {
        "guc": "a library that a server has loaded for somebody is there for the next one: its settings are checked",
        "stats": "pg_stat_force_next_flush() is about the server it runs on: what others have counted comes up to 10 s later",
        "temp": "PREPARE TRANSACTION fails where the transaction makes the server's temporary schema; here it has one already",
        "triggers": "set_ttdummy() keeps its state in a variable of a C library, which nobody sees",
    }

    def prepare(self) -> str:
        major = postgres_bin().parent.name
        sources = self.stage.build / "sources"
        sources.mkdir(exist_ok=True)
        found = fetch_source(f"postgresql-{major}", sources)
        if not found:
            return f"the source of postgresql-{major} can't be had"
        self.source = self.dir / "regress"
        shutil.copytree(found / "src/test/regress", self.source)
        libraries = self.dir / "lib"
        libraries.mkdir()
        config = str(postgres_bin() / "pg_config")
        for name in ("refint.so", "autoinc.so"):
            shutil.copy(Path(self._said(config, "--pkglibdir")) / name, libraries)
        include = self._said(config, "--includedir-server")
        done = subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", f"-I{include}", f"-I{self.source}", "-o",
                               str(libraries / "regress.so"), str(self.source / "regress.c")], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"regress.c can't be compiled: {done.stderr[-300:]}"
        subprocess.run(["chown", "-R", f"{self.place.uid}:{self.place.gid}", str(self.dir)], check=True)
        schedule = (self.source / "parallel_schedule").read_text(encoding="ascii")
        self.groups = [line.split()[1:] for line in schedule.splitlines() if line.startswith("test:")]
        self.first: dict[str, str] = {}
        return ""

    @staticmethod
    def _said(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def fill(self, target: Target) -> None:
        for each in DATABASE_SETTINGS:
            self.stage.postgres.sql(f"ALTER DATABASE regression SET {each}")

    def run(self, target: Target) -> Results:
        results: Results = {}
        (target.logs / "results").mkdir()
        os.chown(target.logs / "results", self.place.uid, self.place.gid)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for group in self.groups:
                for name, result in zip(group, pool.map(lambda name: self._file(name, target), group)):
                    results[name] = result
        return {name: result for name, result in results.items() if self.wants(name)}

    def _file(self, name: str, target: Target) -> Result:
        env = {"PGHOST": target.host, "PGPORT": str(target.port), "PGUSER": SUPERUSER, "PGDATABASE": "regression", "PGTZ": "PST8PDT",
               "PGDATESTYLE": "Postgres, MDY", "PGOPTIONS": "-c intervalstyle=postgres_verbose", "PGAPPNAME": f"pg_regress/{name}",
               "PG_ABS_SRCDIR": str(self.source), "PG_ABS_BUILDDIR": str(target.logs), "PG_LIBDIR": str(self.dir / "lib"),
               "PG_DLSUFFIX": ".so", "LC_MESSAGES": "C", "LANG": "C"}
        out = target.logs / "results" / f"{name}.out"
        argv = ["bash", "-c", 'exec psql -X -a -q -d regression -v HIDE_TABLEAM=on -v HIDE_TOAST_COMPRESSION=on <"$0" >"$1" 2>&1',
                str(self.source / "sql" / f"{name}.sql"), str(out)]
        try:
            self.place.run(argv, cwd=target.logs, env=env, timeout=FILE_TIMEOUT)
        except subprocess.TimeoutExpired:
            return Result("failed", f"psql did not come to its end within {FILE_TIMEOUT} s")
        expected = [path for path in sorted((self.source / "expected").glob(f"{name}*.out"))
                    if re.fullmatch(re.escape(name) + r"(_\d)?\.out", path.name)]
        if name not in self.first:
            self.first[name] = str(out)
        else:
            expected.insert(0, Path(self.first[name]))
        differences = [self._said_difference(path, out) for path in expected]
        if not all(differences):
            return Result("passed")
        return Result("passed" if self.first[name] == str(out) else "failed", differences[0])

    @staticmethod
    def _said_difference(expected: Path, out: Path) -> str:
        done = subprocess.run(["diff", "-w", "-U1", str(expected), str(out)], capture_output=True, check=False)
        return done.stdout.decode(errors="replace")
