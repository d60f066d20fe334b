"""
layout.py - where everything of one lab lies: directory, addresses, ports, names, and the options it was made with.

Owns: the directory and its mark, the file `lab.json` in it.
Never: starts or stops anything.
Invariant: a directory without our mark is neither written to nor removed.

    DIR/lab.json      options, nodes and ports of this lab      DIR/bin/      what runs without reading the checkout
    DIR/etcd/         data and log                              DIR/tls/      lab CA, one certificate for all
    DIR/n1/ ...       patroni.yml, data/, log, etcd link        DIR/s/        Unix sockets of PostgreSQL
    DIR/pgsluice/     pgsluice.ini, users.txt, log, socket

A lab uses the ports PORT_BASE .. PORT_BASE+39; two labs need different bases and directories.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pwd
import re
import shutil
import socket
from pathlib import Path
from typing import Any, Iterator

PORT_BASE = 23210
NODES_MAX = 9
PORTS_USED = 40
MARK = "lab.json"

# A lab for a machine of one's own: the names and passwords are known to everybody who can read this file.
SUPERUSER = "postgres"
SUPERUSER_PASSWORD = "postgres"
APP_USER = "app"
APP_PASSWORD = "app"
APP_DATABASE = "app"
REPLICATOR = "replicator"
REPLICATOR_PASSWORD = "replicator"
# With --rest-tls only: who may change something through Patroni.
REST_USER = "patroni"
REST_PASSWORD = "secret of patroni"
# With --test-users only: one user per way of logging in, all with the password "test".
TEST_USERS = {"user_trust": "trust", "user_password": "password", "user_md5": "md5", "user_scram": "scram-sha-256"}
TEST_PASSWORD = "test"


class LabError(Exception):
    """Something is not as expected. The text is one sentence for the person at the terminal."""


@dataclasses.dataclass
class Options:
    """What `up` was asked for. Kept in lab.json, so that later verbs need only --dir."""

    port_base: int = PORT_BASE
    nodes: int = 3
    sync: bool = False  # Patroni's synchronous_mode
    failsafe: bool = False  # Patroni's failsafe_mode
    fsync: bool = True
    test_users: bool = False
    rest_tls: bool = False  # Patroni's REST API: TLS, a client certificate for every request, a password for changes
    etcd3: bool = False  # Patroni speaks the v3 protocol to etcd instead of v2
    ttl: int = 5  # seconds; Patroni wants loop_wait + 2 * retry_timeout <= ttl
    loop_wait: int = 1  # seconds
    retry_timeout: int = 2  # seconds
    patroni: str = ""  # another Patroni than the installed one: a directory into which its package was unpacked
    before_stop: str = ""  # Patroni's hook of that name, from 3.0.3 on; {name} is the node's


def default_directory() -> Path:
    """A short path of our own: a Unix socket's path must stay below 108 bytes."""
    uid = os.getuid()
    return Path("/tmp/pgsluice-quickstart" if uid == 0 else "/tmp/pgsluice-quickstart-" + str(uid))


def run_as() -> tuple[str, int, int]:
    """(user, uid, gid) of the lab's processes: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        me = pwd.getpwuid(os.getuid())
        return me.pw_name, me.pw_uid, me.pw_gid
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise LabError("there is no user \"postgres\": is the package postgresql installed?") from None
    return owner.pw_name, owner.pw_uid, owner.pw_gid


def port_is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Layout:
    """One lab's directory. `names` and `front` (pgsluice's ports) change over time, `options` do not."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory
        self.options = Options()
        self.names: list[str] = []
        self.front: dict[str, int] = {}
        self.user, self.uid, self.gid = run_as()

    # Ports and addresses. Nodes have addresses of their own, as on real hosts; Linux answers on all of 127.0.0.0/8.
    # A lab elsewhere (bench/outage: in network namespaces) says so in a class of its own.
    network = "127.0.0.0/8"
    etcd_host = "127.0.0.1"
    etcd_link = True  # nodes reach etcd through a process that can be stopped; else by themselves

    @staticmethod
    def number(name: str) -> int:
        return int(name[1:])

    def host(self, name: str) -> str:
        return "127.0.0." + str(10 + self.number(name))

    def pg_port(self, name: str) -> int:
        return self.options.port_base + self.number(name)

    def rest_port(self, name: str) -> int:
        return self.options.port_base + 10 + self.number(name)

    def link_port(self, name: str) -> int:
        return self.options.port_base + 20 + self.number(name)

    @property
    def etcd_port(self) -> int:
        return self.options.port_base + 30

    @property
    def etcd_peer_port(self) -> int:
        return self.options.port_base + 31

    def rest_url(self, name: str) -> str:
        scheme = "https://" if self.options.rest_tls else "http://"
        return scheme + self.host(name) + ":" + str(self.rest_port(name))

    # Directories.

    def node_dir(self, name: str) -> Path:
        return self.dir / name

    @property
    def socket_dir(self) -> Path:
        return self.dir / "s"

    @property
    def patroni_dir(self) -> Path:
        return self.dir / "bin" / "patroni"

    @property
    def tls_dir(self) -> Path:
        return self.dir / "tls"

    @property
    def ca(self) -> Path:
        return self.tls_dir / "ca.crt"

    def make_dir(self, path: Path, mode: int = 0o755) -> Path:
        """A directory that belongs to the lab's user."""
        path.mkdir(exist_ok=True)
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path

    def write(self, path: Path, content: str, mode: int = 0o600) -> None:
        """A file of the lab's user, replaced whole: a crash leaves the old one or the new one."""
        draft = path.with_name(path.name + ".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(content)
        os.chown(draft, self.uid, self.gid)
        os.replace(draft, path)

    # The mark.

    def exists(self) -> bool:
        return (self.dir / MARK).is_file()

    def create(self, options: Options) -> None:
        """Claim the directory: it must be absent, empty, or ours already."""
        if len(os.fsencode(self.dir)) > 80:
            raise LabError(f"the path {self.dir} is too long for Unix sockets: take one of at most 80 bytes")
        if not re.fullmatch(r"[A-Za-z0-9/._-]+", str(self.dir)):
            raise LabError(f"the path {self.dir} would have to be quoted in some configuration: take a plainer one")
        if options.nodes < 1 or options.nodes > NODES_MAX:
            raise LabError(f"a lab has 1 to {NODES_MAX} nodes, not {options.nodes}")
        if options.port_base < 1024 or options.port_base + PORTS_USED > 65536:
            raise LabError(f"the port base must lie between 1024 and {65536 - PORTS_USED}")
        self._refuse_foreign()
        self.options = options
        self.names = ["n" + str(i) for i in range(1, options.nodes + 1)]
        self._refuse_used_ports()
        self.dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.dir.chmod(0o755)
        self.save()

    def _refuse_used_ports(self) -> None:
        wanted = [(self.etcd_host, self.etcd_port), (self.etcd_host, self.etcd_peer_port)]
        for name in self.names:
            ports = (self.pg_port(name), self.rest_port(name), self.link_port(name))
            wanted += [(self.host(name), port) for port in ports]
        for host, port in wanted:
            if not port_is_free(host, port):
                raise LabError(f"{host}:{port} is in use by another program: take another --port-base")

    def _refuse_foreign(self) -> None:
        """In /tmp anybody may have put the directory there first."""
        try:
            status = os.lstat(self.dir)
        except FileNotFoundError:
            return
        if not os.path.isdir(self.dir) or os.path.islink(self.dir):
            raise LabError(f"{self.dir} exists and is not a directory: give another one with --dir")
        if status.st_uid != os.getuid():
            raise LabError(f"{self.dir} belongs to another user: give another one with --dir")
        if not self.exists() and any(self.dir.iterdir()):
            raise LabError(f"{self.dir} is not empty and not a lab of ours: give another one with --dir")

    def load(self) -> None:
        if not self.exists():
            raise LabError(f"there is no lab in {self.dir}: start one with contrib/quickstart")
        self._refuse_foreign()
        try:
            kept: dict[str, Any] = json.loads((self.dir / MARK).read_text(encoding="utf-8"))
            self.options = Options(**kept["options"])
            self.names = list(kept["names"])
            self.front = dict(kept["front"])
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"{self.dir / MARK} cannot be read ({error}): remove it all with "
                           f"contrib/quickstart --dir {self.dir} --down") from None

    def save(self) -> None:
        kept = {"options": dataclasses.asdict(self.options), "names": self.names, "front": self.front}
        draft = self.dir / (MARK + ".new")
        draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.dir / MARK)

    def remove(self) -> None:
        self._refuse_foreign()
        if self.exists():
            # The mark goes last: an interrupted removal can be repeated.
            for entry in sorted(self.dir.iterdir(), key=lambda each: each.name == MARK):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            self.dir.rmdir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """
        For up, add, remove and down: two of them at once would build on each other's half. The lock lies beside the
        directory, because down removes the directory, and goes with it.
        """
        path = Path(str(self.dir) + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(f"another command is at work on {self.dir}: wait for it") from None
            try:
                yield
            finally:
                if not self.exists():
                    path.unlink(missing_ok=True)
