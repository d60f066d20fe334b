"""
main.py - the command line of bench/failover: which events, against what, and what is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

from lab.layout import LabError, Options

from . import partition, table
from .chaos import Chaos, how_to_repeat
from .clients import LoadError
from .events import EVENTS
from .play import Outcome, Stage, mix_of
from .stacks import STACKS, Sluice
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
    p.add_argument("--times", type=int, default=1, metavar="N", help="... N times in a row under one load (not for the table)")
    p.add_argument("--turns", type=int, default=1, metavar="N", help="all of it N times; the table has medians")
    p.add_argument("--partition-proof", action="store_true", help="what reaches an old leader that is cut off from its fellows only")
    p.add_argument("--random", action="store_true", help="random events against one pgsluice, best one with sanitizers, ...")
    p.add_argument("--seed", type=int, default=0, help="... the same ones for the same seed (default: another one each time) ...")
    p.add_argument("--minutes", type=float, default=30, help="... for so long (default: %(default)g) ...")
    p.add_argument("--first", type=int, default=1, metavar="ROUND", help="... leaving out the rounds before that one")
    p.add_argument("--writers", type=int, default=32)
    p.add_argument("--readers", type=int, default=32)
    p.add_argument("--rate", type=float, default=10, help="transactions a second of each client (default: %(default)s)")
    p.add_argument("--json", type=Path, metavar="FILE", help="the table, for programs")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="the table once more")
    p.add_argument("--keep", type=Path, metavar="DIR", help="put all logs there")
    p.add_argument("--dir", type=Path, default=Path("/tmp"), help="where the cluster lies while it lives (default: %(default)s)")
    p.add_argument("--list", action="store_true", help="list the events and leave")
    given = p.parse_args(arguments)
    if given.only:
        given.events = given.only
    given.seed = given.seed or time.time_ns() % 1_000_000
    if given.only or given.partition_proof:
        if given.only and "--stacks" not in " ".join(arguments):
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


def seconds(values: list[float]) -> str:
    """Median and worst, of those that are known."""
    known = [value for value in values if value == value]
    if not known:
        return "-"
    return f"{statistics.median(known):.3f} s" + (f" (worst of {len(known)}: {max(known):.3f} s)" if len(known) > 1 else "")


def line(outcome: Outcome) -> str:
    report, verdict, turns = outcome.report, outcome.verdict, outcome.turns
    return (f"{outcome.event} / {outcome.stack}: first write {seconds([turn.first_write for turn in turns])} after writable; longest gap of"
            f" writes {seconds([turn.gap_writes for turn in turns])}, of reads {seconds([turn.gap_reads for turn in turns])};"
            f" errors {dict(report.errors())}, logins refused {dict(report.refused())}, {report.total('connections_lost')} connections lost;"
            f" {verdict.acknowledged} rows acknowledged, {verdict.lost} lost, {verdict.doubled} doubled, {verdict.undone_but_there} there but"
            f" denied, {verdict.unknown} unknown; {report.wrong_count} wrong answers, {len(report.stuck)} stuck;"
            f" the load itself was late by {report.loop_late:.2f} s at most")


def play_all(given: argparse.Namespace, stage: Stage, say: Teller) -> list[Outcome]:
    outcomes = []
    mix = mix_of(given.writers, given.readers, prepared=given.stacks == ["pgsluice"])
    for number, name in enumerate(given.events * given.turns):
        shift = (number + number // len(given.events)) % len(given.stacks)  # who goes first changes
        for stack in given.stacks[shift:] + given.stacks[:shift]:
            say(f"{name} / {stack} ...")
            outcome = stage.play(EVENTS[name], STACKS[stack](stage.world, given.bin), mix, given.rate, given.times)
            outcomes.append(outcome)
            say(line(outcome))
            tell(outcome.complaints, say)
    return outcomes


def tell(complaints: list[str], say: Teller) -> None:
    for complaint in complaints:
        say("  NOT WELL: " + complaint.splitlines()[0])


def finish(given: argparse.Namespace, stage: Stage, outcomes: list[Outcome]) -> int:
    """The table, and whether pgsluice did wrong or is behind."""
    cells = []
    for each in outcomes:
        for turn in each.turns[:1]:
            known = turn.writable if turn.writable == turn.writable else None
            cells.append(table.outcome(each.event, each.stack, each.report, each.verdict, known, stage.addresses.get(turn.new_leader, ""),
                                       turn.outage))
    if given.json:
        given.json.write_text(json.dumps(table.to_json(cells), indent=1), encoding="utf-8")
    titles = {**{name: event.title for name, event in EVENTS.items()}, "canonical": "pair", "tuned": "pair, tuned"}
    if len(given.stacks) > 1 and given.times == 1:
        print(table.terminal(cells, titles))
    else:
        print("\n".join(line(each) for each in outcomes))
    if given.markdown:
        given.markdown.write_text(table.markdown(cells, titles), encoding="utf-8")
    behind = table.behind(cells) if given.times == 1 else []
    for sentence in behind:
        print("BEHIND: " + sentence)
    wrong = [complaint for each in outcomes if each.stack == "pgsluice" for complaint in each.complaints]
    for complaint in wrong:
        print("WRONG: " + complaint)
    return 1 if wrong or behind else 0


def prove_all(given: argparse.Namespace, stage: Stage, say: Teller) -> int:
    mix = mix_of(given.writers, given.readers, prepared=False)
    status = 0
    for is_frozen, is_sync in ((False, True), (True, True), (True, False)):
        for stack in given.stacks:
            found = partition.prove(stage, STACKS[stack](stage.world, given.bin), mix, given.rate, is_frozen, is_sync)
            print(found, flush=True)
            if stack == "pgsluice":
                tell(found.complaints, say)
                status |= 1 if found.complaints or found.after_known or (is_sync and not found.verdict.is_good) else 0
    return status


def be_random(given: argparse.Namespace, stage: Stage, say: Teller) -> int:
    chaos = Chaos(stage, Sluice(stage.world, given.bin), given.seed, say)
    try:
        wrong = chaos.run(given.minutes, given.first)
    except LabError as problem:
        wrong = [str(problem)]
    for each in wrong:
        print("WRONG: " + each)
    if wrong and not given.keep:
        stage.world.keep = Path(f"failover-{given.seed}.logs").absolute()
        print(f"the logs of everybody: {stage.world.keep}")
    print("again: " + how_to_repeat(given.seed, given.bin, given.first, given.minutes) if wrong else f"seed {given.seed}: all was well")
    return 1 if wrong else 0


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
            raise LabError(f"{given.bin} is no program: name a build of pgsluice with --bin")
        with World(Options(port_base=26000, sync=True, fsync=False), given.dir) as world:
            world.keep = given.keep
            world.up(say)
            with Stage(world, say) as stage:
                if given.random:
                    return be_random(given, stage, say)
                if given.partition_proof:
                    return prove_all(given, stage, say)
                return finish(given, stage, play_all(given, stage, say))
    except (LabError, LoadError) as problem:
        print(f"bench/failover: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench/failover: interrupted, all of it is removed", file=sys.stderr)
        return 130
