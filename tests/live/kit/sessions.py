"""
sessions.py - one connection of a driver of any kind, told what to do in the same words for all.

`one SQL` runs a statement, prepared where the driver can; `begin`, `commit` and `rollback` are the driver's own. Each answers
"ok", "ok VALUE" (the first of the first row), or "no SQLSTATE". Drivers that are not on the machine: open() skips the test.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import psycopg2
import pytest

from .drivers import HERE, JDBC
from .place import Place
from .sluice import Sluice

NAMES = ["psycopg 3", "psycopg2", "asyncpg", "node-postgres", "JDBC"]


class Session:
    """What is common: a connection whose driver speaks Python."""

    def say(self, what: str) -> str:
        verb, _, sql = what.partition(" ")
        try:
            found = self.one(sql) if verb == "one" else getattr(self, verb)()
        except Exception as problem:  # noqa: BLE001  (each driver has its own)
            state = getattr(problem, "sqlstate", None) or getattr(problem, "pgcode", None)
            return f"no {state or repr(problem)}"
        return f"ok {'' if found is None else found}".strip()

    def one(self, sql: str) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Psycopg(Session):
    def __init__(self, front: Sluice) -> None:
        self.c = front.connect(prepare_threshold=0)

    def one(self, sql: str) -> Any:
        cursor = self.c.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def begin(self) -> None:
        self.c.autocommit = False

    def commit(self) -> None:
        self.c.commit()
        self.c.autocommit = True

    def rollback(self) -> None:
        self.c.rollback()
        self.c.autocommit = True

    def close(self) -> None:
        self.c.close()


class Psycopg2(Psycopg):
    def __init__(self, front: Sluice) -> None:
        self.c = psycopg2.connect(**front.where())
        self.c.autocommit = True

    def one(self, sql: str) -> Any:
        with self.c.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


class Asyncpg(Session):
    def __init__(self, front: Sluice) -> None:
        self.loop = asyncio.new_event_loop()
        self.c = self.loop.run_until_complete(front.asyncpg())
        self.transaction: Any = None

    def wait(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def one(self, sql: str) -> Any:
        return self.wait(self.c.fetchval(sql))

    def begin(self) -> None:
        self.transaction = self.c.transaction()
        self.wait(self.transaction.start())

    def commit(self) -> None:
        self.wait(self.transaction.commit())

    def rollback(self) -> None:
        self.wait(self.transaction.rollback())

    def close(self) -> None:
        self.wait(self.c.close())
        self.loop.close()


class Program(Session):
    """A driver of another language, as a program."""

    def __init__(self, front: Sluice, argv: list[str], at: Path) -> None:
        where = front.where()
        self.process = subprocess.Popen(
            [*argv, *(str(where[name]) for name in ("host", "port", "user", "password", "dbname"))], cwd=at, text=True,
            bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.read() == "ok"

    def read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def say(self, what: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.communicate(timeout=30)


def _node(place: Place, front: Sluice) -> Session:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no node, or no npm")
    at = place.make_dir("node")
    for name in ("package.json", "package-lock.json", "session.js"):
        shutil.copy(HERE / name, at)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=at, capture_output=True,
                          text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip("npm ci: " + done.stderr.strip().splitlines()[-1])
    return Program(front, ["node", "session.js"], at)


def _jdbc(place: Place, front: Sluice) -> Session:
    if not shutil.which("javac") or not JDBC.exists():
        pytest.skip("there is no javac, or no libpostgresql-jdbc-java")
    at = place.make_dir("java")
    subprocess.run(["javac", "-d", str(at), str(HERE / "Session.java")], check=True, capture_output=True, timeout=300)
    return Program(front, ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{at}:{JDBC}", "Session"], at)


def open_session(name: str, place: Place, front: Sluice) -> Session:
    if name == "node-postgres":
        return _node(place, front)
    if name == "JDBC":
        return _jdbc(place, front)
    return {"psycopg 3": Psycopg, "psycopg2": Psycopg2, "asyncpg": Asyncpg}[name](front)
