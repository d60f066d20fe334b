"""
sluice.py - one pgsluice under test: its configuration, its process, its log, and what must be true when it ends.

Invariant: a process that was started here has ended by itself, with status 0 after SIGTERM and nothing from a sanitizer in
its log, or the test fails.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Mapping

import asyncpg
import psycopg

from .place import HOST, Place, wait_until
from .postgres import PASSWORD

STOP_TIMEOUT = 40.0  # seconds; pgsluice promises 10, ASan and a busy machine take their part
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:disable_coredump=1:strict_string_checks=1",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
COMPLAINTS = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|this must hold but does not")

running: list["Sluice"] = []


def ini(clusters: Mapping[str, str], databases: Mapping[str, str], settings: Mapping[str, Any],
        users: Mapping[str, str], peers: Mapping[str, str] | None = None) -> str:
    """The sections, in pgsluice's own form."""
    sections: list[tuple[str, Mapping[str, Any]]] = [
        ("clusters", clusters), ("databases", databases), ("pgsluice", settings), ("users", users), ("peers", peers or {})]
    return "\n".join(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())
                     for name, rows in sections if rows)


def user_list(secrets: Mapping[str, str]) -> str:
    return "".join('"{}" "{}"\n'.format(name.replace('"', '""'), secret.replace('"', '""'))
                   for name, secret in secrets.items())


class Sluice:
    """
    Start it with start(), or let the fixture `sluices` do so. Ports: .port (read-write), .read_port; 0 when it has none.
    """

    def __init__(self, place: Place, *, databases: Mapping[str, str] | None = None,
                 clusters: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None,
                 users: Mapping[str, str] | None = None, peers: Mapping[str, str] | None = None,
                 env: Mapping[str, str] | None = None, text: str | None = None, arguments: list[str] | None = None, nofile: int = 0,
                 read: bool = False, **settings: Any) -> None:
        self.place = place
        self.dir = place.make_dir("s")
        self.log = self.dir / "log"
        self.ini = self.dir / "pgsluice.ini"
        self.auth_file = self.dir / "users.txt"
        self.secrets = dict(secrets if secrets is not None else {"app": PASSWORD})
        self.port = int(settings.pop("listen_port", 0)) or place.port()
        self.read_port = place.port() if read else 0
        self.env = dict(env or {})
        self.arguments = arguments
        self.nofile = nofile
        self.clusters, self.databases, self.users = dict(clusters or {}), dict(databases or {}), dict(users or {})
        self.peers = dict(peers or {})
        self.settings: dict[str, Any] = {
            "listen_addr": HOST, "listen_port": self.port, "read_port": self.read_port, "http_addr": HOST, "http_port": 0,
            "unix_socket_dir": self.dir, "auth_file": self.auth_file, **settings,
        }
        self.text = text
        self.wrapper: list[str] = []  # a program and its arguments, which becomes pgsluice
        self.pass_fds: tuple[int, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = 0  # in the log
        self.write_auth_file()
        self.write_ini()

    # Configuration.

    def write_ini(self, **changes: Any) -> None:
        """The file as configured, with these settings in addition; None removes one."""
        self.settings.update(changes)
        settings = {name: value for name, value in self.settings.items() if value is not None}
        self.place.write(self.ini, self.text or ini(self.clusters, self.databases, settings, self.users, self.peers))

    def write_auth_file(self) -> None:
        self.place.write(self.auth_file, user_list(self.secrets))

    # Process.

    def start(self, wait: bool = True) -> "Sluice":
        argv = [*self.wrapper, str(installed(self.place)),
                *(self.arguments if self.arguments is not None else [str(self.ini)])]
        limit: dict[str, Any] = {"pass_fds": self.pass_fds}
        if self.nofile:
            limit["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))
        self._started_at = len(self.log_text())
        self.process = self.place.spawn(argv, cwd=self.dir, log=self.log, env={**SANITIZERS, **self.env}, **limit)
        if self not in running:
            running.append(self)
        if wait:
            wait_until(self._is_ready, 60, "pgsluice's readiness")
        return self

    def _is_ready(self) -> bool:
        assert self.is_alive, f"pgsluice ended at once, status {self.process.poll()}:\n{self.log_text()[-3000:]}"
        return " ready: " in self.log_text()[self._started_at:]

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def wait_log(self, pattern: str, since: int = 0, seconds: float = 30) -> str:
        """The first line of the log, from this character on, that has the pattern in it."""
        def found() -> str:
            return next((line for line in self.log_text()[since:].splitlines() if re.search(pattern, line)), "")

        return wait_until(found, seconds, f"a line with {pattern!r} in the log")

    def reload(self) -> str:
        """SIGHUP; what was logged about it, whether it was taken or not."""
        since = len(self.log_text())
        self.send(signal.SIGHUP)
        self.wait_log("received Hangup", since)
        self.send(signal.SIGUSR2)  # means nothing to a pgsluice that is not paused, and is handled after the first
        self.wait_log("received User defined signal 2", since)
        return self.log_text()[since:]

    def wait_end(self, seconds: float = STOP_TIMEOUT) -> int:
        """Its exit status."""
        assert self.process
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pgsluice still runs after {seconds:.0f} s:\n{self.log_text()[-3000:]}") from None

    def stop(self) -> None:
        """SIGTERM if it still runs, and the invariant."""
        if self not in running:
            return
        running.remove(self)
        assert self.process
        was_alive = self.is_alive
        status = None
        try:
            if was_alive:
                self.send(signal.SIGTERM)
            status = self.wait_end()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.check_log()
        assert status == 0, f"pgsluice ended with status {status}:\n{self.log_text()[-3000:]}"

    def check_log(self) -> None:
        complaint = COMPLAINTS.search(self.log_text())
        if complaint:
            at = complaint.start()
            raise AssertionError("a sanitizer or an invariant spoke:\n" + self.log_text()[max(0, at - 500):at + 6000])

    def expect_exit(self, seconds: float = STOP_TIMEOUT) -> int:
        """For a process that is to end by itself: its status, after which it is not ours any more."""
        status = self.wait_end(seconds)
        running.remove(self)
        self.check_log()
        return status

    def counter(self, name: str) -> int:
        """Of /metrics, without its prefix and "_total". Needs an http_port."""
        with urllib.request.urlopen(f"http://{HOST}:{self.settings['http_port']}/metrics", timeout=30) as answer:
            found = re.search(rf"^pgsluice_{name}_total (\d+)$", answer.read().decode(), re.M)
        assert found, f"/metrics has no {name}"
        return int(found[1])

    # Clients.

    def where(self, **given: Any) -> dict[str, Any]:
        """Keywords of a connection: as app in app on the read-write port, unless told otherwise."""
        return {"host": HOST, "port": self.port, "user": "app", "password": PASSWORD, "dbname": "app", **given}

    def connect(self, **given: Any) -> psycopg.Connection[Any]:
        keywords = {"autocommit": True, "connect_timeout": 30, "prepare_threshold": None, **self.where(**given)}
        prepare = keywords.pop("prepare_threshold")
        connection = psycopg.connect(**keywords)
        connection.prepare_threshold = prepare
        return connection

    def asyncpg(self, **given: Any) -> Any:
        """A coroutine, as asyncpg.connect()."""
        where = self.where(**given)
        where["database"] = where.pop("dbname")
        return asyncpg.connect(**{"timeout": 30, "command_timeout": 60, **where})

    def psql(self, *arguments: str, password: str = PASSWORD, env: Mapping[str, str] | None = None,
             **given: Any) -> subprocess.CompletedProcess[str]:
        where = self.where(**given)
        argv = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", str(where["host"]), "-p", str(where["port"]),
                "-U", where["user"], "-d", where["dbname"], *arguments]
        return self.place.run(argv, env={"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "30", **(env or {})})

    def can_connect(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), 5).close()
        except OSError:
            return False
        return True

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def installed(place: Place) -> Path:
    """A copy of the build: the user who runs it may be unable to read the checkout."""
    path = place.root / "pgsluice"
    if not path.exists():
        shutil.copyfile(built(), path)
        path.chmod(0o755)
    return path


def built() -> Path:
    return Path(os.environ.get("PGSLUICE_BIN", "/nowhere"))


def in_loop(coroutine: Any) -> Any:
    """Runs the coroutine of an asyncpg test."""
    return asyncio.run(asyncio.wait_for(coroutine, 120))
