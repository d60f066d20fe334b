"""
load.py - writers and readers that keep every answer: who gave it, when, and which rows were promised.

Invariant: a row counts as acknowledged only after its INSERT came back without an error; it then says which server took it.
What was neither acknowledged nor refused may be there or not.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from typing import Any, Callable, Iterable

import psycopg
from lab.cluster import Lab
from lab.layout import LabError
from lab.node import Node

from .place import wait_until

PAUSE = 0.005  # seconds between two statements of a client: this is no bench
TABLE = "written"


@dataclasses.dataclass
class Answer:
    at: float  # time.monotonic() when it came
    node: str
    in_recovery: bool
    key: str = ""


class Client(threading.Thread):
    """Repeats one statement, on a connection that it opens again when it was lost."""

    def __init__(self, connect: Callable[[], Any], statement: str, name: str, names: dict[int, str]) -> None:
        super().__init__(daemon=True)
        self.connect, self.statement, self.key_prefix, self.names = connect, statement, name, names
        self.answers: list[Answer] = []
        self.errors: list[tuple[float, str, str]] = []  # when, SQLSTATE or "", text
        self.unknown: set[str] = set()
        self.connections_lost = 0
        self.asked_to_stop = threading.Event()

    def run(self) -> None:
        connection = None
        count = 0
        while not self.asked_to_stop.is_set():
            count += 1
            key = f"{self.key_prefix}/{count}"
            try:
                if connection is None:
                    connection = self.connect()
                self.unknown.add(key)
                port, in_recovery = self.ask(connection, key)
                self.unknown.discard(key)
                self.answers.append(Answer(time.monotonic(), self.names.get(port, f"port {port}"), in_recovery, key))
            except psycopg.Error as error:
                self.errors.append((time.monotonic(), error.sqlstate or "", str(error).strip()))
                if connection is not None and connection.closed:
                    connection = None
                    self.connections_lost += 1
                self.asked_to_stop.wait(0.05)
            self.asked_to_stop.wait(PAUSE)
        if connection is not None:
            connection.close()

    def ask(self, connection: Any, key: str) -> Any:
        return connection.execute(self.statement, (key,)).fetchone()


class BlockClient(Client):
    """Its row is acknowledged by COMMIT, after some statements and a while in between."""

    def ask(self, connection: Any, key: str) -> Any:
        with connection.transaction():
            answer = connection.execute(self.statement, (key,)).fetchone()
            self.asked_to_stop.wait(PAUSE)
            connection.execute("SELECT count(*) FROM pg_class")
            found = connection.execute(f"UPDATE {TABLE} SET node = node WHERE key = %s RETURNING key", (key,)).fetchone()
            assert found == (key,)
        return answer


class Load:
    """
    `with Load(lab, sluice) as load:` — eight writers and four readers at work for as long as the block lasts. So many `blocks` of
    the writers make a transaction of several statements of each row.
    """

    def __init__(self, lab: Lab, connect: Callable[..., Any], read_port: int = 0, writers: int = 8, readers: int = 4,
                 blocks: int = 0) -> None:
        self.lab = lab
        self.names = {node.pg_port: node.name for node in lab.nodes}
        self.run = f"r{time.monotonic_ns()}"
        insert = (f"INSERT INTO {TABLE} (key, node) VALUES (%s, inet_server_port())"
                  " RETURNING node, pg_is_in_recovery()")
        read = "SELECT inet_server_port(), pg_is_in_recovery() WHERE %s <> ''"
        self.writers = [(BlockClient if i < blocks else Client)(connect, insert, f"{self.run}/{i}", self.names)
                        for i in range(writers)]
        self.readers = [Client(lambda: connect(port=read_port), read, f"{self.run}/r{i}", self.names)
                        for i in range(readers if read_port else 0)]

    def __enter__(self) -> "Load":
        make_table(self.lab)
        for client in self.writers + self.readers:
            client.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        until = time.monotonic() + 90
        for client in self.writers + self.readers:
            client.asked_to_stop.set()
        for client in self.writers + self.readers:
            client.join(max(0.0, until - time.monotonic()))
        stuck = [client.key_prefix for client in self.writers + self.readers if client.is_alive()]
        assert problem[0] or not stuck, f"these clients never came back: {stuck}"

    # What was seen.

    @property
    def written(self) -> list[Answer]:
        return sorted((answer for client in self.writers for answer in list(client.answers)), key=lambda each: each.at)

    @property
    def read(self) -> list[Answer]:
        return sorted((answer for client in self.readers for answer in list(client.answers)), key=lambda each: each.at)

    def errors(self, clients: Iterable[Client]) -> collections.Counter[str]:
        return collections.Counter(f"{state} {text.splitlines()[0]}" for client in clients for _, state, text in client.errors)

    def wait_writes(self, count: int = 50, node: str = "", since: float | None = None) -> None:
        """Until so many more rows were acknowledged, by that node if one is named."""
        began = time.monotonic() if since is None else since
        wait_until(lambda: len([each for each in self.written if each.at >= began and node in ("", each.node)]) >= count, 90,
                   f"{count} writes{' on ' + node if node else ''} (errors: {dict(self.errors(self.writers))})")

    def wait_reads(self, nodes: set[str], since: float | None = None) -> None:
        """Until each of these has answered a read."""
        began = time.monotonic() if since is None else since
        wait_until(lambda: nodes <= {each.node for each in self.read if each.at >= began}, 90,
                   f"reads from {sorted(nodes)} (errors: {dict(self.errors(self.readers))})")

    # What must hold.

    def check_nobody_noticed(self) -> None:
        """No error, no connection lost, no answer that is not known, nothing lost or doubled."""
        clients = self.writers + self.readers
        assert not [client for client in clients if client.errors or client.connections_lost], self.errors(clients)
        assert not [key for client in self.writers for key in client.unknown]
        self.check_rows()

    def check_writes(self, changes: int | None = None) -> None:
        """
        No write on a standby, none on an old leader once the new one has written, and no row lost. The lead has changed
        at most so often; None: nobody has led twice.
        """
        written = self.written
        assert not [each for each in written if each.in_recovery]
        terms: list[Answer] = []  # the first write of each
        for each in written:
            # An answer may have been under way to its client while another was asked already.
            is_late = len(terms) > 1 and each.node == terms[-2].node and each.at <= terms[-1].at + 0.5
            if not terms or (each.node != terms[-1].node and not is_late):
                terms.append(each)
        led = [each.node for each in terms]
        assert len(led) - 1 <= (len(set(led)) - 1 if changes is None else changes), f"writes on {' then '.join(led[:10])}"
        self.check_rows()

    def check_rows(self) -> None:
        """However often the leader changed: what was acknowledged is there, once, and nothing else; no write met a standby."""
        written = self.written
        assert not [each for each in written if each.in_recovery]
        refused = [text for client in self.writers for _, state, text in client.errors if state == "25006"]
        assert not refused, f"a write was sent to a server that is no leader: {refused[0]}"
        promised = {each.key for each in written}
        unknown = {key for client in self.writers for key in client.unknown}
        for name, present in self.rows().items():
            assert promised <= present, f"{len(promised - present)} of {len(promised)} acknowledged rows are missing on {name}"
            assert present <= promised | unknown, f"{len(present - promised - unknown)} rows on {name} that nobody wrote"

    def rows(self) -> dict[str, set[str]]:
        """The keys of this run on every node, asked directly once it has replayed all of them."""
        leader = self.lab.wait_leader()
        position = leader.sql("SELECT pg_current_wal_insert_lsn()")
        leader.sql("SELECT pg_switch_wal()")
        return {node.name: keys(node, position, self.run) for node in self.lab.nodes}


def keys(node: Node, position: str, run: str) -> set[str]:
    behind = f"SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() < '{position}'"

    def read() -> list[str] | None:
        try:  # a node that has just come back is restarted once more when it has to be rewound
            if node.sql(behind) != "f":
                return None
            return ["", *node.sql(f"SELECT key FROM {TABLE} WHERE key LIKE '{run}/%'", "app").splitlines()]
        except LabError:
            return None

    return set(wait_until(read, 90, f"{node.name} at {position}")[1:])


def make_table(lab: Lab) -> None:
    lab.wait_leader().sql(f"CREATE TABLE IF NOT EXISTS {TABLE} (key text PRIMARY KEY, node int); ALTER TABLE {TABLE} OWNER"
                          " TO app", "app")
