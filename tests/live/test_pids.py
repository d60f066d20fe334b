"""test_pids.py - process ids that clients know: terminated and cancelled by them, as if each client had a process of its own."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import PASSWORD
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def front(module_sluices: Start) -> Sluice:
    """Each transaction meets the other server."""
    return module_sluices(default_pool_size=3, min_pool_size=3, server_round_robin=1)


def ended(client: psycopg.Connection[Any]) -> bool:
    with pytest.raises(psycopg.Error) as error:
        client.execute("SELECT 1")
    return error.value.sqlstate == "57P01" or client.closed


HOW = ["SELECT pg_terminate_backend({})", "SELECT pg_catalog.pg_terminate_backend( {}) -- now"]


@pytest.mark.parametrize("how", HOW)
def test_an_idle_client_is_terminated_by_its_process_id(front: Sluice, how: str) -> None:
    with front.connect() as one, front.connect() as other, front.connect() as third:
        assert one.info.backend_pid >= 1 << 22  # a process of nobody
        assert other.execute(how.format(one.info.backend_pid)).fetchone() == (True,)
        assert ended(one)
        assert other.execute("SELECT 1").fetchone() == third.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("kind", ["int4", "int8", "text"])
@pytest.mark.parametrize("name", ["", "kill"])
def test_a_process_id_is_a_parameter(front: Sluice, kind: str, name: str) -> None:
    with front.connect() as one, Wire(front.port) as other:
        pid = one.info.backend_pid
        value = str(pid).encode() if kind == "text" else pid.to_bytes(4 if kind == "int4" else 8, "big")
        other.login()
        types = {"int4": 23, "int8": 20, "text": 23}[kind]
        statement = wire.parse(name, "SELECT pg_terminate_backend($1::int4)", (types,))
        other.send(statement, wire.bind("", name, (value,), () if kind == "text" else (1,)), wire.execute(), wire.SYNC)
        assert [wire.row(body) for letter, body in other.ready() if letter == b"D"] == [[b"t"]]
        assert ended(one)


def test_a_client_in_a_transaction_is_terminated(front: Sluice) -> None:
    with front.connect() as one, front.connect() as other:
        one.execute("BEGIN")
        assert other.execute("SELECT pg_terminate_backend(%s)", [one.info.backend_pid]).fetchone() == (True,)
        assert ended(one)


def test_what_a_client_runs_is_cancelled_by_its_process_id(front: Sluice) -> None:
    with Wire(front.port) as one, front.connect() as other:
        one.login()
        one.send(wire.query("SELECT 4711, pg_sleep(60)"))
        wait_until(lambda: other.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT 4711, %'").fetchone()[0],
                   what="the query")
        assert other.execute(f"SELECT pg_cancel_backend({one.pid})").fetchone() == (True,)
        assert one.error()["C"] == "57014"
        assert one.ask("SELECT 1") == [[b"1"]]


def test_an_idle_client_is_not_cancelled_and_gives_its_server_back(sluices: Start) -> None:
    small = sluices(default_pool_size=2)
    with small.connect() as one, small.connect() as other, small.connect() as third:
        assert other.execute(f"SELECT pg_cancel_backend({one.info.backend_pid})").fetchone() == (True,)
        other.execute("BEGIN")
        third.execute("BEGIN")  # waits until the other server is given back
        assert one.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        other.execute("COMMIT")
        assert one.execute("SELECT 1").fetchone() == (1,)


def test_the_process_id_that_a_client_has_read_is_its_own(front: Sluice) -> None:
    with front.connect() as one, front.connect() as other, front.connect() as third:
        one.execute("BEGIN")
        pid = one.execute("SELECT pg_backend_pid()").fetchone()[0]
        one.execute("COMMIT")
        assert other.execute("SELECT pg_terminate_backend(%s)", [pid]).fetchone() == (True,)
        assert ended(one)
        assert other.execute("SELECT 1").fetchone() == third.execute("SELECT 1").fetchone() == (1,)


def test_nobodys_process_id(front: Sluice) -> None:
    with front.connect() as one:
        notices: list[str] = []
        one.add_notice_handler(lambda told: notices.append(told.message_primary or ""))
        for pid in (2 ** 31 - 1, 1 << 30, 99999999):
            assert one.execute(f"SELECT pg_terminate_backend({pid})").fetchone() == (False,)
        assert notices == [f"PID {pid} is not a PostgreSQL backend process" for pid in (2 ** 31 - 1, 1 << 30, 99999999)]
        assert one.execute("SELECT 'pg_terminate_backend', 1073741825, 4.1, $$1$$").fetchone()[1] == 1073741825


def test_only_who_may(sluices: Start) -> None:
    both = sluices(secrets={"app": PASSWORD, "other": PASSWORD})
    with both.connect() as one, both.connect(user="other") as other:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(f"SELECT pg_terminate_backend({one.info.backend_pid})")
        assert one.execute("SELECT 1").fetchone() == (1,)


def test_all_servers_are_taken(sluices: Start) -> None:
    small = sluices(default_pool_size=1)
    with small.connect() as one, small.connect() as other:
        assert other.execute(f"SELECT pg_terminate_backend({one.info.backend_pid})").fetchone() == (False,)
        assert one.execute("SELECT 1").fetchone() == other.execute("SELECT 1").fetchone() == (1,)


def test_fifty_in_a_row(front: Sluice) -> None:
    with front.connect() as other:
        for _ in range(50):
            with front.connect() as one:
                assert other.execute("SELECT pg_terminate_backend(%s)", [one.info.backend_pid]).fetchone() == (True,)
                assert ended(one)


def test_the_server_of_the_process_id_is_that_of_who_terminates_it(sluices: Start) -> None:
    two = sluices(default_pool_size=2)
    with two.connect() as one, two.connect() as other:
        pid = one.execute("SELECT pg_backend_pid()").fetchone()[0]  # the one server that there is
        assert other.execute(f"SELECT pg_terminate_backend({pid})").fetchone() == (True,)
        assert ended(one)
        assert other.execute("SELECT 1").fetchone() == (1,)
