"""
network.py - hosts of our own: network namespaces on one bridge, between which packets can vanish.

Owns: namespaces named outage-PID-START-HOST, after the process that made them, and every process in them. The bridge lies in
one of them, so that nothing of it is seen from outside, and addresses mean something in there only.
Never: touches a namespace whose maker lives. What was left by a crash is removed by the next one (sweep).
Source: ip-netns(8), setns(2), nft(8) "BRIDGE ADDRESS FAMILY".
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Iterator

from lab import procs
from lab.layout import LabError

CLONE_NEWNET = 0x40000000  # <sched.h>
NETWORK = "10.86.0."
SWITCH = "switch"  # the namespace with the bridge
NAMED = re.compile(r"(?:pgsluice-)?outage-(\d+)-(\d+)(?:-.*)?")
_libc = ctypes.CDLL(None, use_errno=True)


def own_mark() -> str:
    """Of this process, and of no other one until the next boot."""
    return f"outage-{os.getpid()}-{procs.start_time(os.getpid())}"


def is_left_over(name: str) -> bool:
    """Made by one of us who does not live any more."""
    found = NAMED.fullmatch(name)
    return found is not None and procs.start_time(int(found[1])) != found[2]


def run(*argv: str, stdin: str | None = None) -> str:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"the program {argv[0]} is missing: install iproute2 and nftables") from None
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or 'failed'}")
    return done.stdout


def namespaces() -> list[str]:
    return [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()]


def remove(namespace: str) -> None:
    def inhabitants() -> list[int]:
        return [int(pid) for pid in run("ip", "netns", "pids", namespace).split() if int(pid) != os.getpid()]

    procs.kill_all(inhabitants)
    run("ip", "netns", "delete", namespace)


class Network:
    """
    network = Network({"n1": 11, "etcd": 20})   # name and the end of the address
    network.up()
    with network.inside("n1"): ...              # what this thread starts or opens in here is on that host
    network.cut("n1", "etcd")
    network.down()
    """

    def __init__(self, hosts: dict[str, int]) -> None:
        self.mark = own_mark()
        self.hosts = hosts
        self._cuts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._lock = threading.Lock()  # events may overlap
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def address(self, host: str) -> str:
        return NETWORK + str(self.hosts[host])

    def _name(self, host: str) -> str:
        return f"{self.mark}-{host}"

    def up(self) -> None:
        switch = self._name(SWITCH)
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "bridge", "up")
        for host in self.hosts:
            name = self._name(host)
            run("ip", "netns", "add", name)
            run("ip", "-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", switch, "link", "set", host, "master", "bridge", "up")
            run("ip", "-n", name, "address", "add", self.address(host) + "/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        self._filter()

    def down(self) -> None:
        self._enter(self._home)
        for namespace in namespaces():
            if namespace.startswith(self.mark + "-"):
                remove(namespace)
        os.close(self._home)

    # Being somewhere. A namespace is a thread's: what it forks and the threads that it starts are there as well.

    @staticmethod
    def _enter(descriptor: int) -> None:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise LabError("setns: " + os.strerror(ctypes.get_errno()))

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self._name(host)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter(there)
            yield
        finally:
            self._enter(before)
            os.close(before)
            os.close(there)

    def prefix(self, host: str) -> list[str]:
        """Of a command line, for a program that is to run there."""
        return ["ip", "netns", "exec", self._name(host)]

    # Partitions: the bridge forwards nothing between two hosts, and nobody is told.

    def cut(self, host: str, *others: str) -> None:
        self._change({pair: 1 for other in others for pair in ((host, other), (other, host))})

    def mend(self, host: str, *others: str) -> None:
        """What one cut() did; what another one cut as well stays cut."""
        self._change({pair: -1 for other in others for pair in ((host, other), (other, host))})

    def mend_all(self) -> None:
        with self._lock:
            self._cuts.clear()
        self._change({})

    def _change(self, counts: dict[tuple[str, str], int]) -> None:
        with self._lock:
            self._cuts.update(counts)
            self._filter()

    def _filter(self) -> None:
        """Replaced as a whole, in one step."""
        pairs = ", ".join(f"{self.address(a)} . {self.address(b)}" for a, b in sorted(+self._cuts))
        rule = f"ip saddr . ip daddr {{ {pairs} }} drop" if pairs else ""
        run("ip", "netns", "exec", self._name(SWITCH), "nft", "-f", "-", stdin=(
            "table bridge cuts {}\ndelete table bridge cuts\ntable bridge cuts {\n chain forward {\n"
            f"  type filter hook forward priority 0; policy accept;\n  {rule}\n }}\n}}\n"))


def sweep(parent: Path) -> int:
    """Namespaces, their processes and directories of whoever did not come to his end. How many were removed."""
    left = [name for name in namespaces() if is_left_over(name)]
    for name in left:
        remove(name)
    directories = [each for each in parent.glob("pgsluice-outage-*") if is_left_over(each.name)]
    for each in directories:
        mine = procs.marked(each)  # outside of the namespaces
        procs.send(mine, signal.SIGKILL)
        procs.wait_gone(mine, 5)
        shutil.rmtree(each, ignore_errors=True)
    return len(left) + len(directories)
