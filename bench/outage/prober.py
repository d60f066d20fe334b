"""
prober.py - since when each node takes writes, asked of the node itself, past every proxy.

A process of its own, `python3 -m outage.prober NAME=HOST:PORT ...`: prints a line `MONOTONIC NAME writable` whenever an INSERT
has succeeded on a node on which none could before, and `MONOTONIC NAME lost` with the last moment at which it was there. A standby
is asked each 10 ms on a connection that stands and survives its promotion; a node that is down is tried again as often.
"""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

from lab import layout as names
from lab.layout import LabError

from . import wire as w

TICK = 0.010  # seconds
WRITABLE_TICK = 0.050  # seconds, where nothing but the end is waited for
SILENCE = 2.0  # seconds until a connection is given up
TABLE = "probe"


async def ask(wire: w.Wire, sql: str) -> list[w.Message]:
    """ConnectionError: it failed in whatever way."""
    answer = await asyncio.wait_for(wire.ask(w.query(sql))[0], SILENCE)
    if answer.lost or answer.error:
        raise ConnectionError(answer.lost or answer.error.get("M"))
    return answer.messages


async def is_standby(wire: w.Wire) -> bool:
    return any(w.row(body) == ["t"] for letter, body in await ask(wire, "SELECT pg_is_in_recovery()") if letter == "D")


def say(at: float, name: str, what: str) -> None:
    print(f"{at:.4f} {name} {what}", flush=True)


async def watch(name: str, host: str, port: int) -> None:
    while True:
        wire, seen = None, 0.0
        try:
            wire = await asyncio.wait_for(w.connect(host, port, names.SUPERUSER, names.SUPERUSER_PASSWORD, names.APP_DATABASE, TABLE),
                                          SILENCE)
            while await is_standby(wire):
                await asyncio.sleep(TICK)
            await ask(wire, f"INSERT INTO {TABLE} VALUES ('{name}')")
            seen = time.monotonic()
            say(seen, name, "writable")
            while True:
                await ask(wire, "SELECT 1")
                seen = time.monotonic()
                await asyncio.sleep(WRITABLE_TICK)
        except (OSError, asyncio.TimeoutError, w.Refused):
            await asyncio.sleep(TICK)
        finally:
            if seen:
                say(seen, name, "lost")
            if wire is not None:
                wire.is_closing = True
                wire.abort()


async def main(nodes: list[str]) -> None:
    rows = [(name, *where.rsplit(":", 1)) for name, where in (node.split("=") for node in nodes)]
    await asyncio.gather(*(watch(name, host, int(port)) for name, host, port in rows))


@dataclasses.dataclass
class Seen:
    at: float  # time.monotonic()
    node: str
    what: str  # "writable" or "lost"


class Prober:
    """The process, for whoever is not it."""

    def __init__(self, nodes: dict[str, str], output: Path) -> None:
        self.output = output
        root = Path(__file__).resolve().parents[1]
        with open(output, "wb") as out:
            self.process = subprocess.Popen([sys.executable, "-m", "outage.prober", *(f"{name}={at}" for name, at in nodes.items())],
                                            cwd=root, env={"PYTHONPATH": str(root.parent / "contrib")}, stdin=subprocess.DEVNULL,
                                            stdout=out)

    def seen(self) -> list[Seen]:
        if self.process.poll() is not None:
            raise LabError("the prober has ended by itself")
        rows = [line.split() for line in self.output.read_text(encoding="ascii").splitlines()]
        return [Seen(float(row[0]), row[1], row[2]) for row in rows if len(row) == 3]

    def writable_after(self, moment: float) -> Seen | None:
        return next((each for each in self.seen() if each.what == "writable" and each.at > moment), None)

    def lost_before(self, moment: float, since: float) -> float:
        """Since when nobody had taken writes at that moment; not longer than since then."""
        ends = [each.at for each in self.seen() if each.what == "lost" and each.at < moment]
        return max([since, *ends])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
