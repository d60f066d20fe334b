"""
main.py - the verbs of the lab: one row each, one command each, exit status 0 when it was done.

Owns: arguments and what is printed. Never: knows how anything is done.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Callable

from . import layout as names
from .cluster import HEALTHY_TIMEOUT, Lab
from .layout import LabError, Options
from .node import Node, program, psql_environment
from .proof import Findings, Proof
from .sluice import HOST, Front

STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress; the clock counts from where contrib/quickstart began."""
    began = float(os.environ.get("QUICKSTART_BEGAN", "0"))
    seconds = time.time() - began if began else time.monotonic() - STARTED
    print(f"[{seconds:6.1f}s] {text}", flush=True)


def lab_of(arguments: argparse.Namespace) -> Lab:
    return Lab(Path(arguments.dir))


def front_is_wanted(arguments: argparse.Namespace) -> bool:
    return arguments.program is not None


# Verbs of the whole.

def do_up(arguments: argparse.Namespace) -> None:
    lab = lab_of(arguments)
    options = Options(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)})
    with lab.layout.locked():
        was_there = lab.layout.exists()
        lab.up(options, say)
        if was_there and lab.layout.options != options:
            say("the lab was there already and keeps the options it was made with")
        say(f"the cluster is healthy: {', '.join(lab.layout.names)} in {lab.layout.dir}")
        if front_is_wanted(arguments):
            front = Front(lab)
            for remark in front.start(Path(arguments.program)):
                say("pgsluice: " + remark)
            say(f"pgsluice serves {HOST}:{front.port('listen')} (read-write), {front.port('read')} (read-only),"
                f" {front.port('http')} (HTTP)")


def do_proof(arguments: argparse.Namespace) -> None:
    lab = lab_of(arguments).open()
    front = Front(lab)
    if not front.pid:
        raise LabError("pgsluice does not run in this lab: start it with contrib/quickstart")
    lab.wait_healthy()
    findings = Proof(lab, front, say).run()
    print_summary(findings)
    print_lines(lab, front)
    if findings.wrong:
        raise LabError("not as expected: " + "; ".join(findings.wrong))


def do_quickstart(arguments: argparse.Namespace) -> None:
    do_up(arguments)
    do_proof(arguments)
    began = float(os.environ.get("QUICKSTART_BEGAN", "0")) or time.time()
    print(f"\nDone in {time.time() - began:.0f} s. It goes on running until it is removed.")


def do_down(arguments: argparse.Namespace) -> None:
    lab = lab_of(arguments)
    if not lab.layout.exists():
        print(f"there is no lab in {lab.layout.dir}: nothing to remove")
        return
    with lab.layout.locked():
        started = time.monotonic()
        ended = lab.down()
    print(f"{lab.layout.dir} removed, {ended} processes ended, {time.monotonic() - started:.1f} s")


def do_status(arguments: argparse.Namespace) -> None:
    lab = lab_of(arguments).open()
    status = lab.status()
    front = Front(lab).status()
    if arguments.json:
        print(json.dumps({**status, "pgsluice": front}, indent=1))
        return
    print(f"lab in {status['dir']}, processes run as {status['user']}, {'healthy' if status['healthy'] else 'NOT healthy'}")
    print(f"  etcd  {status['etcd']['url']}  pid {status['etcd']['pid'] or '-'}")
    for node in status["nodes"]:
        remarks = (", frozen" if node["frozen"] else "") + (f", etcd {node['etcd_link']}" if node["etcd_link"] != "up" else "")
        print(f"  {node['name']:4}  {node['host']}:{node['port']}  REST {node['rest']}  {node['role']}, {node['state'] or '-'},"
              f" timeline {node['timeline'] or '-'}, Patroni {node['patroni_pid'] or '-'},"
              f" {len(node['postgres_pids'])} PostgreSQL processes{remarks}")
    where = ", ".join(f"{which} {port}" for which, port in front["ports"].items())
    print(f"  pgsluice  {'pid ' + str(front['pid']) + ' on ' + front['host'] + ': ' + where if front['pid'] else 'does not run'}")


# Verbs for one node.

def do_kill(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    return f"{node.name} killed, {node.kill()} processes"


def do_kill_postgres(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    return f"PostgreSQL of {node.name} killed, {node.kill_postgres()} processes"


def do_freeze(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    return f"{node.name} frozen, {node.freeze()} processes"


def do_thaw(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    return f"{node.name} thawed, {node.thaw()} processes"


def nodes_of(arguments: argparse.Namespace) -> list[Node]:
    """One node, or every one for "all"."""
    lab = lab_of(arguments).open()
    return lab.nodes if arguments.node == "all" else [lab.pick(arguments.node)]


def do_cut_etcd(arguments: argparse.Namespace) -> str:
    nodes = nodes_of(arguments)
    for node in nodes:
        node.cut_etcd(arguments.silent)
    return f"{', '.join(node.name for node in nodes)} cut off from etcd" + (" silently" if arguments.silent else "")


def do_heal_etcd(arguments: argparse.Namespace) -> str:
    nodes = nodes_of(arguments)
    for node in nodes:
        node.heal_etcd()
    return f"etcd within reach of {', '.join(node.name for node in nodes)} again"


def do_start(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    return f"{node.name} started" if node.start() else f"{node.name} runs already"


def do_stop(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    node.stop()
    return f"{node.name} stopped"


def do_restart(arguments: argparse.Namespace) -> str:
    lab = lab_of(arguments).open()
    node = lab.pick(arguments.node)
    lab.restart(node)
    return f"PostgreSQL of {node.name} restarted"


def do_switchover(arguments: argparse.Namespace) -> str:
    old, new = lab_of(arguments).open().switchover(arguments.candidate)
    return f"switched over from {old} to {new}"


def do_delay_replay(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    node.delay_replay(arguments.seconds)
    return f"{node.name} now applies commits {arguments.seconds:g} s late"


def do_undelay(arguments: argparse.Namespace) -> str:
    node = lab_of(arguments).open().pick(arguments.node)
    node.delay_replay(0)
    return f"{node.name} applies commits at once again"


def do_add(arguments: argparse.Namespace) -> str:
    lab = lab_of(arguments).open()
    with lab.layout.locked():
        node = lab.add()
    return f"{node.name} joined at {node.host}:{node.pg_port}"


def do_remove(arguments: argparse.Namespace) -> str:
    lab = lab_of(arguments).open()
    with lab.layout.locked():
        node = lab.pick(arguments.node)
        lab.remove(node)
    return f"{node.name} removed"


def do_wait(arguments: argparse.Namespace) -> str:
    lab = lab_of(arguments).open()
    lab.wait_healthy(arguments.seconds)
    return f"healthy, {lab.pick('leader').name} leads"


def do_wait_leader(arguments: argparse.Namespace) -> str:
    return f"{lab_of(arguments).open().wait_leader(arguments.seconds).name} leads"


def do_psql(arguments: argparse.Namespace) -> None:
    """Replaces this process by psql, directly on the node, as superuser in the application's database."""
    node = lab_of(arguments).open().pick(arguments.node)
    argv = node.psql_argv()
    os.execve(program("psql", "postgresql-client"), argv + arguments.rest, psql_environment(names.SUPERUSER_PASSWORD))


# Output.

def print_summary(findings: Findings) -> None:
    print("\nWhat was shown")
    for name, text in findings.lines:
        print(f"  {name:16} {text}")
    print("  " + "-" * 16)
    print("  all as expected" if not findings.wrong else "  NOT as expected: " + "; ".join(findings.wrong))


def print_lines(lab: Lab, front: Front) -> None:
    directory = "" if lab.layout.dir == names.default_directory() else f" --dir {lab.layout.dir}"
    print("\nConnect and look")
    for purpose, line in front.printed_lines():
        print(f"  {purpose:16} {line}")
    print(f"  status page      http://{HOST}:{front.port('http')}/    metrics: /metrics")
    print(f"  configuration    {front.ini}")
    print(f"  log              {front.log}")
    print(f"  what runs where  contrib/quickstart{directory} --status")
    print("Break it")
    print(f"                   contrib/quickstart{directory} kill leader    (switchover, freeze, ...: see --help)")
    print("Stop")
    print(f"                   contrib/quickstart{directory} --down")


# The rows.

Verb = Callable[[argparse.Namespace], "str | None"]
NODE = ("node", {"metavar": "NODE", "help": "a node's name, or leader, or replica"})
NODE_OR_ALL = ("node", {"metavar": "NODE", "help": "a node's name, or leader, replica, all"})
SECONDS = ("seconds", {"metavar": "SECONDS", "type": float})
PATIENCE = ("seconds", {"metavar": "SECONDS", "type": float, "nargs": "?", "default": HEALTHY_TIMEOUT})

VERBS: list[tuple[str, Verb, list[tuple[str, dict]], str]] = [
    # name            function          arguments                 help
    ("quickstart",    do_quickstart,    [],                       "up, then proof"),
    ("up",            do_up,            [],                       "start cluster and pgsluice, whatever does not run yet"),
    ("proof",         do_proof,         [],                       "both ports, pooling, a switchover under load"),
    ("down",          do_down,          [],                       "end all processes and remove the directory"),
    ("status",        do_status,        [("--json", {"action": "store_true"})], "what runs where"),
    ("wait",          do_wait,          [PATIENCE],               "until there is one leader and all others stream from it"),
    ("wait-leader",   do_wait_leader,   [PATIENCE],               "until there is a leader, whatever the others do"),
    ("kill",          do_kill,          [NODE],                   "SIGKILL Patroni and PostgreSQL of a node"),
    ("kill-postgres", do_kill_postgres, [NODE],                   "SIGKILL PostgreSQL alone"),
    ("freeze",        do_freeze,        [NODE],                   "SIGSTOP Patroni and PostgreSQL of a node"),
    ("thaw",          do_thaw,          [NODE],                   "let a frozen node run on"),
    ("cut-etcd",      do_cut_etcd,      [NODE_OR_ALL, ("--silent", {"action": "store_true", "help": "no answer instead of a refusal"})],
     "a node loses etcd, and nothing else"),
    ("heal-etcd",     do_heal_etcd,     [NODE_OR_ALL],            "a node reaches etcd again"),
    ("start",         do_start,         [NODE],                   "start a node that was killed or stopped"),
    ("stop",          do_stop,          [NODE],                   "stop a node gracefully"),
    ("restart",       do_restart,       [NODE],                   "restart PostgreSQL of a node through Patroni"),
    ("switchover",    do_switchover,    [("candidate", {"metavar": "NODE", "nargs": "?", "default": ""})], "change the leader as planned"),
    ("delay-replay",  do_delay_replay,  [NODE, SECONDS],          "a replica applies commits that late"),
    ("undelay",       do_undelay,       [NODE],                   "end the delay"),
    ("add",           do_add,           [],                       "one more node joins"),
    ("remove",        do_remove,        [NODE],                   "a node leaves, with its data"),
    ("psql",          do_psql,          [NODE, ("rest", {"metavar": "...", "nargs": argparse.REMAINDER})], "psql directly on a node, as superuser"),
]


def add_options(target: argparse.ArgumentParser, is_verb: bool) -> None:
    """--dir and the options of a new lab, both before and behind the verb; behind it only what was given counts."""
    preset = Options()

    def option(name: str, text: str, value: object, **keywords: object) -> None:
        target.add_argument(name, help=text, default=argparse.SUPPRESS if is_verb else value, **keywords)

    option("--dir", f"directory of the lab ({names.default_directory()})", str(names.default_directory()))
    option("--program", "the pgsluice to put in front; without it only the cluster is started", None)
    option("--port-base", f"the cluster uses {names.PORTS_USED} ports from here ({preset.port_base})", preset.port_base, type=int)
    option("--nodes", f"how many ({preset.nodes})", preset.nodes, type=int)
    option("--sync", "Patroni's synchronous_mode: a killed leader loses nothing", preset.sync, action="store_true")
    option("--failsafe", "Patroni's failsafe_mode", preset.failsafe, action="store_true")
    option("--no-fsync", "faster, for tests that do not ask for durability", preset.fsync, dest="fsync", action="store_false")
    option("--test-users", "also user_trust, user_password, user_md5, user_scram", preset.test_users, action="store_true")
    option("--etcd3", "Patroni speaks etcd's v3 protocol", preset.etcd3, action="store_true")
    option("--ttl", f"Patroni's ttl in seconds ({preset.ttl})", preset.ttl, type=int)
    option("--loop-wait", f"Patroni's loop_wait in seconds ({preset.loop_wait})", preset.loop_wait, type=int)
    option("--retry-timeout", f"Patroni's retry_timeout in seconds ({preset.retry_timeout})", preset.retry_timeout, type=int)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="contrib/quickstart", formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="contrib/quickstart [OPTIONS] [VERB ...]   (no verb: install, build, up, proof)",
        description="A Patroni cluster on loopback with pgsluice in front of it, and every way of breaking it.\n"
                    "--down, --status and --proof are other words for the verbs down, status and proof.")
    add_options(whole, is_verb=False)
    verbs = whole.add_subparsers(title="verbs", dest="verb", metavar="", required=True)
    for name, function, arguments, text in VERBS:
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(function=function)
        if name != "psql":
            add_options(verb, is_verb=True)
        for argument, keywords in arguments:
            verb.add_argument(argument, **keywords)
    return whole


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    started = time.monotonic()
    try:
        outcome = arguments.function(arguments)
        if outcome is not None:
            print(f"{outcome} ({time.monotonic() - started:.2f} s)")
        return 0
    except (LabError, TimeoutError, OSError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("quickstart: interrupted; what was started is still there, contrib/quickstart --down removes it", file=sys.stderr)
        return 130
