"""
company.py - well-behaved clients that work beside whatever a test does, and must notice nothing of it.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator

import psycopg

from .place import wait_until


class Neighbour(threading.Thread):
    """One connection in use all the time, and one that is opened anew each time."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._connect = connect
        self._asked_to_stop = threading.Event()
        self.rounds = 0
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            with self._connect() as lasting:
                while not self._asked_to_stop.is_set():
                    self._round(lasting, self.rounds)
                    if self.rounds % 10 == 0:
                        with self._connect() as fresh:
                            assert fresh.execute("SELECT 42").fetchone() == (42,)
                    self.rounds += 1
                    self._asked_to_stop.wait(0.01)
        except BaseException as problem:  # noqa: BLE001  (shown by stop)
            self.problem = problem

    @staticmethod
    def _round(connection: psycopg.Connection[Any], number: int) -> None:
        with connection.transaction():
            sums = connection.execute("SELECT g, g + %s FROM generate_series(1, 20) g", (number,)).fetchall()
            assert sums == [(g, g + number) for g in range(1, 21)]
            assert connection.execute("SELECT %s::text", (f"mark {number}",)).fetchone() == (f"mark {number}",)

    def works_on(self) -> None:
        """Waits until it has done more, or says why it does not."""
        seen = self.rounds
        wait_until(lambda: self.rounds >= seen + 3 or self.problem, 60, "a neighbour's progress")
        assert self.problem is None, f"a well-behaved client was hurt in round {self.rounds}: {self.problem!r}"

    def stop(self) -> None:
        self._asked_to_stop.set()
        self.join(60)
        assert self.problem is None, f"a well-behaved client was hurt in round {self.rounds}: {self.problem!r}"
        assert not self.is_alive(), "a well-behaved client hangs"


@contextlib.contextmanager
def neighbour(connect: Callable[[], Any]) -> Iterator[Neighbour]:
    """`with neighbour(sluice.connect):` the block runs beside a client that must see nothing of it."""
    client = Neighbour(connect)
    client.start()
    try:
        client.works_on()
        yield client
        client.works_on()
    finally:
        client.stop()
