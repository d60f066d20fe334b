"""
postgres.py - one plain PostgreSQL, without Patroni.

Owns: its data directory and its process. Users and databases are made by whoever needs them.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from lab import procs
from lab.node import postgres_bin

from .place import HOST, Place, wait_until

PASSWORD = "sesame"
# One user per way in which a server asks for a password. Who is not here logs in by SCRAM.
ASKS = {"r_trust": "trust", "r_password": "password", "r_md5": "md5", "r_scram": "scram-sha-256"}


class Postgres:
    def __init__(self, place: Place, name: str = "pg", *, tls: Path | None = None, **parameters: Any) -> None:
        self.place = place
        self.dir = place.make_dir(name)
        self.data = self.dir / "data"
        self.log = self.dir / "log"
        self.port = place.port()
        self.host = HOST
        self._tls = tls
        self._parameters = parameters
        self._process: subprocess.Popen[bytes] | None = None
        self._make()
        self.start()

    def _make(self) -> None:
        password = self.place.write(self.dir / "password", PASSWORD + "\n")
        done = self.place.run([str(postgres_bin() / "initdb"), "-D", str(self.data), "-U", "postgres", "-E", "UTF8",
                               "--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={password}", "-N"], cwd=self.dir)
        assert done.returncode == 0, done.stderr
        parameters = {
            "listen_addresses": HOST, "port": self.port, "unix_socket_directories": str(self.dir),
            "fsync": "off", "max_connections": 150, "shared_buffers": "64MB", "jit": "off",
            "dynamic_shared_memory_type": "mmap", "log_line_prefix": "%m [%p] %q%u@%d ",
            "max_prepared_transactions": 10, **self._parameters,
        }
        if self._tls:
            parameters.update(ssl="on", ssl_ca_file=str(self._tls / "ca.crt"),
                              ssl_cert_file=str(self._tls / "server.crt"), ssl_key_file=str(self._tls / "server.key"))
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in parameters.items())
        rows = [f"host all {user} 127.0.0.0/8 {how}" for user, how in ASKS.items()]
        rows += ["hostssl all tls_only 127.0.0.0/8 scram-sha-256", "hostnossl all tls_only 127.0.0.0/8 reject",
                 "local all all scram-sha-256", "host all,replication all 127.0.0.0/8 scram-sha-256"]
        self.place.write(self.data / "pg_hba.conf", "\n".join(rows) + "\n")

    def start(self) -> None:
        self._process = self.place.spawn([str(postgres_bin() / "postgres"), "-D", str(self.data)], cwd=self.data,
                                         log=self.log)
        wait_until(self._answers, what="PostgreSQL's readiness")

    def _answers(self) -> bool:
        assert self._process and self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast, as `pg_ctl stop -m fast`. Its backends outlive one that is killed for a moment."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(60)
            wait_until(lambda: not procs.postgres_below(self.dir), what="the end of PostgreSQL's backends")
        self._process = None

    def connect(self, **given: Any) -> psycopg.Connection[Any]:
        """Directly, as superuser unless told otherwise."""
        return psycopg.connect(**{"host": self.host, "port": self.port, "user": "postgres", "password": PASSWORD,
                                  "dbname": "postgres", "autocommit": True, "connect_timeout": 10, **given})

    def sql(self, query: str, *values: Any, dbname: str = "postgres") -> list[Any]:
        with self.connect(dbname=dbname) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def add_user(self, name: str, encryption: str = "scram-sha-256") -> None:
        with self.connect() as connection:
            connection.execute(f"SET password_encryption = '{encryption}'")
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")

    def secret(self, name: str) -> str:
        """As the server keeps it."""
        return self.sql("SELECT rolpassword FROM pg_authid WHERE rolname = %s", name)[0][0]

    def backends(self, where: str = "true") -> int:
        """How many client backends there are, not counting the one that asks."""
        return self.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                        f" AND pid <> pg_backend_pid() AND ({where})")[0][0]
