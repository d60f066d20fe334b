"""
proof.py - shows that pgsluice does its main job here and now: both ports, pooling, a switchover under load.

The load is that of bench/failover (bench/outage), which compares what its clients were told with what the servers hold.
Never: counts on pgsluice's word.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Mapping

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from outage.clients import Endpoint, Load, LoadError, Mix  # noqa: E402  (needs the path above)
from outage.ledger import Gaps, Report, Verdict, check_rows, make_table  # noqa: E402

from . import layout as names  # noqa: E402
from .cluster import Lab, Say  # noqa: E402
from .layout import LabError  # noqa: E402
from .node import Node  # noqa: E402
from .sluice import HOST, Front  # noqa: E402

WRITERS = 8
READERS = 4
POOL_CLIENTS = 64
RATE = 50.0  # transactions a second of each client: it is a proof, not a bench
BEFORE = 2.0  # seconds of load before the switchover
AFTER = 2.0  # seconds of load after the cluster is whole again
CONNECT_TIMEOUT = 10  # seconds
SPREAD_TIMEOUT = 5  # seconds until every replica must have served a read; a cold pool begins with one


@dataclasses.dataclass
class Findings:
    """What was seen. `wrong` holds one sentence for each thing that is not as it must be."""

    lines: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, text: str, *checks: tuple[bool, str]) -> None:
        self.lines.append((name, text))
        self.wrong += [sentence for holds, sentence in checks if not holds]


class Proof:
    def __init__(self, lab: Lab, front: Front, say: Say) -> None:
        self.lab = lab
        self.front = front
        self.say = say
        self.found = Findings()
        self.node_of = {node.pg_port: node.name for node in lab.nodes}

    def connect(self, which: str) -> Any:
        import psycopg2

        return psycopg2.connect(host=HOST, port=self.front.port(which), user=names.APP_USER,
                                password=names.APP_PASSWORD, dbname=names.APP_DATABASE,
                                connect_timeout=CONNECT_TIMEOUT, application_name="quickstart")

    def run(self) -> Findings:
        try:
            import psycopg2  # noqa: F401  (only to say early and clearly that it is missing)
        except ImportError:
            raise LabError("the Python module psycopg2 is missing: install the package python3-psycopg2") from None
        self._both_ports()
        self._pooling()
        self._printed_lines()
        self._switchover_under_load()
        return self.found

    # 1. Both ports.

    def _both_ports(self) -> None:
        leader = self.lab.pick("leader").name
        wrote = self._ask_often("listen", 8)
        self.say(f"port {self.front.port('listen')}: answered by {_counts(wrote)}")
        self.found.add("read-write port", f"{self.front.port('listen')}, answered by {_counts(wrote)}",
                       (set(wrote) == {leader}, f"the read-write port reached {_counts(wrote)}, the leader is {leader}"))
        replicas = set(self.lab.layout.names) - {leader}
        read: collections.Counter[str] = collections.Counter()
        until = time.monotonic() + SPREAD_TIMEOUT
        while not read or (set(read) < replicas and time.monotonic() < until):
            read += self._ask_often("read", 40)
        self.say(f"port {self.front.port('read')}: answered by {_counts(read)}")
        self.found.add("read-only port", f"{self.front.port('read')}, answered by {_counts(read)}",
                       (set(read) == (replicas or {leader}),
                        f"the read-only port reached {_counts(read)}, the replicas are {', '.join(sorted(replicas))}"))

    def _ask_often(self, which: str, times: int) -> collections.Counter[str]:
        """Which nodes answer, over that many transactions of four connections at a time."""
        def ask(connection: Any) -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT inet_server_port(), pg_sleep(0.002)")
                return int(cursor.fetchone()[0])

        ports = self._with_connections(which, 4, times // 4, ask)
        return collections.Counter(self.node_of.get(port, f"port {port}") for port in ports)

    def _with_connections(self, which: str, clients: int, times: int, ask: Callable[[Any], int]) -> list[int]:
        """The answers of `clients` connections that each ask `times`, all at the same time."""
        results: list[int] = []
        problems: list[str] = []

        def work() -> None:
            import psycopg2

            try:
                connection = self.connect(which)
                connection.autocommit = True
                for _ in range(times):
                    results.append(ask(connection))
                connection.close()
            except psycopg2.Error as error:
                problems.append(_first_line(error))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if problems:
            raise LabError(f"{len(problems)} of {clients} clients failed on port {self.front.port(which)}:"
                           f" {problems[0]}")
        if len(results) != clients * times:
            raise LabError(f"only {len(results)} of {clients * times} queries were answered within 60 s")
        return results

    # 2. Pooling.

    def _pooling(self) -> None:
        def ask(connection: Any) -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.001)")
                return int(cursor.fetchone()[0])

        started = time.monotonic()
        backends = set(self._with_connections("listen", POOL_CLIENTS, 20, ask))
        took = time.monotonic() - started
        text = (f"{POOL_CLIENTS} clients, {POOL_CLIENTS * 20} transactions over {len(backends)} server connections,"
                f" {took:.1f} s")
        self.say(text)
        self.found.add("pooling", text, (len(backends) <= 20, f"{len(backends)} server connections for a pool of 20"))

    # 3. What the person will be told to type.

    def _printed_lines(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        refused = []
        for purpose, line in self.front.printed_lines():
            command = line if " -c " in line else line + " -c 'SELECT 1'"
            done = subprocess.run(["bash", "-c", command], env=environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=30, check=False)
            if done.returncode != 0:
                refused.append(f"{purpose} ({done.stderr.strip()})")
        statuses = {path: self.front.http(path)[0] for path in ("/", "/metrics", "/health/readiness")}
        pages = ", ".join(f"{path} {status or 'no answer'}" for path, status in statuses.items())
        text = "psql, console and HTTP answer" if not refused else "refused: " + ", ".join(refused)
        self.say(text)
        self.found.add("doors", f"{text}; {pages}",
                       (not refused, "a printed line does not work: " + ", ".join(refused)),
                       (set(statuses.values()) == {200}, f"the HTTP port answered {pages}"))

    # 4. A switchover under load.

    def _switchover_under_load(self) -> None:
        where = Endpoint((HOST, self.front.port("listen")), (HOST, self.front.port("read")), names.APP_USER, names.APP_PASSWORD,
                         names.APP_DATABASE)
        make_table(self._superuser(self.lab.pick("leader")), names.APP_USER)
        load = Load(where, Mix.none(writers=WRITERS, readers=READERS), rate=RATE)
        try:
            load.start()
            self.say(f"{WRITERS} writers and {READERS} readers at work")
            time.sleep(BEFORE)
            asked = load.mark("switchover")
            old, new = self.lab.switchover()
            self.say(f"switchover {old} -> {new}: Patroni took {time.monotonic() - asked:.1f} s")
            self.lab.wait_healthy(30)
            self.say(f"{old} is back as a replica after {time.monotonic() - asked:.1f} s")
            time.sleep(AFTER)
            report = load.stop()
        except LoadError as problem:
            raise LabError(str(problem)) from None
        finally:
            load.kill()
        rows = check_rows({node.name: self._superuser(node) for node in self.lab.nodes}, report, SPREAD_TIMEOUT * 4)
        self._report(old, new, report, rows)

    def _superuser(self, node: Node) -> Callable[[], Any]:
        import psycopg2

        return lambda: psycopg2.connect(host=node.host, port=node.pg_port, user=names.SUPERUSER, password=names.SUPERUSER_PASSWORD,
                                        dbname=names.APP_DATABASE, connect_timeout=CONNECT_TIMEOUT)

    def _report(self, old: str, new: str, report: Report, rows: Verdict) -> None:
        name_of = {f"{node.host}:{node.pg_port}": node.name for node in self.lab.nodes}

        def by_node(which: str) -> dict[str, int]:
            return {name_of.get(node, node): count for node, count in report.gaps.get(which, Gaps()).counts.items()}

        def errors(kind: str) -> str:
            return _counts(report.errors(kind)) or "none"

        wrote, read = by_node("writes"), by_node("reads")
        found = self.found
        found.add("switchover", f"{old} -> {new}, longest pause of the writes {report.longest_gap('writes'):.2f} s",
                  (wrote.get(new, 0) > 0, f"no write reached the new leader {new}"),
                  (report.first_after(report.stopped - 1.5) < report.stopped, "the writes did not go on at the end"))
        found.add("writes", f"{rows.acknowledged} acknowledged ({_counts(wrote)}), errors: {errors('writer')}",
                  (set(wrote) <= {old, new}, f"writes were answered by {', '.join(sorted(set(wrote) - {old, new}))}"),
                  (not report.complaints, "; ".join(each.splitlines()[0] for each in report.complaints[:3])))
        found.add("rows", f"on each of {len(self.lab.nodes)} nodes {rows.acknowledged} acknowledged ones: {rows.lost} missing,"
                          f" {rows.doubled} doubled; {rows.unknown} of unknown fate, {rows.unknown_there} of them there",
                  (rows.is_good, "; ".join(rows.details)))
        found.add("reads", f"{sum(read.values())} answered ({_counts(read)}), longest pause {report.longest_gap('reads'):.2f} s,"
                           f" errors: {errors('reader')}",
                  (sum(read.values()) > 0, "no read was answered"))


def _counts(counter: Mapping[str, int]) -> str:
    """`n1 12, n2 3`"""
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["connection lost without a word"])[0]
