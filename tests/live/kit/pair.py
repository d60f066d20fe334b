"""
pair.py - the real HAProxy and PgBouncer in front of a real cluster, configured as Patroni's documentation says.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
from pathlib import Path
from typing import Iterator

from lab.cluster import Lab

from .place import HOST, Place, wait_until

HAPROXY = """\
global
    maxconn 100
defaults
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen stats
    mode http
    bind {host}:{stats}
    stats enable
    stats uri /
listen primary
    bind {host}:{write}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 300ms fall 3 rise 1 on-marked-down shutdown-sessions
{servers}
listen replicas
    bind {host}:{read}
    option httpchk OPTIONS /replica
    http-check expect status 200
    default-server inter 300ms fall 3 rise 1 on-marked-down shutdown-sessions
{servers}
"""

PGBOUNCER = """\
[databases]
* = host={host} port={write}
app_ro = host={host} port={read} dbname=app

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir = {dir}
auth_type = scram-sha-256
auth_file = {dir}/userlist.txt
pool_mode = transaction
"""


class Pair:
    """Ports: .port (PgBouncer, to the primary), .read (HAProxy, to a replica), .stats. Files: .cfg, .ini."""

    def __init__(self, place: Place, lab: Lab, secret: str) -> None:
        self.place, self.dir = place, place.make_dir("pair")
        self.port, self.write, self.read, self.stats = (place.port() for _ in range(4))
        servers = "".join(f"    server {node.name} {node.host}:{node.pg_port} maxconn 100 check port {node.rest_port}\n"
                          for node in lab.nodes)
        place.write(self.dir / "userlist.txt", secret)
        values = {"host": HOST, "port": self.port, "write": self.write, "read": self.read, "stats": self.stats,
                  "dir": self.dir, "servers": servers}
        self.cfg: Path = place.write(self.dir / "haproxy.cfg", HAPROXY.format(**values))
        self.ini: Path = place.write(self.dir / "pgbouncer.ini", PGBOUNCER.format(**values))

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        haproxy, pgbouncer = shutil.which("haproxy"), shutil.which("pgbouncer")
        assert haproxy and pgbouncer
        log = self.dir / "log"
        started = [self.place.spawn([haproxy, "-db", "-f", str(self.cfg)], cwd=self.dir, log=log),
                   self.place.spawn([pgbouncer, str(self.ini)], cwd=self.dir, log=log)]
        try:
            for port in (self.port, self.read):
                wait_until(lambda: self._listens(port), 30, f"port {port} of the pair: {log.read_text()[-2000:]}")
            yield
        finally:
            for each in started:
                each.send_signal(signal.SIGTERM)
            for each in started:
                each.wait(30)

    @staticmethod
    def _listens(port: int) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), 5).close()
            return True
        return False
