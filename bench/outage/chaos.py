"""
chaos.py - random events, several at a time, for as long as one likes; the same ones again for the same seed.

    seed ─► rounds of moves, each with a moment and a duration ─► every move in a thread ─► repaired, whole, served again?
    ─► next round; after some rounds the load ends and the rows of all nodes are compared, and another load begins

Whatever happens, the cluster is synchronous: no acknowledged row may be lost. Errors are allowed; wrong answers, lost, doubled or
wrongly denied rows, clients that nobody answers, a pgsluice that ends by itself, leaks and complaints of a sanitizer are not.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import psycopg
from lab.layout import LabError
from lab.node import Node

from .clients import Load, LoadError, Mix
from .play import Stage
from .stacks import Sluice
from .world import World

MIX = Mix(writers=6, extended=4, prepared=4, pipelines=3, copies=2, blocks=6, readers=6, prepared_readers=4, lookups=4, sitters=2,
          idle=10, logins=2)
CROWD = Mix.none(writers=4, prepared=4, blocks=4, prepared_readers=4, logins=4)
RATE = 5.0
ROUNDS_OF_A_LOAD = 6
SPREAD = 6.0  # seconds over which the moves of a round begin
LASTS = (1.0, 10.0)  # seconds
SERVED_TIMEOUT = 60.0  # seconds, in a cluster that is whole
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:disable_coredump=1:strict_string_checks=1:quarantine_size_mb=16",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
COMPLAINTS = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|this must hold but does not")
MEMORY_MARGIN = 96 << 20  # bytes above what the first load left; the shadow and the quarantine of a sanitizer come late
DESCRIPTOR_MARGIN = 60  # server connections come and go

PROBLEMS = (LabError, LoadError, OSError, subprocess.SubprocessError, psycopg.Error)  # of whoever does something to the world

Steps = Iterator[None]


@dataclasses.dataclass
class Move:
    at: float  # seconds into the round
    what: str
    lasts: float
    pick: int  # of whatever there is to choose from

    def __str__(self) -> str:
        return f"{self.at:4.1f} s {self.what} for {self.lasts:.1f} s ({self.pick})"


@dataclasses.dataclass
class Scene:
    world: World
    stage: Stage
    stack: Sluice
    pick: int

    def leader(self) -> Node:
        """Who is it now? Whoever comes first, when there is none."""
        return self.world.lab.node(self.world.lab.leader_name(self.world.lab.look()) or self.world.nodes[self.pick % 3].name)

    def replica(self) -> Node:
        others = [node for node in self.world.nodes if node.name != self.leader().name]
        return others[self.pick % len(others)]

    def any(self) -> Node:
        return self.world.nodes[self.pick % len(self.world.nodes)]


MOVES: dict[str, tuple[int, Callable[[Scene], Steps]]] = {}


def move(weight: int) -> Callable[[Callable[[Scene], Steps]], Callable[[Scene], Steps]]:
    def add(act: Callable[[Scene], Steps]) -> Callable[[Scene], Steps]:
        MOVES[act.__name__.replace("_", "-")] = (weight, act)
        return act

    return add


# The cluster. Each yields once: in between the move lasts.

@move(4)
def kill_leader(scene: Scene) -> Steps:
    node = scene.leader()
    node.kill()
    yield
    node.start()


@move(2)
def kill_replica(scene: Scene) -> Steps:
    node = scene.replica()
    node.kill()
    yield
    node.start()


@move(3)
def kill_postgres(scene: Scene) -> Steps:
    scene.any().kill_postgres()
    yield


@move(3)
def freeze_leader(scene: Scene) -> Steps:
    node = scene.leader()
    node.freeze()
    yield
    node.thaw()


@move(2)
def freeze_replica(scene: Scene) -> Steps:
    node = scene.replica()
    node.freeze()
    yield
    node.thaw()


def cut(scene: Scene, node: Node, *others: str) -> Steps:
    scene.world.cut(node.name, *others)
    yield
    scene.world.mend(node.name, *others)


@move(2)
def leader_without_etcd(scene: Scene) -> Steps:
    return cut(scene, scene.leader(), "etcd")


@move(2)
def leader_without_proxy(scene: Scene) -> Steps:
    return cut(scene, scene.leader(), "proxy")


@move(2)
def node_without_proxy(scene: Scene) -> Steps:
    return cut(scene, scene.any(), "proxy")


@move(2)
def node_isolated(scene: Scene) -> Steps:
    node = scene.any()
    return cut(scene, node, *scene.world.everybody_but(node.name))


@move(1)
def proxy_isolated(scene: Scene) -> Steps:
    """From the cluster; its clients are still there."""
    others = [node.name for node in scene.world.nodes]
    scene.world.cut("proxy", *others)
    yield
    scene.world.mend("proxy", *others)


@move(2)
def replay_paused(scene: Scene) -> Steps:
    node = scene.replica()
    node.sql("SELECT pg_wal_replay_pause()")
    yield
    node.sql("SELECT pg_wal_replay_resume()")


@move(1)
def etcd_frozen(scene: Scene) -> Steps:
    scene.world.freeze_etcd()
    yield
    scene.world.thaw_etcd()


@move(1)
def etcd_killed(scene: Scene) -> Steps:
    scene.world.kill_etcd()
    yield
    scene.world.lab.start_etcd()


@move(1)
def patroni_paused(scene: Scene) -> Steps:
    scene.world.patronictl("pause", "lab")
    yield
    scene.world.patronictl("resume", "lab")


@move(3)
def patronictl_switchover(scene: Scene) -> Steps:
    scene.world.patronictl("switchover", "lab", "--leader", scene.leader().name, "--force")
    yield


@move(2)
def patronictl_restart(scene: Scene) -> Steps:
    scene.world.patronictl("restart", "lab", scene.any().name, "--force")
    yield


@move(1)
def terminate_sessions(scene: Scene) -> Steps:
    scene.any().sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app' AND pid % 3 = 0")
    yield


# pgsluice.

@move(4)
def console_switchover(scene: Scene) -> Steps:
    words = ["", f" TO {scene.replica().name}", " DEADLINE 2", " DEADLINE 1 CUT"]
    scene.stack.console("SWITCHOVER" + words[scene.pick % len(words)])
    yield


@move(3)
def reload(scene: Scene) -> Steps:
    """With a setting that differs each time."""
    scene.stack.settings["default_pool_size"] = 4 + scene.pick % 20
    scene.stack.write_ini()
    scene.stack.console("RELOAD")
    yield


@move(2)
def pause(scene: Scene) -> Steps:
    paused = threading.Thread(target=lambda: ignore(lambda: scene.stack.console("PAUSE")), daemon=True)
    paused.start()
    yield
    scene.stack.console("RESUME")
    paused.join(60)


@move(1)
def suspend(scene: Scene) -> Steps:
    """For as long as the session lives that asked for it."""
    with scene.stack.session("pgsluice") as session:
        session.execute("SUSPEND")
        yield


@move(1)
def kill_pool(scene: Scene) -> Steps:
    ignore(lambda: scene.stack.console("KILL app"))
    yield
    scene.stack.console("RESUME app")


@move(1)
def disable(scene: Scene) -> Steps:
    scene.stack.console("DISABLE app")
    yield
    scene.stack.console("ENABLE app")


@move(2)
def reconnect(scene: Scene) -> Steps:
    scene.stack.console("RECONNECT")
    yield


@move(2)
def held_and_never_released(scene: Scene) -> Steps:
    scene.stack.post(f"/hold?member={scene.leader().name}&ttl={3 + scene.pick % 8}")
    yield


@move(1)
def held_and_released(scene: Scene) -> Steps:
    name = scene.leader().name
    scene.stack.post(f"/hold?member={name}&ttl=60")
    yield
    scene.stack.post(f"/release?member={name}")


@move(2)
def look_around(scene: Scene) -> Steps:
    for what in ("FAILOVERS", "MEMBERS", "CLUSTERS", "CLIENTS", "SERVERS", "POOLS", "STATS", "CONFIG"):
        scene.stack.console("SHOW " + what)
    yield


# Clients.

@move(3)
def crowd_comes_and_goes(scene: Scene) -> Steps:
    """Without a word, in the end."""
    load = scene.stage.load(scene.stack, CROWD, RATE)
    load.start()
    yield
    load.kill()


def ignore(act: Callable[[], object]) -> None:
    try:
        act()
    except PROBLEMS:
        pass


# The plan: nothing in here looks at a clock or at the world.

def rounds(seed: int) -> Iterator[list[Move]]:
    chance = random.Random(f"rounds {seed}")
    names = list(MOVES)
    weights = [weight for weight, _ in MOVES.values()]
    while True:
        chosen = chance.choices(names, weights, k=chance.choice((1, 1, 2, 2, 3, 4)))
        moves = [Move(round(chance.uniform(0, SPREAD), 1) if index else 0.0, name, round(chance.uniform(*LASTS), 1), chance.randrange(1000))
                 for index, name in enumerate(chosen)]
        yield sorted(moves, key=lambda each: each.at)


class Chaos:
    def __init__(self, stage: Stage, stack: Sluice, seed: int, say: Callable[[str], None]) -> None:
        self.stage, self.world, self.stack, self.seed, self.say = stage, stage.world, stack, seed, say
        stack.env = SANITIZERS
        self.wrong: list[str] = []
        self.first: tuple[int, int] | None = None  # memory and descriptors behind the first load

    def run(self, minutes: float, first: int = 1) -> list[str]:
        """What must not be; empty: all was well. `first`: the round to begin with, of the same plan."""
        until = time.monotonic() + minutes * 60
        self.say(f"seed {self.seed}, from round {first}")
        self.stack.start()
        plan = itertools.islice(enumerate(rounds(self.seed), 1), first - 1, None)
        while not self.wrong and time.monotonic() < until:
            self._one_load(plan, until)
        self.world.repair()
        self.world.wait_whole()
        self.wrong += self.stack.stop()
        if found := COMPLAINTS.search(self.stack.said()):
            self.wrong.append("pgsluice's log: " + self.stack.said()[found.start():found.start() + 300])
        return self.wrong

    def _one_load(self, plan: Iterator[tuple[int, list[Move]]], until: float) -> None:
        load = self.stage.load(self.stack, MIX, RATE, seed=self.seed)
        last = 0
        try:
            load.start()
            self.stage.wait_served(load)
            for last, moves in itertools.islice(plan, ROUNDS_OF_A_LOAD):
                self._round(last, moves, load)
                if self.wrong or time.monotonic() > until:
                    break
            report = load.stop()
        except LoadError as problem:
            self.wrong.append(f"round {last}: {problem}")
            return
        finally:
            load.kill()
        verdict = self.stage.check(report)
        self.wrong += [f"up to round {last}: {complaint}" for complaint in report.complaints + verdict.details]
        memory, descriptors = self._size()
        self.say(f"rounds up to {last}: {report.total('done')} transactions, {verdict.acknowledged} rows acknowledged, {verdict.unknown} unknown;"
                 f" errors {dict(report.errors())}, refused {dict(report.refused())}, {report.total('connections_lost')} connections lost;"
                 f" pgsluice has {memory >> 20} MB and {descriptors} descriptors")
        self.first = self.first or (memory, descriptors)
        if memory > self.first[0] + MEMORY_MARGIN or descriptors > self.first[1] + DESCRIPTOR_MARGIN:
            self.wrong.append(f"up to round {last}: {memory} bytes and {descriptors} descriptors, at first {self.first}")

    def _size(self) -> tuple[int, int]:
        pid = self.stack.pid
        memory = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
        return int(memory[1]) << 10 if memory else 0, len(os.listdir(f"/proc/{pid}/fd"))

    def _round(self, number: int, moves: list[Move], load: Load) -> None:
        self.say(f"round {number}: " + "; ".join(map(str, moves)))
        began = time.monotonic()
        threads = [threading.Thread(target=self._move, args=(each, began), daemon=True) for each in moves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for command in ("RESUME", "RESUME app", "ENABLE app"):  # of a move that came to no end
            ignore(lambda: self.stack.console(command))
        self.world.repair()
        ignore(lambda: self.world.patronictl("resume", "lab"))
        self.world.wait_whole()
        if dead := self.stack.dead():
            self.wrong += [f"round {number}: {each}: {self.stack.said()[-1500:]}" for each in dead]
            return
        try:
            load.wait(50, "writes", SERVED_TIMEOUT)
            load.wait(50, "reads", SERVED_TIMEOUT)
        except LoadError as problem:
            self.wrong.append(f"round {number}: the cluster is whole, and {problem}")

    def _move(self, each: Move, began: float) -> None:
        """What a move meets is not its business: somebody else may have killed whom it wants to ask."""
        time.sleep(max(0.0, began + each.at - time.monotonic()))
        try:
            steps = MOVES[each.what][1](Scene(self.world, self.stage, self.stack, each.pick))
            next(steps)
            time.sleep(each.lasts)
            next(steps, None)
        except PROBLEMS as problem:
            self.say(f"  {each.what}: {str(problem).splitlines()[0][:200]}")


def how_to_repeat(seed: int, binary: Path, first: int, minutes: float) -> str:
    return f"bench/failover --random --seed {seed} --first {first} --minutes {minutes:g} --bin {binary}"

