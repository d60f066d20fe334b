"""
kinds.py - the clients: each repeats one kind of transaction for ever, on a connection that it opens again when it is lost.

Every row is written under a number that its client never uses twice; the ledger is told what became of each.
What they have in common is Client; a kind says what one turn is. KINDS lists them.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Optional

from . import wire as w
from .answers import Judged, Wanted, judge, wrong_notices
from .wire import Refused, Wire

if TYPE_CHECKING:
    from .crew import Crew

TABLE = "outage_rows"
RETURNING = "RETURNING run || '/' || client || '/' || turn, node, timeline"
BACKOFF = 0.1  # seconds before a connection is tried again
IDLE = (5.0, 20.0)  # seconds for which an idle client says nothing
PAUSE = (0.02, 0.2)  # seconds, inside of a block of a writer
SITS = (0.1, 0.5)  # seconds, inside of a block of a reader; a switchover waits for it
PIPELINE = 4  # requests in flight
LOGINS = 2.0  # a second, of each client that does nothing else


class Client:
    kind = ""
    port = "write"
    gaps = ""  # the row of gaps in which its successes count
    pace_factor = 1.0  # of the rate that the load has
    finishes = False  # it owes one more turn when the load ends

    def __init__(self, crew: "Crew", name: str) -> None:
        self.crew, self.ledger, self.name = crew, crew.ledger, name
        self.random = random.Random(f"{crew.seed}/{name}")
        self.wire: Optional[Wire] = None
        self.turns = 0  # numbers given out
        self.open: list[int] = []  # those whose fate is not known yet
        self.waits_since = 0.0  # for an answer; 0: for none
        self.is_stuck = False
        self.last_done = 0.0

    # The connection.

    async def connect(self) -> bool:
        where = self.crew.endpoint
        host, port = where.write if self.port == "write" else where.read
        self.waits_since = time.monotonic()
        try:
            self.wire = await w.connect(host, port, where.user, where.password, where.dbname, f"outage {self.name}")
            self.ledger.logged_in(self, self.waits_since)
        except Refused as refused:
            self.ledger.refused(self, *refused.args)
            return False
        finally:
            self.waits_since, self.is_stuck = 0.0, False
        if await self.greet():
            return True
        self.drop()
        return False

    async def greet(self) -> bool:
        """What a kind does once on each connection. False: it failed, and is told of."""
        return True

    def drop(self) -> None:
        wire, self.wire = self.wire, None
        if wire is None:
            return
        self._look_at(wire)
        if wire.lost and not wire.is_closing:
            self.ledger.connection_lost(self, wire)
        wire.close()

    def _look_at(self, wire: Wire) -> None:
        for what in wire.strays + wrong_notices(wire.notices):
            self.ledger.wrong(self, what, wire)
        wire.strays.clear()
        wire.notices.clear()

    # Asking.

    async def ask(self, data: bytes, *wanted: Wanted) -> list[Judged]:
        """So many answers. Nothing is told to the ledger but what is wrong or failed."""
        assert self.wire
        wire, self.waits_since = self.wire, time.monotonic()
        judged = []
        for waiter, each in zip(wire.ask(data, len(wanted)), wanted):
            judged.append(self.heard(judge(await waiter, each), wire))
        self.waits_since, self.is_stuck = 0.0, False
        self._look_at(wire)
        return judged

    def heard(self, found: Judged, wire: Wire) -> Judged:
        for what in found.wrong:
            self.ledger.wrong(self, what, wire)
        if not found.is_done:
            self.ledger.error(self, found.code, found.text, wire)
        return found

    async def one(self, data: bytes, wanted: Wanted) -> Judged:
        return (await self.ask(data, wanted))[0]

    def number(self) -> int:
        self.turns += 1
        self.open.append(self.turns)
        return self.turns

    def key(self, turn: int) -> str:
        return f"{self.crew.run}/{self.name}/{turn}"

    def settle(self, found: Judged, since: float, *turns: int, fate: str = "") -> None:
        """These rows have this fate: that of the statement, unless it is known better."""
        became = fate or found.fate
        for turn in turns:
            self.open.remove(turn)
            self.ledger.settle(self.name, turn, became)
        if became == "done":
            self.ledger.done(self, since, *found.values[1:3])

    def read(self, found: Judged, since: float) -> None:
        if found.is_done:
            self.ledger.done(self, since, *found.values[1:2])

    # Its life.

    async def pace(self) -> None:
        await self.crew.sleep(self.random.uniform(0.5, 1.5) / (self.crew.rate * self.pace_factor))

    async def turn(self) -> None:
        raise NotImplementedError

    async def live(self) -> None:
        while True:
            is_over = self.crew.is_over
            if self.wire is None and not (is_over or await self.connect()):
                await self.crew.sleep(self.random.uniform(0.5, 1.5) * BACKOFF)
                continue
            if self.wire is None or (is_over and not self.finishes):
                break
            if self.wire.lost:  # found when it is wanted, as a pool does
                self.ledger.error(self, "connection lost", "between two statements: " + self.wire.lost, self.wire)
                self.drop()
                continue
            await self.turn()
            if self.wire and self.wire.lost:
                self.drop()
            if is_over:
                break
            await self.pace()
        self.drop()


def insert(client: Client, turn: int) -> str:
    return (f"INSERT INTO {TABLE} (run, client, turn) VALUES ('{client.crew.run}', '{client.name}', {turn}) " + RETURNING)


INSERT = f"INSERT INTO {TABLE} (run, client, turn) VALUES ($1, $2, $3::int) " + RETURNING
READ = "SELECT {}, host(inet_server_addr()) || ':' || inet_server_port()"
DESCRIBE = w.message(b"D", b"P\0")


# Writers.

class Writer(Client):
    """Simple protocol, one INSERT that commits for itself."""

    kind, gaps = "writer", "writes"

    async def turn(self) -> None:
        turn, since = self.number(), time.monotonic()
        found = await self.one(w.query(insert(self, turn)), Wanted("TDC", "INSERT 0 1", self.key(turn)))
        self.settle(found, since, turn)


class Extended(Client):
    """As drivers do without preparing: Parse, Bind, Describe, Execute, Sync of the unnamed statement."""

    kind, gaps = "extended", "writes"

    async def turn(self) -> None:
        turn, since = self.number(), time.monotonic()
        data = w.parse("", INSERT) + w.bind("", self.crew.run, self.name, str(turn)) + DESCRIBE + w.EXECUTE + w.SYNC
        self.settle(await self.one(data, Wanted("12TDC", "INSERT 0 1", self.key(turn))), since, turn)


class Prepared(Client):
    """Prepares once for each connection of its own, and never asks again whether the statement is still there."""

    kind, gaps = "prepared", "writes"
    statement = INSERT

    async def greet(self) -> bool:
        return (await self.one(w.parse("mine", self.statement) + w.SYNC, Wanted("1", ""))).is_done

    async def turn(self) -> None:
        turn, since = self.number(), time.monotonic()
        data = w.bind("mine", self.crew.run, self.name, str(turn)) + w.EXECUTE + w.SYNC
        self.settle(await self.one(data, Wanted("2DC", "INSERT 0 1", self.key(turn))), since, turn)


class Pipeline(Client):
    """Several Syncs in flight, each with an INSERT of its own."""

    kind, gaps, pace_factor = "pipeline", "writes", 0.4

    async def turn(self) -> None:
        turns, since = [self.number() for _ in range(PIPELINE)], time.monotonic()
        data = b"".join(w.parse("", INSERT) + w.bind("", self.crew.run, self.name, str(turn)) + w.EXECUTE + w.SYNC for turn in turns)
        answers = await self.ask(data, *(Wanted("12DC", "INSERT 0 1", self.key(turn)) for turn in turns))
        for turn, found in zip(turns, answers):
            self.settle(found, since, turn)


class Copy(Client):
    """COPY FROM STDIN of two rows. Its data are sent when the server asks for them."""

    kind, gaps, pace_factor = "copy", "writes", 0.4

    async def turn(self) -> None:
        assert self.wire
        turns, since, wire = [self.number(), self.number()], time.monotonic(), self.wire
        self.waits_since = since
        waiter = wire.ask(w.query(f"COPY {TABLE} (run, client, turn) FROM STDIN"))[0]
        is_sent = (await wire.between("GEZ"))[0] == "G"
        if is_sent:
            wire.send(w.copy_data("".join(f"{self.crew.run}\t{self.name}\t{turn}\n" for turn in turns)) + w.COPY_DONE)
        found = self.heard(judge(await waiter, Wanted("GC", "COPY 2")), wire)
        self.waits_since, self.is_stuck = 0.0, False
        self._look_at(wire)
        self.settle(found, since, *turns, fate="" if is_sent or found.wrong else "not done")


class Block(Client):
    """BEGIN, INSERT, a pause, INSERT, COMMIT; one of them fails: nothing else works until ROLLBACK, and then all does."""

    kind, gaps, pace_factor = "block", "writes", 0.5

    async def turn(self) -> None:
        turns, since = [self.number(), self.number()], time.monotonic()
        if not (await self.one(w.query("BEGIN"), Wanted("C", "BEGIN", status="T"))).is_done:
            return self.settle(Judged(), since, *turns, fate="not done")
        for turn in turns:
            found = await self.one(w.query(insert(self, turn)), Wanted("TDC", "INSERT 0 1", self.key(turn), "T", True))
            if not found.is_done:
                self.settle(found, since, *turns, fate="unknown" if found.wrong else "not done")
                return await self.give_up(found)
            await self.crew.sleep(self.random.uniform(*PAUSE), until_over=False)
        told = found.values
        found = await self.one(w.query("COMMIT"), Wanted("C", "COMMIT"))
        found.values = told
        self.settle(found, since, *turns)

    async def give_up(self, found: Judged) -> None:
        """The transaction has failed, and says so until it is ended."""
        if found.is_lost or found.status != "E" or self.wire is None:
            return
        for sql in ("SELECT 1", "INSERT INTO nowhere VALUES (1)")[:self.random.randrange(3)]:
            answer = await self.wire.ask(w.query(sql))[0]
            if not answer.lost and (answer.letters, answer.status, answer.error.get("C")) != ("E", "E", "25P02"):
                self.ledger.wrong(self, f"{answer.letters!r} {answer.error} {answer.status!r} in a failed transaction", self.wire)
        await self.one(w.query("ROLLBACK"), Wanted("C", "ROLLBACK"))


# Readers.

class Reader(Client):
    """The read port, simple protocol."""

    kind, port, gaps = "reader", "read", "reads"

    async def turn(self) -> None:
        self.turns += 1
        since = time.monotonic()
        self.read(await self.one(w.query(READ.format(f"'{self.key(self.turns)}'")), Wanted("TDC", "SELECT 1", self.key(self.turns))), since)


class PreparedReader(Prepared):
    """The read port, a statement prepared once."""

    kind, port, gaps = "prepared reader", "read", "reads"
    statement = READ.format("$1::text")

    async def turn(self) -> None:
        self.turns += 1
        since, key = time.monotonic(), self.key(self.turns)
        self.read(await self.one(w.bind("mine", key) + w.EXECUTE + w.SYNC, Wanted("2DC", "SELECT 1", key)), since)


class Lookup(Client):
    """The write port: is a row there which was acknowledged to somebody just now? Once, and from a server that leads?"""

    kind, gaps = "lookup", "reads of the leader"

    async def turn(self) -> None:
        self.turns += 1
        since, token = time.monotonic(), self.key(self.turns)
        known = self.ledger.an_acknowledged(self.random)
        count = "1" if known is None else \
            f"(SELECT count(*) FROM {TABLE} WHERE run = '{self.crew.run}' AND client = '{known[0]}' AND turn = {known[1]})"
        sql = READ.format(f"'{token}'") + f", {count}, pg_is_in_recovery()"
        found = await self.one(w.query(sql), Wanted("TDC", "SELECT 1", token))
        self.read(found, since)
        if found.is_done and found.values[2:] != ["1", "f"]:
            self.ledger.stale(self, f"row {known} of {self.crew.run}: count and standby are {found.values[2:]} at {found.values[1]}")


class Sitter(Client):
    """Sits in a transaction that only reads."""

    kind = "sitter"

    async def turn(self) -> None:
        since = time.monotonic()
        if not (await self.one(w.query("BEGIN"), Wanted("C", "BEGIN", status="T"))).is_done:
            return
        for _ in range(2):
            self.turns += 1
            token = self.key(self.turns)
            found = await self.one(w.query(READ.format(f"'{token}'")), Wanted("TDC", "SELECT 1", token, "T", True))
            if not found.is_done:
                if found.status == "E":
                    await self.one(w.query("ROLLBACK"), Wanted("C", "ROLLBACK"))
                return
            await self.crew.sleep(self.random.uniform(*SITS))
        self.read(found, since)
        await self.one(w.query("COMMIT"), Wanted("C", "COMMIT"))


class Idle(Lookup):
    """Says nothing for long, then one thing, which has to succeed at the first try."""

    kind, gaps, finishes = "idle", "", True

    async def pace(self) -> None:
        await self.crew.sleep(self.random.uniform(*IDLE))


class Login(Client):
    """A connection for each query."""

    kind = "login"

    async def pace(self) -> None:
        await self.crew.sleep(self.random.uniform(0.5, 1.5) / LOGINS)

    async def turn(self) -> None:
        self.turns += 1
        since, token = time.monotonic(), self.key(self.turns)
        self.read(await self.one(w.query(READ.format(f"'{token}'")), Wanted("TDC", "SELECT 1", token)), since)
        self.drop()


KINDS: dict[str, type[Client]] = {"writers": Writer, "extended": Extended, "prepared": Prepared, "pipelines": Pipeline,
                                  "copies": Copy, "blocks": Block, "readers": Reader, "prepared_readers": PreparedReader,
                                  "lookups": Lookup, "sitters": Sitter, "idle": Idle, "logins": Login}
