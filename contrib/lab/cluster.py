"""
cluster.py - the whole lab: etcd, its nodes, and what is true of them together.

Owns: starting and removing everything, waiting for health, the choice of a node by what it is ("leader", "replica").
Never: knows pgsluice; that is sluice.py.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterable

from . import layout as names
from . import procs, tls
from .layout import LabError, Layout, Options
from .node import Node, View, program

HEALTHY_TIMEOUT = 60.0  # seconds
Say = Callable[[str], None]


class Lab:
    """
    An existing lab, after open(), or a new one, after up(). Tests use it as
        lab = Lab(directory)
        lab.up(Options(port_base=24000, sync=True))
        lab.pick("leader").kill()
        lab.wait_leader()
        lab.down()
    """

    layout_type, node_type = Layout, Node

    def __init__(self, directory: Path) -> None:
        # A process is recognised by its working directory, which Linux tells without symbolic links.
        directory = directory.absolute()
        self.layout = self.layout_type(directory.parent.resolve() / directory.name)
        self.etcd_dir = self.layout.dir / "etcd"
        self._etcd_pid_file = self.etcd_dir / "etcd.pid"

    def open(self) -> "Lab":
        self.layout.load()
        return self

    @property
    def nodes(self) -> list[Node]:
        return [self.node(name) for name in self.layout.names]

    def node(self, name: str) -> Node:
        return self.node_type(self.layout, name)

    # Up and down.

    def up(self, options: Options, say: Say = lambda text: None) -> None:
        """Start what does not run, mend what was broken, wait for health. On an existing lab its own options hold."""
        if self.layout.exists():
            self.layout.load()
        else:
            self.layout.create(options)
        tls.make_certificates(self.layout)
        self.layout.make_dir(self.layout.socket_dir)
        self._install_link()
        if self.start_etcd():
            say("etcd answers")
        for node in self.nodes:
            node.thaw()
            node.heal_etcd()
        started = [node.name for node in self.nodes if node.start()]
        if started:
            say("Patroni started on " + ", ".join(started))
        leader = self.wait_leader(HEALTHY_TIMEOUT)
        self._make_users(leader)
        if started:
            say(f"{leader.name} is the leader")
        self.wait_healthy(HEALTHY_TIMEOUT)

    def down(self) -> int:
        """Everything the lab ever started, also after a crash half way, then its directory. How many processes ended."""
        lab = self.layout.dir
        segments = _shared_memory_segments(lab.glob("*/data"))
        # Nothing is worth a graceful stop. Whatever Patroni starts in between is found in the next round.
        ended = procs.kill_all(lambda: list({*procs.marked(lab), *procs.postgres_below(lab)}))
        _remove_shared_memory(segments)
        self.layout.remove()
        return ended

    def _install_link(self) -> None:
        """The lab's user may be unable to read the checkout (/root), so that what it runs is copied."""
        directory = self.layout.make_dir(self.layout.dir / "bin")
        source = Path(__file__).with_name("link.py").read_text(encoding="utf-8")
        self.layout.write(directory / "link.py", source, 0o644)
        if self.layout.options.patroni and not self.layout.patroni_dir.exists():
            shutil.copytree(self.layout.options.patroni, self.layout.patroni_dir, symlinks=True)

    def _make_users(self, leader: Node) -> None:
        """Application user and database, and the test users; each only if it is not there yet."""
        users = {names.APP_USER: (names.APP_PASSWORD, "scram-sha-256")}
        if self.layout.options.test_users:
            users.update({user: (names.TEST_PASSWORD, "md5" if method == "md5" else "scram-sha-256")
                          for user, method in names.TEST_USERS.items()})
        present = set(leader.sql("SELECT rolname FROM pg_roles").splitlines())
        for user, (password, encryption) in users.items():
            if user not in present:
                leader.sql(f"SET password_encryption = '{encryption}';"
                           f" CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        if leader.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{names.APP_DATABASE}'") == "0":
            leader.sql(f"CREATE DATABASE {names.APP_DATABASE} OWNER {names.APP_USER}")

    # etcd.

    @property
    def etcd_pid(self) -> int:
        return procs.read_pid(self._etcd_pid_file)

    def start_etcd(self) -> bool:
        """False when it runs already."""
        if self.etcd_pid:
            return False
        layout = self.layout
        client, peer = f"http://{layout.etcd_host}:{layout.etcd_port}", f"http://{layout.etcd_host}:{layout.etcd_peer_port}"
        layout.make_dir(self.etcd_dir, 0o700)
        argv = [program("etcd", "etcd-server"), "--name", "lab", "--data-dir", "data",
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"lab={peer}"]
        if not layout.options.etcd3:
            # v2 by default: over v3, Patroni 3.0.2 may give the lock back to a leader that was frozen, and drop what
            # the new leader had acknowledged.
            argv.append("--enable-v2=true")
        extra = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}
        procs.spawn(argv, lab=layout.dir, cwd=self.etcd_dir, log=self.etcd_dir / "etcd.log",
                    pid_file=self._etcd_pid_file, uid=layout.uid, gid=layout.gid, extra=extra)
        self._wait(lambda: self._etcd_answers() or not self.etcd_pid, 20,
                   lambda: f"etcd does not answer, see {self.etcd_dir / 'etcd.log'}")
        if not self.etcd_pid:
            raise LabError(f"etcd ended at once, see {self.etcd_dir / 'etcd.log'}")
        return True

    def _etcd_answers(self) -> bool:
        connection = http.client.HTTPConnection(self.layout.etcd_host, self.layout.etcd_port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    # What is true of the nodes together.

    def look(self) -> dict[str, View]:
        """Every node asked at the same time: a frozen one costs its timeout only once."""
        nodes = self.nodes
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(nodes) or 1) as pool:
            return dict(zip([node.name for node in nodes], pool.map(Node.look, nodes)))

    @staticmethod
    def leader_name(views: dict[str, View]) -> str:
        """Two may claim it for a moment; the higher timeline is right. "" when there is none."""
        claims = [name for name, view in views.items() if view.is_leader]
        return max(claims, key=lambda name: views[name].timeline, default="")

    def healthy(self, views: dict[str, View]) -> bool:
        """One leader, and every other node streams from it."""
        leader = self.leader_name(views)
        others = set(self.layout.names) - {leader}
        return (leader != "" and sum(view.is_leader for view in views.values()) == 1
                and others <= views[leader].streaming_names and all(views[name].is_replica for name in others))

    def wait_leader(self, seconds: float = HEALTHY_TIMEOUT, other_than: str = "") -> Node:
        found = ""

        def look() -> bool:
            nonlocal found
            self._refuse_dead_patroni()
            found = self.leader_name(self.look())
            return found not in ("", other_than)

        self._wait(look, seconds, lambda: f"no leader within {seconds:.0f} s: {self._complaint()}")
        return self.node(found)

    def wait_healthy(self, seconds: float = HEALTHY_TIMEOUT) -> None:
        self._wait(lambda: self.healthy(self.look()), seconds,
                   lambda: f"the cluster is not healthy after {seconds:.0f} s: {self._complaint()}")

    def _refuse_dead_patroni(self) -> None:
        if self.nodes and not any(node.patroni_pid for node in self.nodes):
            raise LabError(f"no Patroni runs: {self._complaint()}")

    def _complaint(self) -> str:
        views = self.look()
        parts = []
        for node in self.nodes:
            view = views[node.name]
            what = f"{view.role}, {view.body.get('state')}" if view.body else "no answer, " + node.last_words()
            parts.append(f"{node.name} ({what})")
        return "; ".join(parts)

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise LabError(complaint())
            time.sleep(0.1)

    def pick(self, wanted: str) -> Node:
        """A node by its name, or by what it is now: "leader", or "replica" for the first healthy one."""
        if wanted in self.layout.names:
            return self.node(wanted)
        if wanted not in ("leader", "replica"):
            raise self._unknown(wanted)
        views = self.look()
        if wanted == "leader":
            found = self.leader_name(views)
        else:
            found = next((name for name, view in views.items() if view.is_replica), "")
        if not found:
            raise LabError(f"there is no {wanted} now: {self._complaint()}")
        return self.node(found)

    def _unknown(self, wanted: str) -> LabError:
        known = ", ".join([*self.layout.names, "leader", "replica"])
        return LabError(f"there is no node \"{wanted}\", this lab knows {known}")

    # Changes of the cluster.

    def switchover(self, candidate: str = "") -> tuple[str, str]:
        """Planned, by Patroni; returns (old, new) once the new leader takes writes."""
        old = self.pick("leader").name
        if candidate == "replica":
            candidate = self.pick("replica").name
        if candidate and candidate not in self.layout.names:
            raise self._unknown(candidate)
        if candidate == old:
            raise LabError(f"{old} is the leader already")
        body = {"leader": old, **({"candidate": candidate} if candidate else {})}
        status, text = self.node(old).ask("/switchover", "POST", body, timeout=60)
        if status != 200:
            raise LabError(f"Patroni refused the switchover: {text or 'no answer'}")
        return old, self.wait_leader(20, other_than=old).name

    def restart(self, node: Node) -> None:
        """PostgreSQL of a node, by Patroni; it keeps its role."""
        status, text = node.ask("/restart", "POST", {}, timeout=60)
        if status != 200:
            raise LabError(f"Patroni did not restart {node.name}: {text or 'no answer'}")

    def add(self) -> Node:
        """One more node, cloned from the leader; returns when it streams."""
        free = [f"n{i}" for i in range(1, names.NODES_MAX + 1) if f"n{i}" not in self.layout.names]
        if not free:
            raise LabError(f"a lab has at most {names.NODES_MAX} nodes")
        node = self.node(free[0])
        self.layout.names = sorted([*self.layout.names, node.name])
        self.layout.save()
        node.start()
        self._wait(lambda: self._streams(node.name), HEALTHY_TIMEOUT,
                   lambda: f"{node.name} did not join: {self._complaint()}")
        return node

    def _streams(self, name: str) -> bool:
        views = self.look()
        leader = self.leader_name(views)
        return leader != "" and name in views[leader].streaming_names and views[name].is_replica

    def remove(self, node: Node) -> None:
        """Stopped gracefully if it can be, then gone with its data. The name may come back with add."""
        if len(self.layout.names) == 1:
            raise LabError(f"{node.name} is the only node: remove the lab with contrib/quickstart --down")
        if node.patroni_pid and not node.is_frozen:
            node.stop()
        node.kill()
        node.cut_etcd()
        self.layout.names.remove(node.name)
        self.layout.save()
        segments = _shared_memory_segments([node.data])
        shutil.rmtree(node.dir)
        _remove_shared_memory(segments)

    def status(self) -> dict[str, Any]:
        """Everything a test wants to know, in JSON's terms."""
        views = self.look()
        return {
            "dir": str(self.layout.dir),
            "user": self.layout.user,
            "options": json.loads((self.layout.dir / names.MARK).read_text(encoding="utf-8"))["options"],
            "leader": self.leader_name(views) or None,
            "healthy": self.healthy(views),
            "etcd": {"pid": self.etcd_pid or None, "url": f"http://{self.layout.etcd_host}:{self.layout.etcd_port}"},
            "ca": str(self.layout.ca),
            "superuser": [names.SUPERUSER, names.SUPERUSER_PASSWORD],
            "app": [names.APP_USER, names.APP_PASSWORD, names.APP_DATABASE],
            "nodes": [self._node_status(node, views[node.name]) for node in self.nodes],
        }

    def _node_status(self, node: Node, view: View) -> dict[str, Any]:
        return {
            "name": node.name, "host": node.host, "port": node.pg_port,
            "rest": self.layout.rest_url(node.name),
            "data": str(node.data), "log": str(node.log), "patroni_pid": node.patroni_pid or None,
            "postgres_pids": node.postgres_pids, "role": view.role, "state": view.body.get("state"),
            "timeline": view.body.get("timeline"), "frozen": node.is_frozen, "etcd_link": node.etcd_link,
        }


def _shared_memory_segments(data_directories: Iterable[Path]) -> set[tuple[int, str]]:
    """
    (key, id) of the small System V segments of these servers: a killed one leaves its segment behind.
    Source: PostgreSQL 15, src/include/utils/pidfile.h: line 7 of postmaster.pid.
    """
    found = set()
    for data in data_directories:
        try:
            lines = (data / "postmaster.pid").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue
        if len(lines) >= 7 and len(lines[6].split()) == 2:
            key, segment = lines[6].split()
            found.add((int(key) & 0xFFFFFFFF, segment))
    return found


def _remove_shared_memory(segments: set[tuple[int, str]]) -> None:
    """Those that still exist under the same key and that nobody uses. Source: proc(5), /proc/sysvipc/shm."""
    try:
        rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return
    for row in rows:
        if (int(row[0]) & 0xFFFFFFFF, row[1]) in segments and row[6] == "0":
            subprocess.run(["ipcrm", "-m", row[1]], capture_output=True, check=False)
