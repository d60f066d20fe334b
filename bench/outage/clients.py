"""
clients.py - the load, from outside: clients of all kinds at work on one endpoint, in a process of their own.

    load = Load(Endpoint(write=(host, 5432), read=(host, 5433), user=..., password=..., dbname=...), Mix(writers=16))
    load.start()                       everybody is logged in
    load.mark("leader killed")         the moment, in the report
    report = load.stop()               after the last answer; see ledger.py

The table has to be there: ledger.make_table(). What is done with the servers meanwhile is the caller's.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Sequence

from .endpoint import Endpoint
from .kinds import KINDS
from .ledger import Report

LOGIN_TIMEOUT = 60.0  # seconds until all are in, or refused
STUCK_AFTER = 45.0  # seconds without an answer


@dataclasses.dataclass
class Mix:
    """How many clients of each kind; kinds.py says what they do."""

    writers: int = 16
    extended: int = 8
    prepared: int = 8
    pipelines: int = 4
    copies: int = 2
    blocks: int = 8
    readers: int = 16
    prepared_readers: int = 8
    lookups: int = 8
    sitters: int = 4
    idle: int = 16
    logins: int = 2

    @staticmethod
    def plain(**some: int) -> "Mix":
        """Without what PgBouncer 1.18 does not know: prepared statements, and several Syncs in flight."""
        return Mix(**{"prepared": 0, "prepared_readers": 0, "pipelines": 0, "writers": 24, "extended": 12, "readers": 24, **some})

    @staticmethod
    def none(**some: int) -> "Mix":
        return Mix(**{**{name: 0 for name in KINDS}, **some})


class LoadError(Exception):
    """The load itself has failed: not what it measures."""


class Load:
    def __init__(self, endpoint: Endpoint, mix: Mix | None = None, run_id: str = "", *, rate: float = 10.0, seed: int = 0,
                 stuck_after: float = STUCK_AFTER, prefix: Sequence[str] = ()) -> None:
        """`rate`: transactions a second of each client. `prefix`: of the command line, such as ip netns exec NAME."""
        self.run = run_id or uuid.uuid4().hex[:12]
        self._what = {"endpoint": dataclasses.asdict(endpoint), "mix": dataclasses.asdict(mix or Mix()), "run": self.run,
                      "seed": seed, "rate": rate, "stuck_after": stuck_after}
        self._prefix = list(prefix)
        self._stuck_after = stuck_after
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()

    def start(self) -> int:
        """Returns how many are logged in."""
        root = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen([*self._prefix, sys.executable, "-m", "outage.crew"], cwd=root, text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return int(self._tell(json.dumps(self._what), LOGIN_TIMEOUT + self._stuck_after)["ready"])

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self._said.put(json.loads(line))
        self._said.put({})

    def _tell(self, line: str, timeout: float = 60.0) -> dict[str, Any]:
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            said = self._said.get(timeout=timeout)
        except (OSError, queue.Empty) as problem:
            said = {"problem": repr(problem)}
        if not said or "problem" in said:
            self.kill()
            raise LoadError(f"the load gave no answer to {line.split(' ')[0][:20]!r}: {said.get('problem', 'it ended')}")
        return said

    def mark(self, name: str) -> float:
        """The time of it, time.monotonic()."""
        return float(self._tell("mark " + name.replace("\n", " "))["marked"])

    def counts(self) -> dict[str, int]:
        """Successes until now: "writes", "reads", and those of each node, "writes@HOST:PORT"."""
        return dict(self._tell("count")["counts"])

    def wait(self, more: int, of: str = "writes", timeout: float = 90.0) -> None:
        """Until there are so many more of them."""
        had, until = self.counts().get(of, 0), time.monotonic() + timeout
        while self.counts().get(of, 0) < had + more:
            if time.monotonic() > until:
                raise LoadError(f"{more} more {of} did not come within {timeout:.0f} s")
            time.sleep(0.05)

    def stop(self) -> Report:
        report = Report.from_json(self._tell("stop", self._stuck_after + 60)["report"])
        assert self._process
        self._process.wait(10)
        return report

    def kill(self) -> None:
        """For who does not want to know any more."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Load":
        self.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        self.kill()


__all__ = ["Endpoint", "Load", "LoadError", "Mix"]
