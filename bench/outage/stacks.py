"""
stacks.py - what stands between clients and cluster: pgsluice, or PgBouncer in front of HAProxy.

Owns: their files and processes on the host "proxy". Each has its own documentation's settings, and its defaults where that is silent.
Both are asked for the same: two ports, pooling by transaction, 20 server connections in a pool, users with SCRAM.
"""

from __future__ import annotations

import dataclasses
import http.client
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import psycopg
from lab import layout as names
from lab import procs
from lab.layout import LabError
from lab.node import program, psql_environment

from .world import World, wait_until

TOKEN = "who may hold"
STOP_TIMEOUT = 40.0  # seconds; pgsluice promises 10, a sanitizer takes its part
USERS = f'"{names.APP_USER}" "{names.APP_PASSWORD}"\n'


class Stack:
    """start(), then .write and .read are (host, port) for clients, then stop()."""

    name = title = ""
    has_console = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.host = world.network.address("proxy")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.env: dict[str, str] = {}
        self.write, self.read = (self.host, 0), (self.host, 0)

    def start(self) -> None:
        raise NotImplementedError

    def file(self, name: str, content: str, directory: str = "", mode: int = 0o600) -> Path:
        layout = self.world.lab.layout
        path = layout.make_dir(self.world.dir / (directory or self.name), 0o700) / name
        layout.write(path, content, mode)
        return path

    def spawn(self, name: str, argv: list[str]) -> None:
        self.processes[name] = self.world.spawn("proxy", name, argv, self.env)

    def wait_serves(self) -> None:
        """A write on one port and a read from a replica on the other one."""
        for port, wanted in ((self.write[1], "f"), (self.read[1], "t")):
            wait_until(lambda: self.sql("SELECT pg_is_in_recovery()", port) == wanted, f"{self.title}, port {port}")

    def sql(self, query: str, port: int = 0, database: str = names.APP_DATABASE) -> str:
        """What psql -At printed, from the clients' host; the error's first line if it failed."""
        argv = [program("psql", "postgresql-client"), "-XAt", "-h", self.host, "-p", str(port or self.write[1]), "-U",
                names.APP_USER, "-d", database, "-c", query]
        with self.world.network.inside("clients"):
            try:
                done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60,
                                      env=psql_environment(names.APP_PASSWORD))
            except subprocess.TimeoutExpired:
                return "no answer"
        return done.stdout.strip() if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[0]

    def session(self, database: str = names.APP_DATABASE) -> Any:
        """From this program's own host."""
        return psycopg.connect(host=self.host, port=self.write[1], user=names.APP_USER, password=names.APP_PASSWORD, dbname=database,
                               autocommit=True, connect_timeout=10)

    def dead(self) -> list[str]:
        """Those that ended by themselves."""
        return [f"{name} ended, status {each.poll()}" for name, each in self.processes.items() if each.poll() is not None]

    def log_text(self, name: str) -> str:
        return (self.world.dir / name / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> list[str]:
        """What was not as it should be about their ends."""
        wrong = self.dead()
        for each in self.processes.values():
            each.terminate()
        for name, each in self.processes.items():
            try:
                each.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                wrong.append(f"{name} did not end within {STOP_TIMEOUT:.0f} s")
                each.kill()
                each.wait()
        self.processes.clear()
        return wrong


class Sluice(Stack):
    name, title, has_console = "pgsluice", "pgsluice", True

    def __init__(self, world: World, binary: Path, **settings: Any) -> None:
        super().__init__(world)
        self.settings = settings
        self.write, self.read = (self.host, 5432), (self.host, 5433)
        self.http_port = 8404
        self.installed = world.dir / "bin" / "pgsluice"
        shutil.copyfile(binary, self.installed)  # the lab's user may be unable to read the build
        self.installed.chmod(0o755)

    def start(self) -> None:
        self.file("users.txt", USERS)
        self.spawn("pgsluice", [str(self.installed), str(self.write_ini())])
        self.wait_serves()

    def write_ini(self) -> Path:
        return self.file("pgsluice.ini", self._ini())

    def _ini(self) -> str:
        urls = ",".join(self.world.lab.layout.rest_url(name) for name in self.world.lab.layout.names)
        settings = {"listen_addr": self.host, "listen_port": self.write[1], "read_port": self.read[1],
                    "http_addr": self.host, "http_port": self.http_port, "http_token": TOKEN, "unix_socket_dir": "",
                    "auth_file": self.world.dir / self.name / "users.txt", "admin_users": names.APP_USER,
                    "max_client_conn": 1000, **self.settings}
        return (f"[clusters]\nmain = patroni={urls}\n[databases]\n* = cluster=main\n[pgsluice]\n"
                + "".join(f"{key} = {value}\n" for key, value in settings.items()))

    def console(self, command: str) -> str:
        """Its table, or what else psql prints; LabError with the reason."""
        said = self.sql(command, database="pgsluice")
        if said.startswith(("ERROR", "FATAL", "psql:", "no answer")):
            raise LabError(f"{command}: {said}")
        return said

    def post(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=10)
        try:
            connection.request("POST", path, headers={"Authorization": "Bearer " + TOKEN})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def hook(self, member: str) -> None:
        """contrib/patroni/before_stop, as a Patroni that knows postgresql.before_stop runs it on that member."""
        script = Path(__file__).resolve().parents[2] / "contrib" / "patroni" / "before_stop"
        run = self.file("before_stop", script.read_text(encoding="utf-8"), "hook", 0o755)
        token = self.file("token", TOKEN, "hook")
        with self.world.network.inside(member):
            subprocess.run([str(run), member, str(token), f"http://{self.host}:{self.http_port}"], check=True, timeout=60,
                           env=procs.environment(self.world.dir, run.parent))

    @property
    def pid(self) -> int:
        return self.processes["pgsluice"].pid

    def said(self) -> str:
        return self.log_text("pgsluice")


HAPROXY = """\
global
    maxconn 1000
defaults
    mode tcp
    retries {retries}
    timeout client 30m
    timeout connect {connect}
    timeout server 30m
    timeout check {check}
listen primary
    bind {host}:5000
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter {inter} fall {fall} rise {rise} on-marked-down shutdown-sessions
{servers}
listen replicas
    bind {host}:5001
    option httpchk OPTIONS /replica
    http-check expect status 200
    default-server inter {inter} fall {fall} rise {rise} on-marked-down shutdown-sessions
{servers}
"""

PGBOUNCER = """\
[databases]
* = host={host} port={behind}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
{more}
"""


@dataclasses.dataclass(frozen=True)
class Manner:
    """How eagerly the pair looks and tries again."""

    inter: str
    fall: int
    rise: int
    retries: int
    connect: str
    check: str
    pgbouncer: str


# What stands in Patroni's own haproxy.cfg, looking every 2 s instead of 3 s, with PgBouncer's defaults.
CANONICAL = Manner("2s", 3, 2, 2, "4s", "5s", "")
# As quick as it goes without false alarms.
TUNED = Manner("500ms", 2, 1, 3, "1s", "1s", "server_login_retry = 1\nserver_connect_timeout = 3\nserver_check_delay = 1")


class Pair(Stack):
    """One PgBouncer for each port: which way it leads is HAProxy's affair."""

    def __init__(self, world: World, name: str, title: str, manner: Manner) -> None:
        super().__init__(world)
        self.name, self.title, self.manner = name, title, manner
        self.write, self.read = (self.host, 6432), (self.host, 6433)

    def start(self) -> None:
        users = self.file("users.txt", USERS)
        servers = "".join(f"    server {node.name} {node.host}:{node.pg_port} maxconn 100 check port {node.rest_port}\n"
                          for node in self.world.nodes)
        manner = dataclasses.asdict(self.manner)
        more = manner.pop("pgbouncer")
        cfg = self.file("haproxy.cfg", HAPROXY.format(host=self.host, servers=servers, **manner))
        self.spawn("haproxy", [program("haproxy", "haproxy"), "-db", "-f", str(cfg)])
        for name, behind, (_, port) in (("pgbouncer", 5000, self.write), ("pgbouncer-read", 5001, self.read)):
            ini = self.file(f"{name}.ini", PGBOUNCER.format(host=self.host, behind=behind, port=port, users=users, more=more))
            self.spawn(name, [program("pgbouncer", "pgbouncer"), str(ini)])
        self.wait_serves()


STACKS: dict[str, Callable[[World, Path], Stack]] = {
    "pgsluice": Sluice,
    "canonical": lambda world, _: Pair(world, "canonical", "HAProxy+PgBouncer", CANONICAL),
    "tuned": lambda world, _: Pair(world, "tuned", "the pair, tuned", TUNED),
}
