"""
ledger.py - what the clients saw, and whether the rows of every node agree with what they were told.

    Ledger     filled by the clients, in their process ─► report()
    Report     plain data: can be written as JSON, read again, and merged with others in table.py
    check_rows compares a report with what is in the table on each node ─► Verdict

Times are time.monotonic(), which all processes of a machine share.
Invariant: of every row that a client tried to write the report says done, not done, or unknown; it never has two fates.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

from .kinds import TABLE

if TYPE_CHECKING:
    from .kinds import Client
    from .wire import Wire

FATES = ("done", "not done", "unknown")
SAMPLES = 3  # of one kind of error of one kind of client
DETAILS = 40  # wrong answers and stuck clients that are described
GAP_LEAST = 0.1  # seconds; shorter ones are not listed
THINNED = 0.001  # seconds: of successes closer than that, one is kept
OUTAGE = 1.0  # seconds without a success of anybody
RECENT = 64  # acknowledged rows that are looked up
REPLAY_TIMEOUT = 90.0  # seconds


class Ranges:
    """A set of numbers that only grows at its end, as [first, last] pairs."""

    def __init__(self, pairs: Optional[list[list[int]]] = None) -> None:
        self.pairs = pairs if pairs is not None else []

    def add(self, number: int) -> None:
        if self.pairs and self.pairs[-1][1] + 1 == number:
            self.pairs[-1][1] = number
        else:
            assert not self.pairs or self.pairs[-1][1] < number, "a row has two fates"
            self.pairs.append([number, number])

    def __iter__(self) -> Iterator[int]:
        return (number for first, last in self.pairs for number in range(first, last + 1))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.pairs)

    def __contains__(self, number: int) -> bool:
        at = bisect.bisect(self.pairs, [number + 1]) - 1
        return at >= 0 and number <= self.pairs[at][1]


@dataclasses.dataclass
class Kind:
    """What became of all clients of one kind."""

    clients: int = 0
    done: int = 0
    errors: dict[str, int] = dataclasses.field(default_factory=dict)  # by SQLSTATE, or a word
    logins: int = 0
    refused: dict[str, int] = dataclasses.field(default_factory=dict)  # logins, the same way
    connections_lost: int = 0
    worst_gap: float = 0.0  # of the worst single client, from one success to the next
    worst_client: str = ""
    slowest: float = 0.0  # the longest that one success took
    slowest_login: float = 0.0


@dataclasses.dataclass
class Gaps:
    """Successes of several kinds together."""

    longest: float = 0.0
    longest_at: float = 0.0  # when it began
    gaps: list[list[float]] = dataclasses.field(default_factory=list)  # [began, ended]
    nodes: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # who answered: when, thinned
    counts: dict[str, int] = dataclasses.field(default_factory=dict)  # and how often


@dataclasses.dataclass
class Report:
    run: str = ""
    seed: str = ""
    started: float = 0.0
    stopped: float = 0.0  # no new transaction since then
    ended: float = 0.0
    epoch: float = 0.0  # to be added to a time, for the time of day
    marks: list[list[Any]] = dataclasses.field(default_factory=list)  # [time, name]
    kinds: dict[str, Kind] = dataclasses.field(default_factory=dict)
    gaps: dict[str, Gaps] = dataclasses.field(default_factory=dict)
    fates: dict[str, dict[str, list[list[int]]]] = dataclasses.field(default_factory=dict)  # fate, client: ranges
    wrong: list[str] = dataclasses.field(default_factory=list)  # answers
    wrong_count: int = 0
    stuck: list[str] = dataclasses.field(default_factory=list)
    stale: list[str] = dataclasses.field(default_factory=list)  # reads of the leader that missed what was acknowledged
    stale_count: int = 0
    late_writes: list[str] = dataclasses.field(default_factory=list)  # to an older timeline than was known
    samples: list[str] = dataclasses.field(default_factory=list)  # of errors
    processor_time: float = 0.0
    loop_late: float = 0.0  # seconds by which the load itself was late at worst: no gap is known better

    def total(self, what: str, *kinds: str) -> int:
        """Of `done`, `connections_lost`..., of these kinds or of all."""
        return sum(getattr(each, what) for name, each in self.kinds.items() if not kinds or name in kinds)

    def errors(self, *kinds: str) -> collections.Counter[str]:
        found: collections.Counter[str] = collections.Counter()
        for name, each in self.kinds.items():
            if not kinds or name in kinds:
                found.update(each.errors)
        return found

    def refused(self) -> collections.Counter[str]:
        found: collections.Counter[str] = collections.Counter()
        for each in self.kinds.values():
            found.update(each.refused)
        return found

    def first_after(self, moment: float, gaps: str = "writes", node: str = "") -> float:
        """The first success after it, of that node if one is named; infinite if there was none."""
        found = self.gaps.get(gaps)
        firsts = []
        for name, times in (found.nodes if found else {}).items():
            at = bisect.bisect_left(times, moment)
            if node in ("", name) and at < len(times):
                firsts.append(times[at])
        return min(firsts, default=float("inf"))

    def longest_gap(self, gaps: str = "writes", since: float = 0.0, until: float = float("inf")) -> float:
        """Of those that lie in this time at least in part."""
        found = self.gaps.get(gaps, Gaps())
        return max((end - begin for begin, end in found.gaps if end > since and begin < until), default=0.0)

    def rows(self, fate: str) -> int:
        return sum(len(Ranges(pairs)) for pairs in self.fates.get(fate, {}).values())

    @property
    def complaints(self) -> list[str]:
        """What must not be, whatever happens to the servers."""
        found = self.wrong + self.stuck + self.late_writes
        return found + ([f"... {self.wrong_count} wrong answers in all"] if self.wrong_count > len(self.wrong) else [])

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(found: dict[str, Any]) -> "Report":
        report = Report(**found)
        report.kinds = {name: Kind(**each) for name, each in found["kinds"].items()}
        report.gaps = {name: Gaps(**each) for name, each in found["gaps"].items()}
        return report


class Ledger:
    """Told by the clients, all of them in one thread."""

    def __init__(self, run: str, seed: str) -> None:
        self.report = Report(run=run, seed=seed, started=time.monotonic(), epoch=time.time() - time.monotonic())
        self._fates: dict[str, dict[str, Ranges]] = {fate: {} for fate in FATES}
        self._last: dict[str, float] = {}  # success of each row of gaps
        self._samples: collections.Counter[str] = collections.Counter()
        self._recent: collections.deque[tuple[str, int]] = collections.deque(maxlen=RECENT)
        self._timeline, self._timeline_at = "", 0.0
        self.last_done = self._served_since = self.report.started  # of anybody

    def kind(self, client: "Client") -> Kind:
        return self.report.kinds.setdefault(client.kind, Kind())

    def when(self, at: float) -> str:
        return f"{at - self.report.started:.3f} s"

    # What went well.

    def logged_in(self, client: "Client", since: float) -> None:
        kind = self.kind(client)
        kind.logins += 1
        kind.slowest_login = max(kind.slowest_login, time.monotonic() - since)

    def done(self, client: "Client", since: float, node: Optional[str] = None, timeline: Optional[str] = None) -> None:
        now, kind = time.monotonic(), self.kind(client)
        kind.done += 1
        kind.slowest = max(kind.slowest, now - since)
        self._client_gap(client, kind, now)
        if now - self.last_done > OUTAGE:
            self._served_since = now
        client.last_done = self.last_done = now
        if client.gaps:
            self._group(client.gaps, node or "", now)
        if timeline:
            self._timelines(client, since, now, node or "", timeline)

    def counts(self) -> dict[str, int]:
        """Successes, by gaps and by gaps@node."""
        found = {name: sum(gaps.counts.values()) for name, gaps in self.report.gaps.items()}
        return found | {f"{name}@{node}": count for name, gaps in self.report.gaps.items() for node, count in gaps.counts.items()}

    def served_for(self, now: float) -> float:
        """For how long there has been an answer for somebody all the time."""
        return now - self._served_since if now - self.last_done <= OUTAGE else 0.0

    @staticmethod
    def _client_gap(client: "Client", kind: Kind, now: float) -> None:
        if client.last_done and now - client.last_done > kind.worst_gap:
            kind.worst_gap, kind.worst_client = now - client.last_done, client.name

    def _group(self, name: str, node: str, now: float) -> None:
        gaps = self.report.gaps.setdefault(name, Gaps())
        self._gap(gaps, self._last.get(name, now), now)
        self._last[name] = now
        times = gaps.nodes.setdefault(node, [])
        if not times or now - times[-1] >= THINNED:
            times.append(round(now, 4))
        gaps.counts[node] = gaps.counts.get(node, 0) + 1

    @staticmethod
    def _gap(gaps: Gaps, since: float, now: float) -> None:
        if now - since > gaps.longest:
            gaps.longest, gaps.longest_at = now - since, since
        if now - since >= GAP_LEAST:
            gaps.gaps.append([since, now])

    def _timelines(self, client: "Client", since: float, now: float, node: str, timeline: str) -> None:
        """Once a write of a timeline is acknowledged, none that is sent after that may be taken by an older one."""
        if timeline > self._timeline:
            self._timeline, self._timeline_at = timeline, now
        elif timeline < self._timeline and since > self._timeline_at and len(self.report.late_writes) < DETAILS:
            self.report.late_writes.append(
                f"{client.name}: a write sent at {self.when(since)} was taken by {node} on timeline {timeline}, although"
                f" {self._timeline} had answered at {self.when(self._timeline_at)}")

    def settle(self, client: str, turn: int, fate: str) -> None:
        self._fates[fate].setdefault(client, Ranges()).add(turn)
        if fate == "done":
            self._recent.append((client, turn))

    def an_acknowledged(self, chance: random.Random) -> Optional[tuple[str, int]]:
        return chance.choice(self._recent) if self._recent else None

    # What did not.

    def error(self, client: "Client", code: str, text: str, wire: Optional["Wire"] = None) -> None:
        errors = self.kind(client).errors
        errors[code] = errors.get(code, 0) + 1
        self._sample(client, f"{code}: {text}", f"{client.kind} {code}")

    def refused(self, client: "Client", code: str, text: str) -> None:
        refused = self.kind(client).refused
        refused[code] = refused.get(code, 0) + 1
        self._sample(client, f"login refused, {code}: {text}", f"login {code}")

    def connection_lost(self, client: "Client", wire: "Wire") -> None:
        self.kind(client).connections_lost += 1
        self._sample(client, f"connection lost: {wire.lost}", f"{client.kind} lost")

    def _sample(self, client: "Client", text: str, key: str) -> None:
        self._samples[key] += 1
        if self._samples[key] <= SAMPLES:
            self.report.samples.append(f"{self.when(time.monotonic())} {client.name}: {text}")

    def wrong(self, client: "Client", what: str, wire: "Wire") -> None:
        self.report.wrong_count += 1
        if len(self.report.wrong) < DETAILS:
            self.report.wrong.append(f"{self.when(time.monotonic())} {client.name}: {what}\n" + _indented(wire.trace_text()))

    def stale(self, client: "Client", what: str) -> None:
        self.report.stale_count += 1
        if len(self.report.stale) < DETAILS:
            self.report.stale.append(f"{self.when(time.monotonic())} {client.name}: {what}")

    def stuck(self, client: "Client", waited: float) -> None:
        if len(self.report.stuck) < DETAILS:
            trace = client.wire.trace_text() if client.wire else ["(while it logs in)"]
            self.report.stuck.append(f"{self.when(time.monotonic())} {client.name}: neither an answer nor an error for {waited:.1f} s\n"
                                     + _indented(trace[-12:]))

    # The end.

    def finish(self, clients: list["Client"], stopped: float) -> Report:
        """Everybody has left, or never will."""
        report = self.report
        report.stopped, report.ended = stopped, time.monotonic()
        for name in {client.gaps for client in clients} - {""}:  # until the end, also of those who never had a success
            self._gap(report.gaps.setdefault(name, Gaps()), self._last.get(name, report.started), stopped)
        for client in clients:
            if client.gaps:
                client.last_done = client.last_done or report.started
                self._client_gap(client, self.kind(client), report.ended if client.waits_since else stopped)
            for turn in sorted(client.open):
                self.settle(client.name, turn, "unknown")
        report.fates = {fate: {name: ranges.pairs for name, ranges in found.items()} for fate, found in self._fates.items()}
        return report


def _indented(lines: list[str]) -> str:
    return "\n".join("      " + line for line in lines)


# The rows.

@dataclasses.dataclass
class Verdict:
    """Of the rows that are there. Lists name the first few of each node, counts are of the worst node."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    undone_but_there: int = 0  # told that it was certainly not done
    strangers: int = 0
    unknown: int = 0
    unknown_there: int = 0
    details: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.undone_but_there or self.strangers or self.details)


Connect = Callable[[], Any]  # a connection of psycopg or psycopg2, as a superuser of the clients' database


def make_table(connect: Connect, user: str) -> None:
    """On the leader. The index is not unique: a row that is written twice is to be found twice."""
    node = "host(inet_server_addr()) || ':' || inet_server_port()"
    timeline = "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
    _ask(connect, f"CREATE TABLE IF NOT EXISTS {TABLE} (run text, client text, turn int, node text DEFAULT {node},"
                  f" timeline text DEFAULT {timeline}, at timestamptz DEFAULT clock_timestamp());"
                  f" CREATE INDEX IF NOT EXISTS {TABLE}_by_key ON {TABLE} (run, client, turn); GRANT ALL ON {TABLE} TO \"{user}\"")


def _ask(connect: Connect, sql: str, *values: Any) -> list[Any]:
    connection = connect()
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def check_rows(nodes: dict[str, Connect], report: Report, timeout: float = REPLAY_TIMEOUT) -> Verdict:
    """
    When the load has ended and the cluster is well: is every acknowledged row on every node, once, and nothing else but
    what is unknown? A node that does not come so far in time, or none or two that lead, are told of in .details.
    """
    verdict = Verdict(acknowledged=report.rows("done"), unknown=report.rows("unknown"))
    position = _position(nodes, timeout)
    if position is None:
        verdict.details.append(f"not one but {len(_leaders(nodes))} of {', '.join(nodes)} lead")
        return verdict
    for name, connect in nodes.items():
        if not _wait(lambda: _has_replayed(connect, position), timeout):
            verdict.details.append(f"{name} has not replayed {position} within {timeout:.0f} s")
            continue
        found = _ask(connect, f"SELECT client, array_agg(turn) FROM {TABLE} WHERE run = %s GROUP BY client", report.run)
        _compare(name, {client: collections.Counter(turns) for client, turns in found}, report, verdict)
    return verdict


def _position(nodes: dict[str, Connect], timeout: float) -> Optional[str]:
    """To where all have to replay: of the one that leads."""
    if not _wait(lambda: len(_leaders(nodes)) == 1, timeout):
        return None
    connect = nodes[_leaders(nodes)[0]]
    position = _ask(connect, "SELECT pg_current_wal_insert_lsn()::text")[0][0]
    _ask(connect, "SELECT pg_switch_wal()")  # so that all of it is sent
    return str(position)


def _leaders(nodes: dict[str, Connect]) -> list[str]:
    def leads(connect: Connect) -> bool:
        try:
            return not _ask(connect, "SELECT pg_is_in_recovery()")[0][0]
        except Exception:  # noqa: BLE001  (of any driver: it can't be reached)
            return False

    return [name for name, connect in nodes.items() if leads(connect)]


def _has_replayed(connect: Connect, position: str) -> bool:
    try:
        return bool(_ask(connect, "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s::pg_lsn", position)[0][0])
    except Exception:  # noqa: BLE001  (it may be restarted once more, to be rewound)
        return False


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _compare(node: str, there: dict[str, collections.Counter[int]], report: Report, verdict: Verdict) -> None:
    promised, refused, unknown = ({client: Ranges(pairs) for client, pairs in report.fates.get(fate, {}).items()} for fate in FATES)
    none: collections.Counter[int] = collections.Counter()
    lost = [f"{client}/{turn}" for client, turns in promised.items() for turn in turns if not there.get(client, none)[turn]]
    doubled, undone, strangers, open_ones = [], [], [], 0
    for client, turns in there.items():
        for turn, count in turns.items():
            key = f"{client}/{turn}"
            if count > 1:
                doubled.append(f"{key} x{count}")
            if turn in refused.get(client, Ranges()):
                undone.append(key)
            elif turn in unknown.get(client, Ranges()):
                open_ones += 1
            elif turn not in promised.get(client, Ranges()):
                strangers.append(key)
    verdict.lost, verdict.doubled = max(verdict.lost, len(lost)), max(verdict.doubled, len(doubled))
    verdict.undone_but_there = max(verdict.undone_but_there, len(undone))
    verdict.strangers = max(verdict.strangers, len(strangers))
    verdict.unknown_there = max(verdict.unknown_there, open_ones)
    for what, keys in (("acknowledged, and not there", lost), ("there more than once", doubled),
                       ("told as not done, and there", undone), ("written by nobody", strangers)):
        if keys:
            verdict.details.append(f"{node}: {len(keys)} rows {what}: {', '.join(sorted(keys)[:10])}")
