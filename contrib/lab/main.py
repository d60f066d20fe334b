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
from typing import Any, Callable

from . import layout as names
from .cluster import HEALTHY_TIMEOUT, Lab
from .layout import LabError, Options
from .node import Node, program, psql_environment
from .proof import Findings, Proof
from .sluice import HOST, Front

# When contrib/quickstart began, which then installed and built before it came here.
BEGAN = float(os.environ.get("QUICKSTART_BEGAN") or time.time())

Arguments = argparse.Namespace


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.time() - BEGAN:6.1f}s] {text}", flush=True)


def lab_of(arguments: Arguments) -> Lab:
    return Lab(Path(arguments.dir))


# Verbs of the whole. What they return is printed with the time it took.

def do_up(arguments: Arguments) -> None:
    lab = lab_of(arguments)
    options = Options(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)})
    with lab.layout.locked():
        was_there = lab.layout.exists()
        lab.up(options, say)
        if was_there and lab.layout.options != options:
            say("the lab was there already and keeps the options it was made with")
        say(f"the cluster is healthy: {', '.join(lab.layout.names)} in {lab.layout.dir}")
        if arguments.program is not None:
            front = Front(lab)
            for remark in front.start(Path(arguments.program)):
                say("pgsluice: " + remark)
            say(f"pgsluice serves {HOST}:{front.port('listen')} (read-write), {front.port('read')} (read-only),"
                f" {front.port('http')} (HTTP)")


def do_proof(arguments: Arguments) -> None:
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


def do_quickstart(arguments: Arguments) -> None:
    if arguments.program is None:
        raise LabError("there is no pgsluice to put in front: give --program, or run contrib/quickstart")
    do_up(arguments)
    do_proof(arguments)
    print(f"\nDone in {time.time() - BEGAN:.0f} s. It goes on running until it is removed.")


def do_down(arguments: Arguments) -> str:
    lab = lab_of(arguments)
    with lab.layout.locked():
        if not lab.layout.exists():
            return f"there is no lab in {lab.layout.dir}: nothing to remove"
        return f"{lab.layout.dir} removed, {lab.down()} processes ended"


def do_status(arguments: Arguments) -> None:
    lab = lab_of(arguments).open()
    status = {**lab.status(), "pgsluice": Front(lab).status()}
    print(json.dumps(status, indent=1) if arguments.json else status_text(status))


def do_wait(arguments: Arguments) -> str:
    lab = lab_of(arguments).open()
    lab.wait_healthy(arguments.seconds)
    return f"healthy, {lab.pick('leader').name} leads"


def do_wait_leader(arguments: Arguments) -> str:
    return f"{lab_of(arguments).open().wait_leader(arguments.seconds).name} leads"


def do_switchover(arguments: Arguments) -> str:
    old, new = lab_of(arguments).open().switchover(arguments.candidate)
    return f"switched over from {old} to {new}"


def do_restart(arguments: Arguments) -> str:
    lab = lab_of(arguments).open()
    node = lab.pick(arguments.node)
    lab.restart(node)
    return f"PostgreSQL of {node.name} restarted"


def do_add(arguments: Arguments) -> str:
    lab = lab_of(arguments).open()
    with lab.layout.locked():
        node = lab.add()
    return f"{node.name} joined at {node.host}:{node.pg_port}"


def do_remove(arguments: Arguments) -> str:
    lab = lab_of(arguments).open()
    with lab.layout.locked():
        node = lab.pick(arguments.node)
        lab.remove(node)
    return f"{node.name} removed"


def do_psql(arguments: Arguments) -> None:
    """Replaces this process by psql, directly on the node, as superuser in the application's database."""
    argv = lab_of(arguments).open().pick(arguments.node).psql_argv() + arguments.rest
    os.execve(program("psql", "postgresql-client"), argv, psql_environment(names.SUPERUSER_PASSWORD))


# Verbs for one node, or for every one with "all".

def kill(node: Node, arguments: Arguments) -> str:
    return f"{node.name} killed, {node.kill()} processes"


def kill_postgres(node: Node, arguments: Arguments) -> str:
    return f"PostgreSQL of {node.name} killed, {node.kill_postgres()} processes"


def freeze(node: Node, arguments: Arguments) -> str:
    return f"{node.name} frozen, {node.freeze()} processes"


def thaw(node: Node, arguments: Arguments) -> str:
    return f"{node.name} thawed, {node.thaw()} processes"


def cut_etcd(node: Node, arguments: Arguments) -> str:
    node.cut_etcd(arguments.silent)
    return f"{node.name} cut off from etcd" + (" silently" if arguments.silent else "")


def heal_etcd(node: Node, arguments: Arguments) -> str:
    node.heal_etcd()
    return f"{node.name} reaches etcd again"


def start(node: Node, arguments: Arguments) -> str:
    return f"{node.name} started" if node.start() else f"{node.name} runs already"


def stop(node: Node, arguments: Arguments) -> str:
    node.stop()
    return f"{node.name} stopped"


def delay_replay(node: Node, arguments: Arguments) -> str:
    node.delay_replay(arguments.seconds)
    return f"{node.name} now applies commits {arguments.seconds:g} s late"


def undelay(node: Node, arguments: Arguments) -> str:
    node.delay_replay(0)
    return f"{node.name} applies commits at once again"


def for_nodes(act: Callable[[Node, Arguments], str]) -> Callable[[Arguments], str]:
    def do(arguments: Arguments) -> str:
        lab = lab_of(arguments).open()
        nodes = lab.nodes if arguments.node == "all" else [lab.pick(arguments.node)]
        return "; ".join(act(node, arguments) for node in nodes)

    return do


# Output.

def status_text(status: dict[str, Any]) -> str:
    front = status["pgsluice"]
    ports = ", ".join(f"{which} {port}" for which, port in front["ports"].items())
    lines = [f"lab in {status['dir']}, run by {status['user']}, {'healthy' if status['healthy'] else 'NOT healthy'}",
             f"  etcd  {status['etcd']['url']}, pid {status['etcd']['pid'] or '-'}"]
    for node in status["nodes"]:
        parts = [f"{node['name']:4}  {node['host']}:{node['port']}", f"REST {node['rest']}", f"{node['role']}",
                 f"{node['state'] or '-'}", f"timeline {node['timeline'] or '-'}",
                 f"Patroni {node['patroni_pid'] or '-'}", f"{len(node['postgres_pids'])} PostgreSQL processes"]
        if node["frozen"]:
            parts.append("frozen")
        if node["etcd_link"] != "up":
            parts.append("etcd " + node["etcd_link"])
        lines.append("  " + ", ".join(parts))
    lines.append(f"  pgsluice  pid {front['pid']} on {front['host']}: {ports}" if front["pid"] else "  pgsluice does not run")
    return "\n".join(lines)


def print_summary(findings: Findings) -> None:
    print("\nWhat was shown")
    for name, text in findings.lines:
        print(f"  {name:16} {text}")
    print("  " + "-" * 16)
    print("  all as expected" if not findings.wrong else "  NOT as expected: " + "; ".join(findings.wrong))


def print_lines(lab: Lab, front: Front) -> None:
    directory = "" if lab.layout.dir == names.default_directory() else f" --dir {lab.layout.dir}"
    command = f"contrib/quickstart{directory}"
    rows = [("", "Connect and look"), *front.printed_lines(),
            ("status page", f"http://{HOST}:{front.port('http')}/ and /metrics"),
            ("configuration", front.ini),
            ("log", front.log),
            ("what runs where", f"{command} --status"),
            ("break it", f"{command} kill leader    (switchover, freeze, ...: see --help)"),
            ("stop", f"{command} --down")]
    print()
    for purpose, line in rows:
        print(f"  {purpose:16} {line}" if purpose else line)


# The rows.

NODE = ("node", {"metavar": "NODE", "help": "a node's name, or leader, or replica"})
NODES = ("node", {"metavar": "NODE", "help": "a node's name, or leader, replica, all"})
SECONDS = ("seconds", {"metavar": "SECONDS", "type": float})
PATIENCE = ("seconds", {"metavar": "SECONDS", "type": float, "nargs": "?", "default": HEALTHY_TIMEOUT})
CANDIDATE = ("candidate", {"metavar": "NODE", "nargs": "?", "default": ""})
JSON = ("--json", {"action": "store_true", "help": "for programs"})
SILENT = ("--silent", {"action": "store_true", "help": "no answer instead of a refusal"})
REST = ("rest", {"metavar": "...", "nargs": argparse.REMAINDER})

VERBS: list[tuple[str, Callable[[Arguments], "str | None"], list[tuple[str, dict[str, Any]]], str]] = [
    # name, function, arguments, help
    ("quickstart", do_quickstart, [], "up, then proof"),
    ("up", do_up, [], "start cluster and pgsluice, mend what was broken"),
    ("proof", do_proof, [], "both ports, pooling, a switchover under load"),
    ("down", do_down, [], "end all processes and remove the directory"),
    ("status", do_status, [JSON], "what runs where"),
    ("wait", do_wait, [PATIENCE], "until there is one leader and all others stream from it"),
    ("wait-leader", do_wait_leader, [PATIENCE], "until there is a leader, whatever the others do"),
    ("switchover", do_switchover, [CANDIDATE], "change the leader as planned"),
    ("kill", for_nodes(kill), [NODES], "SIGKILL Patroni and PostgreSQL of a node"),
    ("kill-postgres", for_nodes(kill_postgres), [NODES], "SIGKILL PostgreSQL alone"),
    ("freeze", for_nodes(freeze), [NODES], "SIGSTOP Patroni and PostgreSQL of a node"),
    ("thaw", for_nodes(thaw), [NODES], "let a frozen node run on"),
    ("cut-etcd", for_nodes(cut_etcd), [NODES, SILENT], "a node loses etcd, and nothing else"),
    ("heal-etcd", for_nodes(heal_etcd), [NODES], "a node reaches etcd again"),
    ("start", for_nodes(start), [NODES], "start a node that was killed or stopped"),
    ("stop", for_nodes(stop), [NODES], "stop a node gracefully"),
    ("restart", do_restart, [NODE], "restart PostgreSQL of a node through Patroni"),
    ("delay-replay", for_nodes(delay_replay), [NODES, SECONDS], "a replica applies commits that late"),
    ("undelay", for_nodes(undelay), [NODES], "end the delay"),
    ("add", do_add, [], "one more node joins"),
    ("remove", do_remove, [NODE], "a node leaves, with its data"),
    ("psql", do_psql, [NODE, REST], "psql directly on a node, as superuser"),
]

PRESET = Options()
OPTIONS: list[tuple[str, str, dict[str, Any]]] = [
    # name, help, keywords; those with another preset than None make a new lab and are ignored by an old one
    ("--dir", "directory of the lab", {"default": str(names.default_directory())}),
    ("--program", "the pgsluice to put in front; without it only the cluster is started", {}),
    ("--port-base", f"the cluster uses {names.PORTS_USED} ports from here", {"default": PRESET.port_base, "type": int}),
    ("--nodes", "how many", {"default": PRESET.nodes, "type": int}),
    ("--sync", "synchronous_mode: a killed leader loses nothing", {"default": False, "action": "store_true"}),
    ("--failsafe", "Patroni's failsafe_mode", {"default": False, "action": "store_true"}),
    ("--rest-tls", "TLS, client certificates and a password for Patroni's REST API",
     {"default": False, "action": "store_true"}),
    ("--no-fsync", "for tests that do not ask for durability",
     {"default": True, "action": "store_false", "dest": "fsync"}),
    ("--test-users", "also user_trust, user_password, user_md5, user_scram", {"default": False, "action": "store_true"}),
    ("--etcd3", "Patroni speaks etcd's v3 protocol", {"default": False, "action": "store_true"}),
    ("--patroni", "a directory with another Patroni than the installed one, as dpkg -x makes it", {"default": ""}),
    ("--before-stop", "Patroni's postgresql.before_stop; {name} is the node's", {"default": ""}),
    ("--ttl", "Patroni's, in seconds", {"default": PRESET.ttl, "type": int}),
    ("--loop-wait", "Patroni's, in seconds", {"default": PRESET.loop_wait, "type": int}),
    ("--retry-timeout", "Patroni's, in seconds", {"default": PRESET.retry_timeout, "type": int}),
]


def add_options(target: argparse.ArgumentParser, is_verb: bool) -> None:
    """They may stand before or behind the verb; behind it only what was given counts."""
    for name, text, keywords in OPTIONS:
        if is_verb:
            keywords = {**keywords, "default": argparse.SUPPRESS}
            text = argparse.SUPPRESS
        elif "action" not in keywords and "default" in keywords:
            text += " (%(default)s)"
        target.add_argument(name, help=text, **keywords)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="contrib/quickstart", formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="contrib/quickstart [OPTIONS] [VERB ...]   (no verb: install, build, up, proof)",
        description="A Patroni cluster on loopback with pgsluice in front of it, and every way of breaking it.\n"
                    "--down, --status and --proof are other words for the verbs down, status and proof.")
    add_options(whole, is_verb=False)
    verbs = whole.add_subparsers(title="verbs", dest="verb", metavar="")
    whole.set_defaults(function=do_quickstart)
    for name, function, arguments, text in VERBS:
        words = " ".join(str(keywords["metavar"]) for _, keywords in arguments if "metavar" in keywords)
        verb = verbs.add_parser(name, help=text, description=text, usage=f"contrib/quickstart [OPTIONS] {name} {words}")
        verb.set_defaults(function=function)
        for argument, keywords in arguments:
            verb.add_argument(argument, **keywords)
        if REST not in arguments:
            add_options(verb, is_verb=True)
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
        print("quickstart: interrupted; contrib/quickstart --down removes what was started", file=sys.stderr)
        return 130
