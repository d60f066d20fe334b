"""
node.py - one member of the cluster: Patroni, its PostgreSQL, and its link to etcd.

Owns: the member's patroni.yml, its processes, and every way of breaking and mending it.
Never: decides about the cluster; that is cluster.py (and Patroni).
Source: Patroni 3.0.2, "YAML Configuration Settings" and "Patroni REST API"; PostgreSQL 15, 20 and 21.1.
"""

from __future__ import annotations

import base64
import dataclasses
import glob
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from . import layout as names
from . import procs
from .layout import LabError, Layout

REST_TIMEOUT = 1.0  # seconds
STOP_TIMEOUT = 30.0  # seconds, for a graceful stop


@dataclasses.dataclass
class View:
    """What a member said about itself at one moment; status 0 and an empty body when it did not answer."""

    status: int = 0
    body: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return self.body.get("state") in ("running", "streaming")

    @property
    def is_leader(self) -> bool:
        """The lock and the server's own word: either alone is wrong at one end of a failover."""
        return self.status == 200 and self.runs and self.body.get("role") in ("master", "primary")

    @property
    def is_replica(self) -> bool:
        return self.runs and self.body.get("role") == "replica"

    @property
    def timeline(self) -> int:
        return int(self.body.get("timeline") or 0)

    @property
    def streaming_names(self) -> set[str]:
        """A leader's word about who follows it."""
        rows = self.body.get("replication", [])
        return {row.get("application_name", "") for row in rows if row.get("state") == "streaming"}

    @property
    def role(self) -> str:
        if self.is_leader:
            return "leader"
        return str(self.body.get("role", "no answer"))


def postgres_bin() -> Path:
    """Debian keeps every release in a directory of its own; the newest one is taken."""
    found = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/postgres")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    elsewhere = shutil.which("postgres")
    if elsewhere:
        return Path(elsewhere).resolve().parent
    raise LabError("PostgreSQL is missing: install the package postgresql")


def program(name: str, package: str) -> str:
    """Debian's own first: a python3 in the caller's PATH may lack modules, or lie where the lab's user may not go."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    if path is None:
        raise LabError(f"the program {name} is missing: install the package {package}")
    return path


class Node:
    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.name = name
        self.dir = layout.node_dir(name)
        self.data = self.dir / "data"
        self.log = self.dir / "patroni.log"
        self.host = layout.host(name)
        self.pg_port = layout.pg_port(name)
        self.rest_port = layout.rest_port(name)
        self._patroni_pid_file = self.dir / "patroni.pid"
        self._link_pid_file = self.dir / "link.pid"

    # Configuration.

    def write_config(self, delay: float = 0) -> None:
        """patroni.yml, written as JSON, which is YAML too. `delay`: seconds by which replay stays behind."""
        self.layout.make_dir(self.dir, 0o700)
        self.layout.write(self.dir / "patroni.yml", json.dumps(self._config(delay), indent=1) + "\n")

    def _config(self, delay: float) -> dict[str, Any]:
        options = self.layout.options
        etcd = {"url": f"http://{self.host}:{self.layout.link_port(self.name)}" if self.layout.etcd_link
                else f"http://{self.layout.etcd_host}:{self.layout.etcd_port}",
                "use_proxies": True}  # else Patroni asks etcd for its own address and goes round the link
        rest, server = f"{self.host}:{self.rest_port}", f"{self.host}:{self.pg_port}"
        return {
            "scope": "lab",
            "name": self.name,
            **self._rest(rest),
            "etcd3" if options.etcd3 else "etcd": etcd,
            "bootstrap": {
                "dcs": {
                    "ttl": options.ttl,
                    "loop_wait": options.loop_wait,
                    "retry_timeout": options.retry_timeout,
                    "maximum_lag_on_failover": 1048576,
                    "synchronous_mode": options.sync,
                    "failsafe_mode": options.failsafe,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": self._shared_parameters()},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": server,
                "connect_address": server,
                "use_unix_socket": True,
                "data_dir": str(self.data),
                "bin_dir": str(postgres_bin()),
                "pgpass": str(self.dir / "pgpass"),
                "authentication": {
                    "superuser": {"username": names.SUPERUSER, "password": names.SUPERUSER_PASSWORD},
                    "replication": {"username": names.REPLICATOR, "password": names.REPLICATOR_PASSWORD,
                                    "sslmode": "disable"},
                },
                "parameters": self._own_parameters(),
                "recovery_conf": {"recovery_min_apply_delay": f"{int(delay * 1000)}ms"} if delay > 0 else {},
                "pg_hba": self._pg_hba(),
                "create_replica_methods": ["basebackup"],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
                **({"before_stop": options.before_stop.format(name=self.name)} if options.before_stop else {}),
            },
            "watchdog": {"mode": "off"},
            "tags": {},
        }

    def _rest(self, address: str) -> dict[str, Any]:
        rest: dict[str, Any] = {"listen": address, "connect_address": address}
        if not self.layout.options.rest_tls:
            return {"restapi": rest}
        files = {"certfile": str(self.layout.tls_dir / "server.crt"), "keyfile": str(self.layout.tls_dir / "server.key")}
        rest.update(files, cafile=str(self.layout.ca), verify_client="required",
                    authentication={"username": names.REST_USER, "password": names.REST_PASSWORD})
        return {"restapi": rest, "ctl": {**files, "cacert": str(self.layout.ca)}}

    def _shared_parameters(self) -> dict[str, Any]:
        return {"max_connections": 300, "max_wal_senders": 10, "max_replication_slots": 10, "wal_level": "replica",
                "hot_standby": "on", "wal_log_hints": "on", "wal_keep_size": "64MB"}

    def _own_parameters(self) -> dict[str, Any]:
        return {
            "unix_socket_directories": str(self.layout.socket_dir),
            "fsync": "on" if self.layout.options.fsync else "off",
            "shared_buffers": "64MB",
            "min_wal_size": "64MB",
            "max_wal_size": "256MB",
            "jit": "off",
            # A replica that lost its leader asks the new one ten times as often as by default.
            "wal_retrieve_retry_interval": "500ms",
            # What a killed server leaves behind then lies in its data directory, not in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "password_encryption": "scram-sha-256",
            "ssl": "on",
            "ssl_ca_file": str(self.layout.ca),
            "ssl_cert_file": str(self.layout.tls_dir / "server.crt"),
            "ssl_key_file": str(self.layout.tls_dir / "server.key"),
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }

    def _pg_hba(self) -> list[str]:
        methods = names.TEST_USERS if self.layout.options.test_users else {}
        network = self.layout.network
        rows = [f"host all {user} {network} {method}" for user, method in methods.items()]
        rows += ["local all all scram-sha-256",
                 f"host all all {network} scram-sha-256",
                 f"local replication {names.REPLICATOR} scram-sha-256",
                 f"host replication {names.REPLICATOR} {network} scram-sha-256"]
        return rows

    # Processes.

    def _spawn(self, argv: list[str], log: Path, pid_file: Path, extra: dict[str, str] | None = None) -> int:
        return procs.spawn(argv, lab=self.layout.dir, cwd=self.dir, log=log, pid_file=pid_file,
                           uid=self.layout.uid, gid=self.layout.gid, extra=extra)

    @property
    def patroni_pid(self) -> int:
        """0 when it does not run."""
        return procs.read_pid(self._patroni_pid_file)

    @property
    def link_pid(self) -> int:
        return procs.read_pid(self._link_pid_file)

    @property
    def postgres_pids(self) -> list[int]:
        return procs.postgres_in(self.data)

    @property
    def is_frozen(self) -> bool:
        return any(procs.is_stopped(pid) for pid in [self.patroni_pid, *self.postgres_pids] if pid)

    @property
    def etcd_link(self) -> str:
        pid = self.link_pid
        if not pid:
            return "refused"
        return "silent" if procs.is_stopped(pid) else "up"

    def _all_but_the_link(self) -> list[int]:
        link = self.link_pid
        ours = procs.marked(self.layout.dir, below=self.dir) + self.postgres_pids
        return [pid for pid in set(ours) if pid != link]

    def start(self) -> bool:
        """Patroni, and the link unless it was cut. False when it runs already."""
        if self.patroni_pid:
            return False
        if not (self.dir / "patroni.yml").exists():
            self.write_config()
            self.heal_etcd()
        other = self.layout.patroni_dir
        if self.layout.options.patroni:
            self._spawn([program("python3", "python3"), str(other / "usr/bin/patroni"), "patroni.yml"], self.log,
                        self._patroni_pid_file, {"PYTHONPATH": str(other / "usr/lib/python3/dist-packages")})
        else:
            self._spawn([program("patroni", "patroni"), "patroni.yml"], self.log, self._patroni_pid_file)
        return True

    def stop(self) -> None:
        """Gracefully: Patroni shuts PostgreSQL down and gives up the lock if it holds it."""
        pid = self.patroni_pid
        procs.send([pid] if pid else [], signal.SIGTERM)
        left = procs.wait_gone(([pid] if pid else []) + self.postgres_pids, STOP_TIMEOUT)
        if left:
            raise LabError(f"{self.name} did not stop within {STOP_TIMEOUT:.0f} s, see {self.log}")

    def kill(self) -> int:
        """As a host that loses power; Patroni first, so that it restarts nothing. How many processes died."""
        patroni = self.patroni_pid
        procs.send([patroni] if patroni else [], signal.SIGKILL)
        return procs.kill_all(self._all_but_the_link) + (1 if patroni else 0)

    def kill_postgres(self) -> int:
        """The server alone, all its processes; Patroni lives and will act."""
        before = self.postgres_pids
        procs.send(before, signal.SIGKILL)
        procs.wait_gone(before, 5.0)
        return len(before)

    def freeze(self) -> int:
        """As a host that hangs: connections are still accepted (by the kernel), nothing is ever answered."""
        return procs.freeze_all(self._all_but_the_link)

    def thaw(self) -> int:
        return procs.send([pid for pid in self._all_but_the_link() if procs.is_stopped(pid)], signal.SIGCONT)

    def cut_etcd(self, silent: bool = False) -> None:
        """The node loses etcd and nothing else: connections are refused, or with `silent` never answered."""
        pid = self.link_pid
        if pid:
            procs.send([pid], signal.SIGSTOP if silent else signal.SIGKILL)

    def heal_etcd(self) -> None:
        if not self.layout.etcd_link:
            return
        self.layout.make_dir(self.dir, 0o700)
        pid = self.link_pid
        if pid:
            procs.send([pid], signal.SIGCONT)
            return
        port = self.layout.link_port(self.name)
        self._spawn([program("python3", "python3"), str(self.layout.dir / "bin" / "link.py"), self.host, str(port),
                     self.layout.etcd_host, str(self.layout.etcd_port)], self.dir / "link.log", self._link_pid_file)

    def delay_replay(self, seconds: float) -> None:
        """
        From now on the replica applies a commit that many seconds after it happened; 0 ends it. Done the way Patroni
        offers: set by ALTER SYSTEM instead, it would be taken for a mistake and reported in every round.
        """
        self.write_config(seconds)
        status, _ = self.ask("/reload", method="POST")
        if status != 202:
            raise LabError(f"Patroni of {self.name} did not accept the reload: it answered {status or 'nothing'}")
        wanted = str(int(seconds * 1000))
        until = time.monotonic() + 10
        while self.sql("SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay'") != wanted:
            if time.monotonic() > until:
                raise LabError(f"{self.name} did not take the delay within 10 s, see {self.log}")
            time.sleep(0.1)

    # Questions.

    def _connection(self, timeout: float) -> tuple[http.client.HTTPConnection, dict[str, str]]:
        if not self.layout.options.rest_tls:
            return http.client.HTTPConnection(self.host, self.rest_port, timeout=timeout), {}
        context = ssl.create_default_context(cafile=str(self.layout.ca))
        context.load_cert_chain(self.layout.tls_dir / "server.crt", self.layout.tls_dir / "server.key")
        who = base64.b64encode(f"{names.REST_USER}:{names.REST_PASSWORD}".encode()).decode()
        return (http.client.HTTPSConnection(self.host, self.rest_port, timeout=timeout, context=context),
                {"Authorization": "Basic " + who})

    def ask(self, path: str, method: str = "GET", body: dict[str, Any] | None = None,
            timeout: float = REST_TIMEOUT) -> tuple[int, str]:
        """(status, text) of one REST request; (0, reason) when there was no answer."""
        connection, headers = self._connection(timeout)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None,
                               headers={**headers, **({"Content-Type": "application/json"} if body is not None else {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def look(self) -> View:
        status, text = self.ask("/primary")
        try:
            body = json.loads(text)
        except ValueError:
            return View()
        return View(status, body) if isinstance(body, dict) else View()

    def psql_argv(self, database: str = names.APP_DATABASE, user: str = names.SUPERUSER) -> list[str]:
        return ["psql", "-X", "-h", self.host, "-p", str(self.pg_port), "-U", user, "-d", database]

    def sql(self, query: str, database: str = "postgres") -> str:
        """Run it directly on this node as superuser; the answer as psql -At prints it."""
        done = subprocess.run([*self.psql_argv(database), "-At", "-v", "ON_ERROR_STOP=1", "-c", query],
                              env=psql_environment(names.SUPERUSER_PASSWORD), capture_output=True, text=True,
                              check=False, timeout=30)
        if done.returncode != 0:
            raise LabError(f"{self.name} refused: " + (done.stderr.strip() or "no reason given"))
        return done.stdout.strip()

    def last_words(self) -> str:
        """The last line of Patroni's log that says what went wrong, for an error message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "no log"
        wrong = [line for line in lines if re.search(r"ERROR|FATAL|CRITICAL|Exception|error", line)]
        return (wrong or lines or ["empty log"])[-1].strip()


def psql_environment(password: str) -> dict[str, str]:
    """The caller's PGHOST, PGSSLMODE and the like would lead psql elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
