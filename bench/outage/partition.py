"""
partition.py - what reaches an old leader that is cut off from etcd and from its fellows, but not from the proxy and the clients.

Its own log tells (log_statement = all): every statement that it was given, with the moment. With its Patroni frozen nobody
demotes it: it takes writes until the end, beside a new leader. That is the split brain which watchdogs are for; there is none here.
Without synchronous_mode it could commit them, too, and they would be lost when it comes back.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import signal
import time

from lab import procs
from lab.layout import LabError
from lab.node import Node

from .clients import Mix
from .ledger import Report, Verdict
from .play import Stage
from .stacks import Sluice, Stack

WATCHED = 12.0  # seconds for which both leaders could be written to; above HAProxy's checks every 2 s
STATEMENT = re.compile(r"(\S+ \S+) UTC \[\d+\] app@app LOG:  (?:statement|execute [^:]*): (.*)")
LEADER_IS = re.compile(r"(\S+ \S+) UTC .* leader is (\w+) .*timeline (\d+)")
WRITE = re.compile(r"INSERT|COPY|COMMIT", re.I)


def epoch(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()


@dataclasses.dataclass
class Finding:
    """Times are seconds after the cut."""

    stack: str
    is_frozen: bool  # its Patroni, so that nobody demotes it
    is_sync: bool
    demoted_itself: bool
    writable: float = math.nan  # the new leader, by its own word
    known: float = math.nan  # when the stack knew: pgsluice by its log, the pair by its first write there
    last: float = math.nan  # the last write that was begun on the old leader
    after_writable: int = 0  # writes that were begun there since then
    after_known: int = 0
    verdict: Verdict = dataclasses.field(default_factory=Verdict)
    complaints: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        v = self.verdict
        return (f"{self.stack}, {'Patroni frozen' if self.is_frozen else 'Patroni alive'}, {'synchronous' if self.is_sync else 'asynchronous'}:"
                f" new leader writable at {self.writable:.2f} s, known at {self.known:.2f} s, last write to the old one at {self.last:.2f} s"
                f" ({'it demoted itself' if self.demoted_itself else 'it stayed writable'});"
                f" {self.after_writable} writes reached it after the new one was writable, {self.after_known} after that was known;"
                f" {v.lost} of {v.acknowledged} acknowledged rows lost, {v.doubled} doubled")


def log_statements(stage: Stage, what: str) -> None:
    """"all", or "" for what it was."""
    for node in stage.world.nodes:
        node.sql("ALTER SYSTEM " + (f"SET log_statement = '{what}'" if what else "RESET log_statement"))
        node.sql("SELECT pg_reload_conf()")


def takes_writes(node: Node) -> bool:
    try:
        return node.sql("SELECT pg_is_in_recovery()") == "f"
    except LabError:  # it is about to stop
        return False


def prove(stage: Stage, stack: Stack, mix: Mix, rate: float, is_frozen: bool, is_sync: bool) -> Finding:
    world = stage.world
    world.repair()
    world.wait_whole()
    world.configure(synchronous_mode=is_sync)
    world.options.sync = is_sync
    world.wait_whole()
    log_statements(stage, "all")
    old = world.leader()
    stack.start()
    load = stage.load(stack, mix, rate)
    try:
        load.start()
        stage.wait_served(load)
        cut = load.mark("cut")
        if is_frozen:
            procs.send([old.patroni_pid], signal.SIGSTOP)
        world.cut(old.name, "etcd", *(node.name for node in world.nodes if node.name != old.name))
        world.wait_other_leader(old)
        time.sleep(WATCHED)
        demoted = not takes_writes(old)
        load.mark("mended")
        world.repair()
        world.wait_whole()
        stage.wait_served(load)
        report = load.stop()
    finally:
        load.kill()
        world.repair()
        world.wait_whole()
        log_statements(stage, "")
    finding = Finding(stack.name, is_frozen, is_sync, demoted, verdict=stage.check(report))
    look(stage, stack, old, cut, report, finding)
    finding.complaints = report.complaints + stack.stop()
    world.configure(synchronous_mode=True)
    world.options.sync = True
    return finding


def look(stage: Stage, stack: Stack, old: Node, cut: float, report: Report, finding: Finding) -> None:
    mended = next(at for at, name in report.marks if name == "mended")
    new = stage.prober.writable_after(cut)
    assert new and new.node != old.name
    finding.writable = new.at - cut
    finding.known = report.first_after(new.at, node=stage.addresses[new.node]) - cut
    if isinstance(stack, Sluice):
        told = [epoch(found[1]) - report.epoch for found in map(LEADER_IS.match, stack.said().splitlines()) if found and found[2] == new.node]
        finding.known = min(at for at in told if at > cut) - cut
    writes = [epoch(found[1]) - report.epoch - cut for found in map(STATEMENT.match, old.log.read_text(errors="replace").splitlines())
              if found and WRITE.search(found[2])]
    writes = [at for at in writes if at < mended - cut]
    finding.last = max(writes)
    finding.after_writable = sum(at > finding.writable for at in writes)
    finding.after_known = sum(at > finding.known for at in writes)
