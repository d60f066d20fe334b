"""
main.py - the command line of bench/failover: which events, against what, and what is printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lab.layout import LabError, Options

from .clients import LoadError
from .events import EVENTS
from .play import Outcome, Stage, mix_of
from .stacks import STACKS
from .world import World

DESCRIPTION = """\
A Patroni cluster of three nodes, each in a network namespace, is broken in every way while clients work through pgsluice, and
through HAProxy with PgBouncer, in turn. Prints what the clients saw, side by side. Needs root. See bench/README.md."""


def parse(arguments: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="bench/failover", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=Path, default=Path("pgsluice"), help="the pgsluice to run (default: ./pgsluice)")
    p.add_argument("--events", default="", metavar="A,B", help="which of them (default: all; see --list)")
    p.add_argument("--stacks", default=",".join(STACKS), metavar="A,B", help="which of %(default)s")
    p.add_argument("--only", metavar="EVENT", help="one event, against pgsluice unless --stacks says otherwise, ...")
    p.add_argument("--times", type=int, default=1, metavar="N", help="... N times in a row under one load")
    p.add_argument("--writers", type=int, default=32)
    p.add_argument("--readers", type=int, default=32)
    p.add_argument("--rate", type=float, default=10, help="transactions a second of each client (default: %(default)s)")
    p.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs")
    p.add_argument("--keep", type=Path, metavar="DIR", help="put all logs there")
    p.add_argument("--dir", type=Path, default=Path("/tmp"), help="where the cluster lies while it lives (default: %(default)s)")
    p.add_argument("--list", action="store_true", help="list the events and leave")
    given = p.parse_args(arguments)
    if given.only:
        given.events = given.only
        if "--stacks" not in " ".join(arguments):
            given.stacks = "pgsluice"
    for what, known in (("events", EVENTS), ("stacks", STACKS)):
        setattr(given, what, [name for name in getattr(given, what).split(",") if name] or list(known))
        for name in getattr(given, what):
            if name not in known:
                p.error(f"there is no {name} among the {what}: {', '.join(known)}")
    return given


class Teller:
    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:7.1f}s] {text}", file=sys.stderr, flush=True)


def seconds(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def line(outcome: Outcome) -> str:
    report, verdict = outcome.report, outcome.verdict
    gap = [max(getattr(turn, name) for turn in outcome.turns) for name in ("gap_writes", "gap_reads")]
    firsts = [turn.first_write for turn in outcome.turns]
    return (f"{outcome.event} / {outcome.stack}: gap {gap[0]:.2f} s writes, {gap[1]:.2f} s reads; first write after"
            f" {', '.join(map(seconds, firsts))} s; errors {dict(report.errors())}; refused {dict(report.refused())};"
            f" {report.total('connections_lost')} connections lost; rows {verdict.acknowledged}, lost {verdict.lost}, doubled {verdict.doubled},"
            f" undone but there {verdict.undone_but_there}, unknown {verdict.unknown}; {report.wrong_count} wrong, {report.stale_count} stale,"
            f" {len(report.stuck)} stuck; load late {report.loop_late:.2f} s")


def play_all(given: argparse.Namespace, stage: Stage, say: Teller) -> list[Outcome]:
    outcomes = []
    mix = mix_of(given.writers, given.readers, prepared=given.stacks == ["pgsluice"])
    for number, name in enumerate(given.events):
        shift = number % len(given.stacks)  # who goes first changes
        for stack in given.stacks[shift:] + given.stacks[:shift]:
            say(f"{name} / {stack} ...")
            outcome = stage.play(EVENTS[name], STACKS[stack](stage.world, given.bin), mix, given.rate, given.times)
            outcomes.append(outcome)
            say(line(outcome))
            for complaint in outcome.complaints:
                say("  NOT WELL: " + complaint.splitlines()[0])
    return outcomes


def as_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    return [{**dataclasses.asdict(each), "report": each.report.to_json()} for each in outcomes]


def main(arguments: list[str]) -> int:
    given = parse(arguments)
    if given.list:
        for event in EVENTS.values():
            print(f"{event.name:24} {event.title}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say = Teller()
    try:
        if not os.access(given.bin, os.X_OK) and "pgsluice" in given.stacks:
            raise LabError(f"{given.bin} is no program: name a release build of pgsluice with --bin")
        with World(Options(port_base=26000, sync=True, fsync=False), given.dir) as world:
            world.keep = given.keep
            world.up(say)
            with Stage(world, say) as stage:
                outcomes = play_all(given, stage, say)
    except (LabError, LoadError) as problem:
        print(f"bench/failover: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench/failover: interrupted, all of it is removed", file=sys.stderr)
        return 130
    if given.json:
        given.json.write_text(json.dumps(as_json(outcomes), indent=1), encoding="utf-8")
    return 1 if any(each.complaints for each in outcomes if each.stack == "pgsluice") else 0
