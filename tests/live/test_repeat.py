"""What is sent again when the leader is lost: reads, and nothing that does more than that (src/sql/question.c)."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from conftest import Start
from kit import sluice as kit_sluice
from kit.place import Place, wait_until
from kit.postgres import Postgres
from kit.reading import DOUBTS, MISSING, OBJECTS, POISON, READS, lines
from kit.sluice import Sluice
from psycopg.pq import ExecStatus, TransactionStatus


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Postgres]:
    """One of our own, which may be killed."""
    own = Postgres(place, "repeat", max_connections=500)
    own.add_user("app", "scram-sha-256")
    own.sql("CREATE DATABASE app OWNER app")
    own.sql(OBJECTS.replace("FILE", str(own.dir / "acted")), dbname="app")
    yield own
    own.stop()


@pytest.fixture(scope="module")
def front(module_sluices: Start, server: Postgres) -> Sluice:
    return module_sluices(clusters={"main": f"hosts={server.host}:{server.port}"}, databases={"app": "cluster=main"},
                          default_pool_size=450, max_client_conn=1000)


# ---- the question alone ----

def questions(statements: list[str]) -> list[str]:
    """What is asked of the catalog for each; "" where the text alone says no."""
    program = Path(kit_sluice.built()).parent / "tests/sql/ask"
    out = subprocess.run([program], input="\n".join(statements) + "\n", capture_output=True, text=True, check=True).stdout
    return [part.strip() for part in out.split("----\n")[:-1]]


def ask(connection: psycopg.Connection[Any], question: str) -> str | None:
    """None: it only reads."""
    if not question:
        return "the text says so"
    result = connection.pgconn.exec_(question.encode())
    assert result.status == ExecStatus.TUPLES_OK, result.error_message.decode()
    assert connection.info.transaction_status == TransactionStatus.IDLE
    value = result.get_value(0, 0)
    return value.decode() if value is not None else None


def test_a_catalog_tells_what_only_reads(server: Postgres) -> None:
    """Whatever search_path says, and as somebody who owns nothing of it."""
    reads, doubts = lines(READS), lines(DOUBTS) + lines(MISSING)
    with server.connect(dbname="app", user="app", autocommit=True) as connection:
        for path in ("public", "other, public, pg_catalog", "tenant"):
            connection.execute(f"SET search_path = {path}")
            before = connection.execute("SHOW search_path").fetchone()
            said = {s: ask(connection, q) for s, q in zip(reads + doubts, questions(reads + doubts))}
            assert {s: why for s, why in said.items() if s in reads and why is not None} == {}
            assert [s for s, why in said.items() if s in doubts and why is None] == []
            assert connection.execute("SHOW search_path").fetchone() == before
    assert len(reads) > 70 and len(doubts) > 100


@pytest.mark.parametrize("name", POISON)
def test_what_no_text_names_makes_all_doubtful(server: Postgres, name: str) -> None:
    """A cast, an operator class, a domain: who made them with a volatile function has no reads that are certain."""
    made, statement = POISON[name]
    server.sql(f"CREATE DATABASE poisoned_{name} OWNER app")
    with server.connect(dbname=f"poisoned_{name}", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int, b text)")
        question = questions([statement])[0]
        plain = questions(["SELECT a FROM t WHERE b = 'x'"])[0]
        connection.execute("CREATE FUNCTION acts(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1'")
        assert ask(connection, plain) is None
        connection.execute(made)
        assert "acts(" in (ask(connection, question) or "")
        # A check of a domain is met by nobody who has nothing to do with what was made here.
        assert (ask(connection, plain) is None) == name.startswith("domain")


# ---- in flight when the server is killed ----

class Flight:
    """One statement on one connection, sent and not answered."""

    def __init__(self, front: Sluice, number: int, statement: str, is_prepared: bool) -> None:
        self.statement, self.is_prepared = statement, is_prepared
        self.connection = front.connect(autocommit=True, application_name=f"statement {number}")
        self.backend = self.connection.pgconn
        if is_prepared:
            prepared = self.backend.prepare(b"s", statement.encode())
            assert prepared.status == ExecStatus.COMMAND_OK, statement + prepared.error_message.decode()
            self.backend.send_query_prepared(b"s", None)
        else:
            self.backend.send_query(statement.encode())

    def has_landed(self) -> bool:
        self.backend.consume_input()
        return not self.backend.is_busy()

    def land(self) -> str | None:
        """The SQLSTATE it ends with; None: it is done."""
        state = None
        while (result := self.backend.get_result()) is not None:
            if result.status == ExecStatus.COPY_OUT:
                while self.backend.get_copy_data(0)[0] > 0:
                    pass
            elif result.status == ExecStatus.FATAL_ERROR:
                field = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
                state = field.decode() if field else "none"
        assert self.connection.info.transaction_status == TransactionStatus.IDLE, self.statement
        assert self.connection.execute("SELECT 1").fetchone() == (1,)
        self.connection.close()
        return state


def fly(server: Postgres, front: Sluice, statements: list[str]) -> tuple[dict[str, set[str | None]], dict[str, int]]:
    """All at once, as a Query and as a prepared statement, when the server is killed; with what each ended, and how often
    each had acted by then."""
    server.sql("UPDATE nap SET s = 60", dbname="app")
    flights = [Flight(front, number, statement, is_prepared) for number, (statement, is_prepared) in
               enumerate((s, p) for p in (False, True) for s in statements if not p or "; " not in s)]
    with server.connect(autocommit=True) as admin:
        def busy() -> int:
            row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND state = 'active' "
                                "AND (wait_event = 'PgSleep' OR wait_event_type = 'Lock')").fetchone()
            return int(row[0]) if row else 0

        try:
            wait_until(lambda: busy() >= len(flights), 20, f"{len(flights)} statements in flight")
        except AssertionError:
            raise AssertionError([(f.statement, f.land()) for f in flights if f.has_landed()]) from None
    server.sql("UPDATE nap SET s = 0", dbname="app")
    before = acted(server)
    server.stop(signal.SIGKILL)
    server.start()
    ended: dict[str, set[str | None]] = {}
    for flight in flights:
        ended.setdefault(flight.statement, set()).add(flight.land())
    return ended, before


def acted(server: Postgres) -> dict[str, int]:
    """How often each statement has acted, by its number."""
    counts: dict[str, int] = {}
    path = server.dir / "acted"
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else []:
        counts[line] = counts.get(line, 0) + 1
    return counts


def test_reads_notice_nothing_of_a_crash(server: Postgres, front: Sluice) -> None:
    ended, _ = fly(server, front, lines(READS))
    assert {statement: states for statement, states in ended.items() if states != {None}} == {}


def test_nothing_that_acts_is_run_twice(server: Postgres, front: Sluice) -> None:
    (server.dir / "acted").unlink(missing_ok=True)
    ended, before = fly(server, front, lines(DOUBTS))
    assert {statement: states for statement, states in ended.items() if states != {"08007"}} == {}
    assert acted(server) == before and len(before) > 100
