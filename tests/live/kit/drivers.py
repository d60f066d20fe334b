"""
drivers.py - log-ins by drivers of every kind, all told in the same way.

An attempt is a dictionary: host, port, user, password (None: none), dbname, sslmode, and, where needed, sslrootcert, sslcert,
sslkey (PEM), sslkey_der (PKCS #8), channel_binding. An answer is a Came: did it come in, as whom, and if not, what was it told.
Drivers that are not on the machine are not in drivers(): why not is in MISSING.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence
from urllib.parse import quote

import asyncpg
import psycopg
import psycopg2

from .place import Place

HERE = Path(__file__).resolve().parents[1] / "drivers"
JDBC = Path("/usr/share/java/postgresql.jar")

Attempt = dict[str, Any]


@dataclass(frozen=True)
class Came:
    ok: bool
    who: str = ""
    sqlstate: str | None = None  # None: the driver does not tell, or nobody sent one
    error: str = ""


Driver = Callable[[Sequence[Attempt]], list[Came]]
MISSING: dict[str, str] = {}


def _libpq(a: Attempt) -> dict[str, Any]:
    """Keywords of libpq; what is not given is kept away from ~/.postgresql too."""
    keywords = {name: a[name] for name in ("host", "port", "user", "dbname", "sslmode")}
    keywords["sslrootcert"] = a.get("sslrootcert", "/nonexistent")
    keywords["sslcert"] = a.get("sslcert", "/nonexistent")
    keywords["sslkey"] = a.get("sslkey", "/nonexistent")
    keywords["passfile"] = "/nonexistent"
    keywords["connect_timeout"] = 30
    if "channel_binding" in a:
        keywords["channel_binding"] = a["channel_binding"]
    if a["password"] is not None:
        keywords["password"] = a["password"]
    return keywords


def _psql(attempts: Sequence[Attempt]) -> list[Came]:
    def one(a: Attempt) -> Came:
        conninfo = " ".join("{}='{}'".format(k, str(v).replace("\\", "\\\\").replace("'", "\\'"))
                            for k, v in _libpq(a).items())
        done = subprocess.run(["psql", "-X", "-w", "-At", "-v", "VERBOSITY=verbose", "-c", "SELECT current_user", conninfo],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode == 0:
            return Came(True, done.stdout.strip())
        return Came(False, error=done.stderr.strip())

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of it is the start of a process
        return list(pool.map(one, attempts))


def _psycopg(attempts: Sequence[Attempt]) -> list[Came]:
    def one(a: Attempt) -> Came:
        try:
            with psycopg.connect(**_libpq(a)) as connection:
                return Came(True, connection.execute("SELECT current_user").fetchone()[0])
        except psycopg.Error as error:
            return Came(False, sqlstate=error.sqlstate, error=str(error))

    return [one(a) for a in attempts]


def _psycopg2(attempts: Sequence[Attempt]) -> list[Came]:
    def one(a: Attempt) -> Came:
        try:
            connection = psycopg2.connect(**_libpq(a))
        except psycopg2.Error as error:
            return Came(False, sqlstate=error.pgcode, error=str(error))
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_user")
                return Came(True, cursor.fetchone()[0])
        except psycopg2.Error as error:
            return Came(False, sqlstate=error.pgcode, error=str(error))
        finally:
            connection.close()

    return [one(a) for a in attempts]


def _asyncpg(attempts: Sequence[Attempt]) -> list[Came]:
    async def one(a: Attempt) -> Came:
        files = "".join(f"&{name}={quote(str(a[name]), safe='')}" for name in ("sslrootcert", "sslcert", "sslkey") if name in a)
        try:
            connection = await asyncpg.connect(
                f"postgres://?sslmode={a['sslmode']}{files}", host=str(a["host"]), port=a["port"], user=a["user"],
                password=a["password"] or "", database=a["dbname"], timeout=30, passfile="/nonexistent")
        except asyncpg.PostgresError as error:
            return Came(False, sqlstate=error.sqlstate, error=str(error))
        except (OSError, asyncpg.InterfaceError, asyncio.TimeoutError) as error:
            return Came(False, error=f"{type(error).__name__}: {error}")
        try:
            return Came(True, await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    async def run() -> list[Came]:
        return [await one(a) for a in attempts]

    return asyncio.run(run())


def _node(place: Place) -> Driver | None:
    if not shutil.which("node") or not shutil.which("npm"):
        MISSING["node-postgres"] = "there is no node, or no npm"
        return None
    at = place.make_dir("node")
    for name in ("package.json", "package-lock.json", "attempts.js"):
        shutil.copy(HERE / name, at)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=at, capture_output=True,
                          text=True, timeout=300)
    if done.returncode != 0:
        MISSING["node-postgres"] = "npm ci: " + done.stderr.strip().splitlines()[-1]
        return None

    def run(attempts: Sequence[Attempt]) -> list[Came]:
        given = json.dumps([{k: str(v) if isinstance(v, Path) else v for k, v in a.items()} for a in attempts])
        done = subprocess.run(["node", "attempts.js"], cwd=at, input=given, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [Came(r["ok"], r.get("who", ""), r.get("sqlstate"), r.get("error", "")) for r in json.loads(done.stdout)]

    return run


def _jdbc(place: Place) -> Driver | None:
    if not shutil.which("javac") or not JDBC.exists():
        MISSING["JDBC"] = "there is no javac, or no libpostgresql-jdbc-java"
        return None
    at = place.make_dir("java")
    subprocess.run(["javac", "-d", str(at), str(HERE / "Attempts.java")], check=True, capture_output=True, timeout=300)

    def run(attempts: Sequence[Attempt]) -> list[Came]:
        lines = "".join("\t".join([
            str(a["host"]), str(a["port"]), a["dbname"], a["user"], "-" if a["password"] is None else "+" + a["password"],
            a["sslmode"], str(a.get("sslrootcert", "")), str(a.get("sslcert", "")), str(a.get("sslkey_der", "")),
        ]) + "\n" for a in attempts)
        done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{at}:{JDBC}", "Attempts"], input=lines,
                              capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        answers = [line.split("\t") for line in done.stdout.splitlines()]
        # 08xxx of the driver's own: there was no server's word.
        return [Came(True, f[1]) if f[0] == "ok" else
                Came(False, sqlstate=f[1] if re.fullmatch(r"(?!08)[0-9A-Z]{5}", f[1]) else None, error=f[2])
                for f in answers]

    return run


def drivers(place: Place) -> dict[str, Driver]:
    """Those that are here."""
    found: dict[str, Driver | None] = {
        "psql": _psql, "psycopg 3": _psycopg, "psycopg2": _psycopg2, "asyncpg": _asyncpg,
        "node-postgres": _node(place), "JDBC": _jdbc(place),
    }
    return {name: driver for name, driver in found.items() if driver}
