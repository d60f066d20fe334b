"""
crew.py - the process of the load: all clients in one event loop, told over standard input what to do.

    ─► a line of JSON: what to run; then "mark NAME", "count", "stop"
    ◄─ a line of JSON for each of them: {"ready": ...}, {"counts": ...}, {"report": ...}

It ends by itself when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any

from .endpoint import Endpoint
from .kinds import KINDS, Client
from .ledger import Ledger

WATCHED = 0.1  # seconds between two looks at who is stuck, and at how late we are ourselves
OTHERS = 5.0  # seconds for which somebody else has had answers, before one who has none is stuck


class Crew:
    def __init__(self, what: dict[str, Any]) -> None:
        self.endpoint = Endpoint.from_json(what["endpoint"])
        self.run, self.seed = str(what["run"]), str(what["seed"])
        self.rate, self.stuck_after = float(what["rate"]), float(what["stuck_after"])
        self.ledger = Ledger(self.run, self.seed)
        self.over = asyncio.Event()
        self.clients: list[Client] = []
        for name, count in what["mix"].items():
            self.clients += [KINDS[name](self, f"{KINDS[name].kind.replace(' ', '_')}{i}") for i in range(1, count + 1)]
        for client in self.clients:
            self.ledger.kind(client).clients += 1
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    async def sleep(self, seconds: float, until_over: bool = True) -> None:
        """Short ones are not worth an interruption."""
        if seconds < 0.5 or not until_over:
            await asyncio.sleep(seconds)
            return
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def start(self) -> None:
        """Everybody is in, or was refused once."""
        await asyncio.gather(*(client.connect() for client in self.clients))
        self.tasks = [asyncio.create_task(self.begin(client)) for client in self.clients]

    async def begin(self, client: Client) -> None:
        await client.pace()
        await client.live()

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + WATCHED
            await asyncio.sleep(WATCHED)
            now = time.monotonic()
            self.ledger.report.loop_late = max(self.ledger.report.loop_late, now - due)
            for client in self.clients:
                self._look_at(client, now)

    def _look_at(self, client: Client, now: float) -> None:
        """Who waits while nobody is served may have to; who waits while others are is forgotten."""
        if not client.waits_since or client.is_stuck or now - client.waits_since < self.stuck_after:
            return
        if self.is_over or self.ledger.served_for(now) >= OTHERS:
            client.is_stuck = True
            self.ledger.stuck(client, now - client.waits_since)

    async def stop(self) -> dict[str, Any]:
        stopped = time.monotonic()
        self.over.set()
        pending = (await asyncio.wait(self.tasks, timeout=self.stuck_after + 1))[1] if self.tasks else set()
        now = time.monotonic()
        for client in self.clients:
            if client.waits_since and not client.is_stuck:
                self.ledger.stuck(client, now - client.waits_since)
        for task in self.tasks:
            if task in pending:
                task.cancel()
            elif task.exception():
                raise task.exception()  # type: ignore[misc]
        report = self.ledger.finish(self.clients, stopped)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        report.processor_time = usage.ru_utime + usage.ru_stime
        return report.to_json()


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def work() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crew = Crew(json.loads(await reader.readline()))
    await crew.start()
    watcher = asyncio.create_task(crew.watch())
    say(ready=sum(1 for client in crew.clients if client.wire), clients=len(crew.clients))
    while line := (await reader.readline()).decode().strip():
        word, _, rest = line.partition(" ")
        failed = [task for task in crew.tasks if task.done() and task.exception()]
        if failed:
            raise failed[0].exception()  # type: ignore[misc]
        if word == "mark":
            now = time.monotonic()
            crew.ledger.report.marks.append([now, rest])
            say(marked=now)
        elif word == "count":
            say(counts=crew.ledger.counts(), errors={name: each.errors for name, each in crew.ledger.report.kinds.items()})
        elif word == "stop":
            say(report=await crew.stop())
            break
    watcher.cancel()


if __name__ == "__main__":
    asyncio.run(work())
