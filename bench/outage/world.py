"""
world.py - three nodes of Patroni and PostgreSQL, etcd, a proxy and its clients, each on a host of its own.

Owns: the lab in these hosts (contrib/lab, with addresses from network.py) and what is true of it as a whole.
Never: knows which proxy stands in front (stacks.py), or what is done to the nodes (events.py).

    n1 n2 n3   Patroni and PostgreSQL        proxy     pgsluice, or PgBouncer and HAProxy
    etcd                                     clients   the load
    control    this program: it reaches everybody, whatever is cut
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, TypeVar

from lab import procs
from lab.cluster import Lab
from lab.layout import LabError, Layout, Options
from lab.node import Node, program

from .network import NETWORK, Network, own_mark, sweep

HOSTS = {"n1": 11, "n2": 12, "n3": 13, "etcd": 20, "proxy": 30, "clients": 40, "control": 50}
PATIENCE = 120.0  # seconds, for anything that has to come true; never a measurement
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
    return found


class WorldLayout(Layout):
    network, etcd_host, etcd_link = NETWORK + "0/24", NETWORK + str(HOSTS["etcd"]), False

    def host(self, name: str) -> str:
        return NETWORK + str(10 + self.number(name))

    def _refuse_used_ports(self) -> None:
        """There is nobody else."""


class WorldNode(Node):
    network: Network

    def _spawn(self, argv: list[str], log: Path, pid_file: Path) -> int:
        with self.network.inside(self.name):
            return super()._spawn(argv, log, pid_file)


class WorldLab(Lab):
    layout_type, node_type = WorldLayout, WorldNode

    def start_etcd(self) -> bool:
        with WorldNode.network.inside("etcd"):
            return super().start_etcd()


class World:
    """`with World(options) as world: world.up(say)`; nothing of it is left behind the block."""

    def __init__(self, options: Options, parent: Path = Path("/tmp")) -> None:
        self.options = options
        self.dir = parent / ("pgsluice-" + own_mark())
        self.parent = parent
        self.lab = WorldLab(self.dir)
        self.keep: Path | None = None  # where the logs go at the end
        self.say: Callable[[str], None] = lambda text: None
        self._stack = contextlib.ExitStack()

    def up(self, say: Callable[[str], None]) -> None:
        self.say = say
        if os.geteuid() != 0:
            raise LabError("bench/failover makes network namespaces, and only root may: run it as root")
        if left := sweep(self.parent):
            say(f"{left} namespaces and directories of a run that crashed are removed")
        WorldNode.network = self.network = Network(HOSTS)
        self._stack.callback(self.network.down)  # also of a half of it
        self.network.up()
        self._stack.enter_context(self.network.inside("control"))
        self._stack.callback(self._down)
        self.lab.up(self.options, say)
        self.wait_whole()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def _down(self) -> None:
        for each in (procs.marked(self.dir), procs.postgres_below(self.dir)):
            procs.send(each, 9)
        if self.keep is not None and self.dir.exists():
            self.keep.mkdir(parents=True, exist_ok=True)
            for log in [*self.dir.glob("*/*.log"), *self.dir.glob("*/*.ini"), *self.dir.glob("*/*.cfg")]:
                shutil.copy(log, self.keep / f"{log.parent.name}-{log.name}")
        self.lab.down()

    # Who is who.

    @property
    def nodes(self) -> list[Node]:
        return self.lab.nodes

    def leader(self) -> Node:
        return self.lab.wait_leader(PATIENCE)

    def replicas(self) -> list[Node]:
        leader = self.leader().name
        return [node for node in self.nodes if node.name != leader]

    def wait_other_leader(self, than: Node) -> Node:
        return self.lab.wait_leader(PATIENCE, other_than=than.name)

    def wait_whole(self) -> None:
        """One leader, two that stream from it, one of them synchronous, in Patroni's own book too: nothing can be lost."""
        try:
            self.lab.wait_healthy(PATIENCE / 2)
        except LabError:
            self._name_a_leader()
            self._make_anew()
            self.lab.wait_healthy(PATIENCE)
        if not self.options.sync:
            return

        def has_standby() -> bool:
            leader = self.leader()
            try:
                return ('"sync_standby"' in leader.ask("/cluster")[1] and
                        leader.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "0")
            except (LabError, subprocess.SubprocessError):  # it is about to stop
                return False

        try:
            wait_until(has_standby, "a synchronous standby", 15)
        except LabError:
            # Patroni 3.0.2, started anew beside a leader that runs, forgets to set what its book says.
            for is_on in (False, True):
                self.configure(synchronous_mode=is_on)
                wait_until(lambda: has_standby() == is_on, f"synchronous_mode {is_on}")

    def _name_a_leader(self) -> None:
        """
        Patroni 3.0.2 finds none by itself when the synchronous replica is down at the moment of a switchover: it alone may lead, and
        the others are ahead of it by the old leader's last record. An administrator would do the same.
        """
        if self.lab.leader_name(self.lab.look()):
            return
        answers = [text for status, text in (node.ask("/cluster", timeout=5) for node in self.nodes) if status == 200]
        listed = [row for text in answers for row in json.loads(text)["members"]]
        for name in [row["name"] for row in listed if row["role"] == "sync_standby"][:1]:
            self.say(f"nobody leads, so {name}, the synchronous replica, is told to")
            self.patronictl("failover", "lab", "--candidate", name, "--force")

    def _make_anew(self) -> None:
        """Replicas that do not find back: pg_rewind may want WAL that is gone. An administrator would do the same."""
        leader = self.leader()
        for name, view in self.lab.look().items():
            if name != leader.name and name not in leader.look().streaming_names:
                self.say(f"{name} does not follow {leader.name} and is made anew ({view.role}, {view.body.get('state')})")
                self.patronictl("reinit", "lab", name, "--force", "--wait")

    def configure(self, **settings: Any) -> None:
        """Patroni's, for all members."""
        status, text = self.leader().ask("/config", "PATCH", settings, timeout=10)
        if status != 200:
            raise LabError(f"Patroni did not take {settings}: {text}")

    def repair(self) -> None:
        """Whatever was broken: everybody runs and hears everybody. To be called before wait_whole()."""
        self.network.mend_all()
        self.thaw_etcd()
        self.lab.start_etcd()
        for node in self.nodes:
            node.thaw()
            node.start()

    # Breaking what is not a node.

    def cut(self, host: str, *others: str) -> None:
        self.network.cut(host, *others)

    def mend(self, host: str, *others: str) -> None:
        self.network.mend(host, *others)

    @staticmethod
    def everybody_but(host: str) -> list[str]:
        """This program looks on, whatever is cut."""
        return sorted(set(HOSTS) - {host, "control"})

    def freeze_etcd(self) -> None:
        procs.freeze_all(lambda: [self.lab.etcd_pid] if self.lab.etcd_pid else [])

    def thaw_etcd(self) -> None:
        if pid := self.lab.etcd_pid:
            procs.send([pid], 18)

    def kill_etcd(self) -> None:
        procs.kill_all(lambda: [self.lab.etcd_pid] if self.lab.etcd_pid else [])

    # Commands and processes.

    def spawn(self, host: str, name: str, argv: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """In the background on that host, as the lab's user; its output is NAME.log in the directory of that name."""
        layout = self.lab.layout
        directory = layout.make_dir(self.dir / name, 0o700)
        groups = os.getgrouplist(layout.user, layout.gid)
        with self.network.inside(host), open(directory / f"{name}.log", "ab") as out:
            return subprocess.Popen(argv, cwd=directory, env={**procs.environment(self.dir, directory), **(env or {})},
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, umask=0o077,
                                    user=layout.uid, group=layout.gid, extra_groups=groups)

    def patronictl(self, *arguments: str) -> str:
        """As an administrator would, with the file of some node."""
        argv = [program("patronictl", "patroni"), "-c", str(self.nodes[0].dir / "patroni.yml"), *arguments]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=self.dir,
                                  env=procs.environment(self.dir, self.dir))
        except subprocess.TimeoutExpired:
            raise LabError(f"patronictl {' '.join(arguments)}: no answer within {PATIENCE:.0f} s") from None
        if done.returncode != 0:
            raise LabError(f"patronictl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout
