"""
proof.py - shows that pgsluice does its main job here and now: both ports, pooling, a switchover under load.

Owns: the table `quickstart_proof` in the database of the lab, and the threads that load it.
Never: counts on pgsluice's word; what it says is compared with what the servers hold.
Invariant: a row counts as acknowledged only after its INSERT came back without an error, and names the server that
executed it (inet_server_port()).
"""

from __future__ import annotations

import collections
import dataclasses
import os
import subprocess
import threading
import time
import uuid
from typing import Any, Callable

from . import layout as names
from .cluster import Lab, Say
from .layout import LabError
from .sluice import HOST, Front

WRITERS = 8
READERS = 4
POOL_CLIENTS = 64
PAUSE = 0.005  # seconds between two statements of one client: it is a proof, not a bench
BEFORE = 2.0  # seconds of load before the switchover
AFTER = 2.0  # seconds of load after the cluster is whole again
CONNECT_TIMEOUT = 10  # seconds
SPREAD_TIMEOUT = 5  # seconds until every replica must have served a read; a cold pool begins with one
TABLE = "quickstart_proof"


@dataclasses.dataclass
class Answer:
    at: float  # time.monotonic() when it came
    node: str
    key: str = ""


@dataclasses.dataclass
class Findings:
    """What was seen. `wrong` holds one sentence for each thing that is not as it must be."""

    lines: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, text: str, *checks: tuple[bool, str]) -> None:
        self.lines.append((name, text))
        self.wrong += [sentence for holds, sentence in checks if not holds]


class Client(threading.Thread):
    """One connection that repeats one statement, and comes back by itself when it is thrown out."""

    def __init__(self, connect: Callable[[], Any], statement: str, key_prefix: str, node_of: dict[int, str]) -> None:
        super().__init__(daemon=True)
        self.connect = connect
        self.statement = statement
        self.key_prefix = key_prefix
        self.node_of = node_of
        self.answers: list[Answer] = []
        self.errors: collections.Counter[str] = collections.Counter()
        self.unknown: set[str] = set()  # keys whose fate was not told
        self.asked_to_stop = threading.Event()

    def run(self) -> None:
        import psycopg2

        connection = None
        count = 0
        while not self.asked_to_stop.is_set():
            count += 1
            key = f"{self.key_prefix}/{count}"
            try:
                if connection is None:
                    connection = self.connect()
                    connection.autocommit = True
                with connection.cursor() as cursor:
                    self.unknown.add(key)
                    cursor.execute(self.statement, (key,))
                    port = cursor.fetchone()[0]
                self.unknown.discard(key)
                self.answers.append(Answer(time.monotonic(), self.node_of.get(port, f"port {port}"), key))
            except psycopg2.Error as error:
                self.errors[error.pgcode or _first_line(error)] += 1
                if connection is not None and connection.closed:
                    connection = None
                self.asked_to_stop.wait(0.05)
            self.asked_to_stop.wait(PAUSE)
        if connection is not None:
            connection.close()


class Proof:
    def __init__(self, lab: Lab, front: Front, say: Say) -> None:
        self.lab = lab
        self.front = front
        self.say = say
        self.found = Findings()
        self.run_id = uuid.uuid4().hex[:12]
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
        self.lab.pick("leader").sql(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (run text, key text PRIMARY KEY, node int, at timestamptz"
            f" DEFAULT now()); ALTER TABLE {TABLE} OWNER TO {names.APP_USER}", names.APP_DATABASE)
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
        insert = (f"INSERT INTO {TABLE} (run, key, node) VALUES ('{self.run_id}', %s, inet_server_port())"
                  " RETURNING node")
        read = f"SELECT inet_server_port(), count(*) FROM {TABLE} WHERE key = %s"
        writers = [Client(lambda: self.connect("listen"), insert, f"{self.run_id}/{i}", self.node_of)
                   for i in range(WRITERS)]
        readers = [Client(lambda: self.connect("read"), read, f"{self.run_id}/{i}", self.node_of)
                   for i in range(READERS)]
        clients = writers + readers
        started = time.monotonic()
        for client in clients:
            client.start()
        self.say(f"{WRITERS} writers and {READERS} readers at work")
        time.sleep(BEFORE)
        try:
            asked = time.monotonic()
            old, new = self.lab.switchover()
            self.say(f"switchover {old} -> {new}: Patroni took {time.monotonic() - asked:.1f} s")
            self.lab.wait_healthy(30)
            self.say(f"{old} is back as a replica after {time.monotonic() - asked:.1f} s")
            time.sleep(AFTER)
        finally:
            ended = time.monotonic()
            for client in clients:
                client.asked_to_stop.set()
            for client in clients:
                client.join(30)
        stuck = sum(client.is_alive() for client in clients)
        self._report(old, new, writers, readers, started, ended, stuck)

    def _report(self, old: str, new: str, writers: list[Client], readers: list[Client], started: float, ended: float,
                stuck: int) -> None:
        acked = sorted((answer for writer in writers for answer in writer.answers), key=lambda answer: answer.at)
        told = {answer.key for answer in acked}
        unknown = {key for writer in writers for key in writer.unknown}
        errors = sum((writer.errors for writer in writers), collections.Counter())
        gap = _longest_gap([answer.at for answer in acked], started, ended)
        by_node = collections.Counter(answer.node for answer in acked)
        first_new = next((answer.at for answer in acked if answer.node == new), ended)
        late = [answer for answer in acked if answer.node != new and answer.at > first_new]
        strangers = set(by_node) - {old, new}

        found = self.found
        found.add("switchover", f"{old} -> {new}, longest pause of the writes {gap:.2f} s",
                  (by_node[new] > 0, f"no write reached the new leader {new}"),
                  (acked != [] and ended - acked[-1].at < 1.5, "the writes did not go on at the end"))
        found.add("writes", f"{len(acked)} acknowledged ({_counts(by_node)}), errors: {_counts(errors) or 'none'}",
                  (not late, f"{len(late)} writes were acknowledged by {old} after {new} had taken over"),
                  (not strangers, f"writes were answered by {', '.join(sorted(strangers))}"),
                  (stuck == 0, f"{stuck} clients never came back"))

        for name, present in self._present_rows().items():
            found.add(f"rows on {name}", f"{len(present)} present, {len(told - present)} acknowledged ones missing",
                      (told <= present, f"{len(told - present)} acknowledged rows are missing on {name}"),
                      (present <= told | unknown, f"{len(present - told - unknown)} rows on {name} nobody wrote"))

        reads = sorted((answer for reader in readers for answer in reader.answers), key=lambda answer: answer.at)
        read_errors = sum((reader.errors for reader in readers), collections.Counter())
        read_gap = _longest_gap([answer.at for answer in reads], started, ended)
        found.add("reads", f"{len(reads)} answered ({_counts(collections.Counter(answer.node for answer in reads))}),"
                           f" longest pause {read_gap:.2f} s, errors: {_counts(read_errors) or 'none'}",
                  (len(reads) > 0, "no read was answered"))

    def _present_rows(self) -> dict[str, set[str]]:
        """The keys of this run on every node, read directly there once it has replayed all of them."""
        leader = self.lab.pick("leader")
        position = leader.sql("SELECT pg_current_wal_insert_lsn()")
        leader.sql("SELECT pg_switch_wal()")
        present = {}
        for node in self.lab.nodes:
            until = time.monotonic() + 20
            behind = f"SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() < '{position}'"
            while node.sql(behind) != "f":
                if time.monotonic() > until:
                    raise LabError(f"{node.name} did not replay {position} within 20 s")
                time.sleep(0.1)
            rows = node.sql(f"SELECT key FROM {TABLE} WHERE run = '{self.run_id}'", names.APP_DATABASE)
            present[node.name] = set(rows.splitlines())
        return present


def _counts(counter: collections.Counter[str]) -> str:
    """`n1 12, n2 3`"""
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["connection lost without a word"])[0]


def _longest_gap(moments: list[float], started: float, ended: float) -> float:
    """Seconds; the time before the first and after the last moment counts too."""
    points = [started, *moments, ended]
    return max(later - earlier for earlier, later in zip(points, points[1:]))
