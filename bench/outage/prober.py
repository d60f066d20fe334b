"""
prober.py - since when each node takes writes, asked of the node itself, past every proxy.

Runs alone: `python3 prober.py NAME=HOST:PORT ...`, and prints a line `MONOTONIC NAME` whenever an INSERT has succeeded on a node
on which it could not before. A standby that is promoted is asked each 10 ms on a connection that stands; one that is down is
tried again as often.
"""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

TICK = 0.010  # seconds
WRITABLE_TICK = 0.050  # seconds, where nothing but the end is waited for
SILENCE = 2.0  # seconds until a connection is given up
TABLE = "probe"


async def watch(name: str, host: str, port: int) -> None:
    import asyncpg

    while True:
        connection = None
        try:
            connection = await asyncpg.connect(host=host, port=port, user="postgres", password="postgres", database="app",
                                               timeout=SILENCE, command_timeout=SILENCE, ssl=False)
            while await connection.fetchval("SELECT pg_is_in_recovery()"):
                await asyncio.sleep(TICK)
            await connection.execute(f"INSERT INTO {TABLE} VALUES ($1)", name)
            print(f"{time.monotonic():.4f} {name}", flush=True)
            while True:
                await connection.execute("SELECT 1")
                await asyncio.sleep(WRITABLE_TICK)
        except (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if connection is not None:
                connection.terminate()
            await asyncio.sleep(TICK)


async def main(nodes: list[str]) -> None:
    rows = [(name, *where.rsplit(":", 1)) for name, where in (node.split("=") for node in nodes)]
    await asyncio.gather(*(watch(name, host, int(port)) for name, host, port in rows))


@dataclasses.dataclass
class Writable:
    at: float  # time.monotonic()
    node: str


class Prober:
    """The process, for whoever is not it."""

    def __init__(self, nodes: dict[str, str], output: Path) -> None:
        self.output = output
        with open(output, "wb") as out:
            self.process = subprocess.Popen(["/usr/bin/python3", __file__, *(f"{name}={where}" for name, where in nodes.items())],
                                            stdin=subprocess.DEVNULL, stdout=out)

    def seen(self) -> list[Writable]:
        rows = [line.split() for line in self.output.read_text(encoding="ascii").splitlines()]
        return [Writable(float(row[0]), row[1]) for row in rows if len(row) == 2]

    def first_after(self, moment: float) -> Writable | None:
        return next((each for each in self.seen() if each.at > moment), None)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except KeyboardInterrupt:
        pass
