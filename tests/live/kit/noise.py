"""
noise.py - clients in the same pool that leave as much as they can in every server they meet, all the time.

At most one of them keeps a server beyond a transaction at any moment, so that a pool of 2 goes on.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any, Callable

import psycopg

PAUSE = 0.004  # seconds

# What each does, in a random order. {n} is its number, {i} a count. "pin": keeps its server until the last line.
WORDS = [
    ["SET work_mem = '{n}3MB'"],
    ["SET search_path = noise_{n}, public"],
    ["SET app.name = 'noise {n}'"],
    ["SET TIME ZONE 'Asia/Tokyo'"],
    ["SET client_encoding = LATIN1"],
    ["SET DateStyle = 'German'"],
    ["SET extra_float_digits = 0; SET standard_conforming_strings = off"],
    ["SELECT set_config('app.tenant', 'noise {n}', false)"],
    ["SELECT remember('app.name', 'noise {n}')"],
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"],
    ["SET ROLE role_a"],
    ["RESET ROLE"],
    ["RESET ALL"],
    ["BEGIN", "SET LOCAL work_mem = '1MB'", "SET statement_timeout = '7{n}s'", "SELECT 1/0", "ROLLBACK"],
    ["BEGIN", "SET lock_timeout = '7{n}s'", "SAVEPOINT a", "SET lock_timeout = '9s'", "ROLLBACK TO a", "COMMIT"],
    ["BEGIN", "SET app.name = 'lost'", "ROLLBACK"],
    ["PREPARE p AS SELECT 'noise {n}'", "EXECUTE p", "DEALLOCATE p"],
    ["PREPARE p{n}_{i} AS SELECT {i}"],
    ["PREPARE s (int) AS SELECT 'noise'::text"],
    ["DEALLOCATE ALL"],
    ["EXECUTE nowhere"],
    ["LISTEN c", "LISTEN noise_{n}", "NOTIFY noise_{n}, 'x'"],
    ["UNLISTEN *"],
    ["NOTIFY noise"],
    ["SELECT no_such_column"],
    ["SELEKT 1"],
    ["BEGIN", "INSERT INTO noise VALUES ({i})", "COMMIT"],
    ["SELECT pg_advisory_xact_lock(7{n})"],
    ["pin", "SELECT pg_advisory_lock(9{n}, {i})", "SELECT pg_advisory_unlock_all()"],
    ["pin", "CREATE TEMP TABLE tt (a int)", "INSERT INTO tt VALUES (666)", "DROP TABLE tt"],
    ["pin", "CREATE TEMP TABLE IF NOT EXISTS noise_t AS SELECT 1", "DISCARD ALL"],
    ["pin", "BEGIN", "DECLARE h CURSOR WITH HOLD FOR SELECT 666", "COMMIT", "CLOSE ALL"],
    ["pin", "CREATE TEMP SEQUENCE sq", "SELECT nextval('sq')", "DROP SEQUENCE sq"],
]


class Noise(threading.Thread):
    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], number: int, pin: threading.Lock,
                 without: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.words = [words for words in WORDS if not any(word in " ".join(words) for word in without)]
        self.connect, self.number, self.pin = connect, number, pin
        self.random = Random(number)
        self.asked_to_stop = threading.Event()
        self.count = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with self.connect() as connection:
                while not self.asked_to_stop.is_set():
                    self.say(connection, self.random.choice(self.words))
        except Exception as problem:  # noqa: BLE001  (shown by stop)
            self.problem = problem

    def say(self, connection: psycopg.Connection[Any], words: list[str]) -> None:
        if words[0] == "pin":
            with self.pin:
                self.all(connection, words[1:])
        else:
            self.all(connection, words)

    def all(self, connection: psycopg.Connection[Any], words: list[str]) -> None:
        for text in words:
            self.count += 1
            connection.pgconn.exec_(text.format(n=self.number, i=self.count).encode())
            if self.asked_to_stop.wait(PAUSE) and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                return


class Crowd:
    """`with Crowd(connect, 10):` they make noise for as long as the block lasts."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], count: int, without: tuple[str, ...] = ()) -> None:
        pin = threading.Lock()
        self.all = [Noise(connect, number, pin, without) for number in range(count)]

    def __enter__(self) -> "Crowd":
        for each in self.all:
            each.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        until = time.monotonic() + 60
        for each in self.all:
            each.asked_to_stop.set()
        for each in self.all:
            each.join(max(0.0, until - time.monotonic()))
        if problem[0] is None:
            assert not [each.problem for each in self.all if each.problem], [each.problem for each in self.all]
            assert not [each for each in self.all if each.is_alive()]

    @property
    def rounds(self) -> int:
        return sum(each.count for each in self.all)
