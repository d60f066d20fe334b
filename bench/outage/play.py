"""
play.py - one event, or one of them again and again, against one stack, with clients at work all the time.

    repair the world, start the stack and the load ─► [break ─► served again ─► undo ─► whole again] x times ─► stop
    the load, compare the rows of every node with what it was told, stop the stack ─► Outcome
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any, Callable

import psycopg
from lab import layout as names
from lab.layout import LabError

from .clients import Load, LoadError, Mix
from .endpoint import Endpoint
from .events import Event
from .ledger import Report, Verdict, check_rows, make_table
from .prober import TABLE as PROBE_TABLE
from .prober import Prober
from .stacks import Sluice, Stack
from .world import World

BASELINE = 2.0  # seconds of load before something happens
TAIL = 3.0  # seconds of load after all is well again
ENOUGH = 50  # successes that show that an endpoint serves
SERVED_TIMEOUT = 90.0  # seconds until it has to, when it can


@dataclasses.dataclass
class Turn:
    """One time that the event happened. Times are time.monotonic()."""

    began: float
    undone: float = math.inf
    ended: float = math.inf
    new_leader: str = ""  # the first node that took writes anew, as it said itself; "": none did
    writable: float = math.nan  # since when writes were possible again
    outage: float = 0.0  # seconds for which no node took writes, or none that could be reached
    first_write: float = math.nan  # seconds from then to the first write through the endpoint
    gap_writes: float = 0.0
    gap_reads: float = 0.0
    problem: str = ""


@dataclasses.dataclass
class Outcome:
    event: str
    stack: str
    turns: list[Turn]
    report: Report
    verdict: Verdict
    wrong: list[str]  # of the stack itself: it ended, or did not end
    told: str = ""  # pgsluice's own account

    @property
    def complaints(self) -> list[str]:
        """What no event excuses."""
        return self.report.complaints + self.verdict.details + self.wrong + [turn.problem for turn in self.turns if turn.problem]


class Stage:
    """The world with what is needed to play in it: the table, and the prober."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self.world, self.say = world, say
        leader = world.leader()
        make_table(self.connect(leader.name), names.APP_USER)
        leader.sql(f"CREATE TABLE IF NOT EXISTS {PROBE_TABLE} (node text)", names.APP_DATABASE)
        self.addresses = {node.name: f"{node.host}:{node.pg_port}" for node in world.nodes}
        self.prober = Prober(self.addresses, world.dir / "probe")

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: Any) -> None:
        self.prober.stop()

    def connect(self, name: str) -> Callable[[], Any]:
        node = self.world.lab.node(name)
        return lambda: psycopg.connect(host=node.host, port=node.pg_port, user=names.SUPERUSER, password=names.SUPERUSER_PASSWORD,
                                       dbname=names.APP_DATABASE, connect_timeout=5)

    def load(self, stack: Stack, mix: Mix, rate: float, **more: Any) -> Load:
        """On the clients' host, once it is started there."""
        endpoint = Endpoint(stack.write, stack.read, names.APP_USER, names.APP_PASSWORD, names.APP_DATABASE)
        return Load(endpoint, mix, rate=rate, prefix=self.world.network.prefix("clients"), **more)

    def check(self, report: Report) -> Verdict:
        return check_rows({node.name: self.connect(node.name) for node in self.world.nodes}, report)

    # Playing.

    def play(self, event: Event, stack: Stack, mix: Mix, rate: float, times: int = 1) -> Outcome:
        world = self.world
        world.repair()
        world.wait_whole()
        if event.failsafe:
            world.configure(failsafe_mode=True)
        turns: list[Turn] = []
        stack.start()
        load = self.load(stack, mix, rate)
        try:
            load.start()
            self.wait_served(load)
            time.sleep(BASELINE)
            for number in range(1, times + 1):
                turns.append(self._turn(event, stack, load, number))
            time.sleep(TAIL)
            report = load.stop()
        finally:
            load.kill()
            world.repair()
            if event.failsafe:
                world.configure(failsafe_mode=None)
        world.wait_whole()
        self._measure(event, turns, report)
        told = stack.console("SHOW FAILOVERS") if isinstance(stack, Sluice) else ""
        return Outcome(event.name, stack.name, turns, report, self.check(report), stack.stop(), told)

    def _turn(self, event: Event, stack: Stack, load: Load, number: int) -> Turn:
        turn = Turn(load.mark(f"{event.name} {number}"))
        try:
            steps = event.act(self.world, stack)
            next(steps)
            if event.served:
                self.wait_served(load)
            turn.undone = load.mark("undone")
            next(steps, None)
            self.world.wait_whole()
            self.wait_served(load)
        except (LabError, LoadError) as problem:
            turn.problem = f"{event.name} {number}: {problem}"
            self.say(turn.problem)
            self.world.repair()
            self.world.wait_whole()
        turn.ended = load.mark("whole")
        return turn

    @staticmethod
    def wait_served(load: Load) -> None:
        load.wait(ENOUGH, "writes", SERVED_TIMEOUT)
        load.wait(ENOUGH, "reads", SERVED_TIMEOUT)

    def _measure(self, event: Event, turns: list[Turn], report: Report) -> None:
        for turn in turns:
            turn.gap_writes = report.longest_gap("writes", turn.began, turn.ended)
            turn.gap_reads = report.longest_gap("reads", turn.began, turn.ended)
            found = self.prober.writable_after(turn.began)
            if found and found.at < turn.ended:
                turn.new_leader, turn.writable = found.node, found.at
                turn.outage = found.at - self.prober.lost_before(found.at, turn.began)
            elif event.mended_at:
                turn.writable, turn.outage = turn.undone, turn.undone - turn.began
            if turn.writable == turn.writable:
                turn.first_write = report.first_after(turn.writable, node=self.addresses.get(turn.new_leader, "")) - turn.writable


def mix_of(writers: int, readers: int, prepared: bool) -> Mix:
    """
    So many clients that write and so many that read, of all kinds; besides them some that only sit there. Without `prepared`
    for a PgBouncer that knows no prepared statements in transaction mode.
    """
    def part(of: int, share: float) -> int:
        return max(1, round(of * share))

    mix = Mix.none(extended=part(writers, .2), pipelines=part(writers, .1), copies=part(writers, .05), blocks=part(writers, .25),
                   lookups=part(readers, .25), sitters=part(readers, .1), idle=part(writers, .5), logins=2)
    if prepared:
        mix.prepared, mix.prepared_readers = part(writers, .2), part(readers, .25)
    mix.writers = max(1, writers - mix.extended - mix.pipelines - mix.copies - mix.blocks - mix.prepared)
    mix.readers = max(1, readers - mix.lookups - mix.sitters - mix.prepared_readers)
    return mix


__all__ = ["Outcome", "Stage", "Turn", "mix_of"]
