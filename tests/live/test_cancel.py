"""Cancel requests hit the query that was meant, or nothing."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


def is_running(postgres: Postgres, what: str) -> bool:
    return postgres.backends(f"query LIKE '%{what}%' AND state = 'active'") > 0


def test_psycopg_cancels(sluice: Sluice, postgres: Postgres) -> None:
    with sluice.connect() as connection:
        canceller = threading.Thread(target=lambda: (
            wait_until(lambda: is_running(postgres, "pg_sleep(601)")), connection.cancel()), daemon=True)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(601)")
        canceller.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_cancel_with_a_wrong_key_hits_nobody(sluice: Sluice, postgres: Postgres) -> None:
    with Wire(sluice.port) as client:
        client.login().send(wire.query("SELECT pg_sleep(602)"))
        wait_until(lambda: is_running(postgres, "pg_sleep(602)"))
        wrong = bytes([client.key[0] ^ 1]) + client.key[1:]
        for pid, key in ((client.pid, wrong), (client.pid + 1, client.key), (client.pid, client.key + b"\0\0\0\0"),
                         (0, b"\0\0\0\0"), (-1, client.key)):
            with Wire(sluice.port) as asking:
                asking.send(wire.cancel(pid, key)).closed()
        assert is_running(postgres, "pg_sleep(602)")
        with Wire(sluice.port) as asking:
            asking.send(wire.cancel(client.pid, client.key)).closed()
        assert client.error()["C"] == "57014"


def test_a_cancel_of_an_idle_client_hits_nobody(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1)
    with Wire(front.port) as idle, Wire(front.port) as busy:
        idle.login().ask("SELECT 1")
        busy.login().send(wire.query("SELECT 'not cancelled', pg_sleep(1)"))
        for _ in range(10):
            with Wire(front.port) as asking:
                asking.send(wire.cancel(idle.pid, idle.key)).closed()
        assert wire.letters(busy.ready()) == "TDCZ"


def test_a_cancel_of_a_client_that_waits_for_a_server(sluices: Start) -> None:
    front: Sluice = sluices(default_pool_size=1)
    holder = Wire(front.port).login()
    holder.ask("BEGIN")
    with Wire(front.port) as client:
        client.login().send(wire.query("SELECT 1"))
        wait_until(lambda: cancelled(front, client), what="the cancel")
        assert holder.ask("SELECT 'still here'") == [[b"still here"]]
        holder.ask("COMMIT")
        assert client.heard[-1][0] == b"Z" and client.ask("SELECT 2") == [[b"2"]]
    holder.close()


def cancelled(front: Sluice, client: Wire) -> bool:
    """Asks until the client's query was refused; its message may not have been read yet."""
    with Wire(front.port) as asking:
        asking.send(wire.cancel(client.pid, client.key)).closed()
    client.socket.settimeout(0.2)
    try:
        return client.error()["C"] == "57014"
    except TimeoutError:
        return False
    finally:
        client.socket.settimeout(wire.TIMEOUT)


def test_a_cancel_never_hits_the_next_one(sluices: Start) -> None:
    """The server goes on to the next client only when the cancel has arrived."""
    front: Sluice = sluices(default_pool_size=1)
    with Wire(front.port) as first, Wire(front.port) as second:
        first.login()
        second.login()
        for _ in range(100):
            first.send(wire.query("SELECT pg_sleep(0.002)"))
            second.send(wire.query("SELECT pg_sleep(0.004)"))
            with Wire(front.port) as asking:
                asking.send(wire.cancel(first.pid, first.key)).closed()
            assert wire.letters(second.ready()) == "TDCZ"
            answer = first.ready()
            assert wire.letters(answer) in ("TDCZ", "TEZ", "EZ")


def test_cancel_in_a_pipeline(sluice: Sluice, postgres: Postgres) -> None:
    with Wire(sluice.port) as client:
        client.login()
        client.send(wire.query("SELECT 1"), wire.query("SELECT pg_sleep(603)"), wire.query("SELECT 3"))
        assert wire.letters(client.ready()) == "TDCZ"
        wait_until(lambda: is_running(postgres, "pg_sleep(603)"))
        with Wire(sluice.port) as asking:
            asking.send(wire.cancel(client.pid, client.key)).closed()
        assert client.error()["C"] == "57014"
        assert wire.letters(client.ready()) == "TDCZ"


def test_a_cancel_when_tls_was_switched_off_meanwhile(sluices: Start, postgres: Postgres) -> None:
    """The server's session goes on as it began, and its cancel request goes the same way."""
    front: Sluice = sluices(server_tls_sslmode="require")
    with Wire(front.port) as client:
        client.login().send(wire.query("SELECT pg_sleep(603)"))
        wait_until(lambda: is_running(postgres, "pg_sleep(603)"))
        front.write_ini(server_tls_sslmode="disable")
        assert "reloaded" in front.reload()
        with Wire(front.port) as asking:
            asking.send(wire.cancel(client.pid, client.key)).closed()
        assert client.error()["C"] == "57014"
