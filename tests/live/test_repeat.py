"""What is sent again when the leader is lost: reads, and nothing that does more than that (src/sql/question.c)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import sluice as kit_sluice
from kit.place import Place
from kit.postgres import Postgres
from kit.reading import DOUBTS, OBJECTS, READS, lines


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Postgres]:
    """One of our own, which may be killed."""
    own = Postgres(place, "repeat", max_connections=250)
    own.add_user("app", "scram-sha-256")
    own.sql("CREATE DATABASE app OWNER app")
    own.sql(OBJECTS.replace("FILE", str(own.dir / "acted")), dbname="app")
    yield own
    own.stop()


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
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message.decode()
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    value = result.get_value(0, 0)
    return value.decode() if value is not None else None


def test_a_catalog_tells_what_only_reads(server: Postgres) -> None:
    """Whatever search_path says, and as somebody who owns nothing of it."""
    reads, doubts = lines(READS), lines(DOUBTS)
    with server.connect(dbname="app", user="app") as connection:
        connection.autocommit = True
        for path in ("public", "other, public, pg_catalog", "tenant"):
            connection.execute(f"SET search_path = {path}")
            before = connection.execute("SHOW search_path").fetchone()
            said = {s: ask(connection, q) for s, q in zip(reads + doubts, questions(reads + doubts))}
            assert {s: why for s, why in said.items() if s in reads and why is not None} == {}
            assert [s for s, why in said.items() if s in doubts and why is None] == []
            assert connection.execute("SHOW search_path").fetchone() == before
    assert len(reads) > 70 and len(doubts) > 100
    assert not (server.dir / "acted").read_text().replace("reads", "").split("\n")[3:]
