"""
sluice.py - pgsluice in front of the lab: its configuration, its process, its ports.

Owns: DIR/pgsluice. Never: looks into pgsluice's protocol; it is asked over HTTP and SQL like by any other client.
"""

from __future__ import annotations

import filecmp
import http.client
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from . import layout as names
from . import procs
from .cluster import Lab
from .layout import LabError
from .node import psql_environment

WANTED = {"listen": 5432, "read": 5433, "http": 8404}
MEANING = {"listen": "read-write", "read": "read-only", "http": "HTTP"}
HOST = "127.0.0.1"
READY_TIMEOUT = 20.0  # seconds
STOP_TIMEOUT = 15.0  # seconds; pgsluice itself promises 10

CONFIG = """\
; Written by contrib/quickstart for the cluster in {dir}; written anew at each start.
[clusters]
main = patroni={urls}

[databases]
* = cluster=main

[pgsluice]
listen_addr = {host}
listen_port = {listen}
read_port = {read}
http_addr = {host}
http_port = {http}
unix_socket_dir = {own}

auth_type = scram-sha-256
auth_file = {own}/users.txt
admin_users = {superuser}
stats_users = {app}

client_tls_sslmode = prefer
client_tls_cert_file = {tls}/server.crt
client_tls_key_file = {tls}/server.key
server_tls_sslmode = verify-full
server_tls_ca_file = {ca}

{rest}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
"""


class Front:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.layout = lab.layout
        self.dir = self.layout.dir / "pgsluice"
        self.log = self.dir / "pgsluice.log"
        self.ini = self.dir / "pgsluice.ini"
        self._installed = self.layout.dir / "bin" / "pgsluice"
        self._pid_file = self.dir / "pgsluice.pid"

    @property
    def pid(self) -> int:
        return procs.read_pid(self._pid_file)

    def port(self, which: str) -> int:
        return self.layout.front[which]

    def start(self, built: Path) -> list[str]:
        """
        Start it unless it runs already from this very build. Returns what is worth saying: which port is not the
        wanted one, or that an older build was replaced.
        """
        if not built.is_file():
            raise LabError(f"pgsluice is not built: {built} is missing")
        remarks = []
        if self.pid:
            if filecmp.cmp(built, self._installed, shallow=False):
                return []
            remarks.append("it was rebuilt and is started anew")
            self.stop()
        self.layout.make_dir(self.dir)
        self._install(built)
        self.layout.front = self._choose_ports()
        self.layout.save()
        remarks += [f"port {WANTED[which]} is in use by another program, the {MEANING[which]} port is {port}"
                    for which, port in self.layout.front.items() if port != WANTED[which]]
        self._write_config()
        procs.spawn([str(self._installed), str(self.ini)], lab=self.layout.dir, cwd=self.dir, log=self.log,
                    pid_file=self._pid_file, uid=self.layout.uid, gid=self.layout.gid)
        self._wait_ready()
        return remarks

    def _install(self, built: Path) -> None:
        """A copy: the lab's user may not be able to read the checkout, and a new build must not hurt what runs."""
        draft = self._installed.with_name("pgsluice.new")
        shutil.copyfile(built, draft)
        draft.chmod(0o755)
        draft.replace(self._installed)

    def _choose_ports(self) -> dict[str, int]:
        """The wanted ports, else the next free ones; those of the last start are kept if they are free."""
        chosen: dict[str, int] = {}
        for which, wanted in WANTED.items():
            port = self.layout.front.get(which, wanted)
            while port in chosen.values() or not names.port_is_free(HOST, port):
                port += 1
            chosen[which] = port
        return chosen

    def _write_config(self) -> None:
        lab = self.layout
        urls = ",".join(lab.rest_url(name) for name in lab.names)
        rest = ""
        if lab.options.rest_tls:
            rest = (f"patroni_ca_file = {lab.ca}\npatroni_cert_file = {lab.tls_dir}/server.crt\n"
                    f"patroni_key_file = {lab.tls_dir}/server.key\n"
                    f"patroni_user = {names.REST_USER}\npatroni_password = {names.REST_PASSWORD}\n")
        lab.write(self.ini, CONFIG.format(rest=rest, dir=lab.dir, own=self.dir, urls=urls, host=HOST, **lab.front,
                                          tls=lab.tls_dir, ca=lab.ca, superuser=names.SUPERUSER, app=names.APP_USER))
        lab.write(self.dir / "users.txt", self._users())

    def _users(self) -> str:
        """The secrets as the servers keep them; a SCRAM client's own login then also opens the servers."""
        rows = self.lab.pick("leader").sql(
            "SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid"
            f" WHERE rolcanlogin AND rolpassword IS NOT NULL AND rolname <> '{names.REPLICATOR}' ORDER BY rolname")
        return rows + "\n"

    def _wait_ready(self) -> None:
        until = time.monotonic() + READY_TIMEOUT
        answer = ""
        while time.monotonic() < until:
            if not self.pid:
                raise LabError(f"pgsluice ended at once: {self._last_line()}")
            answer = self._try_query()
            if answer == "":
                return
            time.sleep(0.1)
        raise LabError(f"pgsluice did not serve a query within {READY_TIMEOUT:.0f} s: {answer}")

    def _try_query(self) -> str:
        """"" when both ports answer, else why not."""
        for which in ("listen", "read"):
            done = subprocess.run([*self.psql_argv(which), "-Atc", "SELECT 1"], capture_output=True, text=True,
                                  env=psql_environment(names.APP_PASSWORD), check=False)
            if done.returncode != 0:
                return done.stderr.strip().replace("\n", " ")
        return ""

    def psql_argv(self, which: str = "listen") -> list[str]:
        return ["psql", "-X", "-h", HOST, "-p", str(self.port(which)), "-U", names.APP_USER, "-d", names.APP_DATABASE]

    def printed_lines(self) -> list[tuple[str, str]]:
        """The shell commands that the person is told, by what they are for. The proof runs these very lines."""
        app = f"-U {names.APP_USER} {names.APP_DATABASE}"
        return [
            ("read and write", f"PGPASSWORD={names.APP_PASSWORD} psql -h {HOST} -p {self.port('listen')} {app}"),
            ("read only", f"PGPASSWORD={names.APP_PASSWORD} psql -h {HOST} -p {self.port('read')} {app}"),
            ("console", f"PGPASSWORD={names.SUPERUSER_PASSWORD} psql -h {HOST} -p {self.port('listen')}"
                        f" -U {names.SUPERUSER} pgsluice -c 'SHOW POOLS'"),
        ]

    def http(self, path: str) -> tuple[int, str]:
        """(status, text) of a GET on the HTTP port; (0, reason) without an answer."""
        connection = http.client.HTTPConnection(HOST, self.port("http"), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def _last_line(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        except (OSError, IndexError):
            return f"nothing in {self.log}"

    def stop(self) -> None:
        """SIGTERM; SIGKILL if it does not go in time."""
        pid = self.pid
        if pid:
            procs.send([pid], signal.SIGTERM)
            procs.send(procs.wait_gone([pid], STOP_TIMEOUT), signal.SIGKILL)
            procs.wait_gone([pid], 1.0)

    def status(self) -> dict[str, Any]:
        return {"pid": self.pid or None, "host": HOST, "ports": self.layout.front, "ini": str(self.ini),
                "log": str(self.log)}
