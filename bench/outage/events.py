"""
events.py - what can happen to a cluster, one small function for each.

A function breaks something, yields when it is broken and Patroni has done what it will do about it, and undoes it when it is
resumed. Whoever calls it lets clients work all the time, waits at the yield until they are served again (unless SERVED is
False: they can't be), and afterwards for a whole cluster.
`stay` is how long a state lasts that ends only because we end it. Nothing else here is a matter of time.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Callable, Iterator

from lab.node import Node

from .stacks import Sluice, Stack
from .world import World, wait_until

Steps = Iterator[None]


@dataclasses.dataclass
class Event:
    name: str
    title: str
    act: Callable[[World, Stack], Steps]
    served: bool = True  # can clients be served while it is broken?
    mended_at: bool = False  # no node changes: writes are possible again when it is undone
    failsafe: bool = False  # needs Patroni's failsafe_mode


EVENTS: dict[str, Event] = {}


def event(title: str, **more: bool) -> Callable[[Callable[[World, Stack], Steps]], Callable[[World, Stack], Steps]]:
    def add(act: Callable[[World, Stack], Steps]) -> Callable[[World, Stack], Steps]:
        name = act.__name__.replace("_", "-")
        EVENTS[name] = Event(name, title, act, **more)
        return act

    return add


def stay(seconds: float) -> None:
    time.sleep(seconds)


# The leader.

@event("leader: SIGKILL for Patroni and PostgreSQL")
def leader_killed(world: World, stack: Stack) -> Steps:
    old = world.leader()
    old.kill()
    world.wait_other_leader(old)
    yield
    old.start()


@event("leader: SIGKILL for PostgreSQL alone")
def postgres_killed(world: World, stack: Stack) -> Steps:
    """Patroni starts it again, or gives the lead away."""
    old = world.leader()
    before = set(old.postgres_pids)
    old.kill_postgres()
    wait_until(lambda: set(old.postgres_pids) - before, "PostgreSQL started by Patroni")
    world.leader()
    yield


@event("leader: frozen, later thawed")
def leader_frozen(world: World, stack: Stack) -> Steps:
    old = world.leader()
    old.freeze()
    world.wait_other_leader(old)
    yield
    old.thaw()


@event("leader: cut off from etcd")
def leader_without_etcd(world: World, stack: Stack) -> Steps:
    old = world.leader()
    world.cut(old.name, "etcd")
    world.wait_other_leader(old)
    yield
    world.mend(old.name, "etcd")


@event("leader: cut off from the proxy for 8 s", served=False, mended_at=True)
def leader_without_proxy(world: World, stack: Stack) -> Steps:
    """Patroni has no reason to do anything."""
    leader = world.leader()
    world.cut(leader.name, "proxy")
    stay(8)
    yield
    world.mend(leader.name, "proxy")


@event("leader: cut off from everybody")
def leader_isolated(world: World, stack: Stack) -> Steps:
    old = world.leader()
    world.cut(old.name, *world.everybody_but(old.name))
    world.wait_other_leader(old)
    yield
    world.mend(old.name, *world.everybody_but(old.name))


# Planned.

def patronictl_switchover(world: World, old: Node) -> None:
    world.patronictl("switchover", "lab", "--leader", old.name, "--force")
    world.wait_other_leader(old)


@event("switchover: SWITCHOVER on the console (the pair: patronictl)")
def switchover_console(world: World, stack: Stack) -> Steps:
    old = world.leader()
    if not isinstance(stack, Sluice):
        patronictl_switchover(world, old)
    else:
        stack.console("SWITCHOVER")
    world.wait_other_leader(old)
    yield


@event("switchover: patronictl")
def switchover_patronictl(world: World, stack: Stack) -> Steps:
    patronictl_switchover(world, world.leader())
    yield


@event("switchover: Patroni, before_stop run just before (the pair has none)")
def switchover_hook(world: World, stack: Stack) -> Steps:
    """By the request that patronictl makes, without the second that patronictl needs to start: the hook would count it."""
    old = world.leader()
    if isinstance(stack, Sluice):
        stack.hook(old.name)
    world.lab.switchover()
    yield


@event("restart of every node in turn: patronictl restart")
def restarts(world: World, stack: Stack) -> Steps:
    for node in world.nodes:
        world.patronictl("restart", "lab", node.name, "--force")
        world.wait_whole()
    yield


# Replicas. The synchronous one is a case of its own: commits wait for it.

def bystander(world: World) -> Node:
    """A replica for which no commit waits."""
    names = wait_until(lambda: world.leader().sql(
        "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'async' AND state = 'streaming'"), "an asynchronous replica")
    return world.lab.pick(names.splitlines()[0])


@event("replica: SIGKILL")
def replica_killed(world: World, stack: Stack) -> Steps:
    node = bystander(world)
    node.kill()
    stay(6)
    yield
    node.start()


@event("synchronous replica: SIGKILL")
def standby_killed(world: World, stack: Stack) -> Steps:
    leader = world.leader()
    node = world.lab.pick(leader.sql("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"))
    node.kill()
    stay(6)
    yield
    node.start()


@event("replica: frozen for 8 s")
def replica_frozen(world: World, stack: Stack) -> Steps:
    node = bystander(world)
    node.freeze()
    stay(8)
    yield
    node.thaw()


@event("replica: replay paused for 8 s")
def replay_paused(world: World, stack: Stack) -> Steps:
    node = bystander(world)
    node.sql("SELECT pg_wal_replay_pause()")
    stay(8)
    yield
    node.sql("SELECT pg_wal_replay_resume()")


# etcd and Patroni.

@event("etcd: no answer for 12 s", served=False)
def etcd_frozen(world: World, stack: Stack) -> Steps:
    """Nobody may lead: the leader becomes a replica, and one is promoted when etcd is back."""
    world.freeze_etcd()
    stay(12)
    yield
    world.thaw_etcd()


@event("etcd: no answer for 12 s, with failsafe_mode", failsafe=True)
def etcd_frozen_failsafe(world: World, stack: Stack) -> Steps:
    """The leader goes on as long as it reaches all others."""
    world.freeze_etcd()
    stay(12)
    yield
    world.thaw_etcd()


@event("etcd: killed, started again after 8 s", served=False)
def etcd_killed(world: World, stack: Stack) -> Steps:
    world.kill_etcd()
    stay(8)
    yield
    world.lab.start_etcd()


@event("Patroni paused; PostgreSQL of the leader killed; resumed after 4 s", served=False)
def patroni_paused(world: World, stack: Stack) -> Steps:
    world.patronictl("pause", "lab", "--wait")
    world.leader().kill_postgres()
    stay(4)
    yield
    world.patronictl("resume", "lab", "--wait")


@event("whole cluster: killed and started", served=False)
def cluster_down(world: World, stack: Stack) -> Steps:
    """The leader first: without its synchronous replica it would leave every commit open before it goes."""
    leader, replicas = world.leader(), world.replicas()
    for node in [leader, *replicas]:
        node.kill()
    yield
    for node in world.nodes:
        node.start()
